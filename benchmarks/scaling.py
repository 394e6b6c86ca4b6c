"""A model of cost and scale from measured figures: what 20 thousand, 200 thousand and 2 million calls take.

Table of contents: `Assumptions`, `Need`, `need`, `cpu_factor`, `scale_page`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NIGHTS = (20_000, 200_000, 2_000_000)


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What the model assumes and an operator can change.

    Attributes
    ----------
    call_s : float
        Mean length of a call.
    window_s : float
        From 01:30 to 06:30.
    busy : float
        Share of the window in which a core hears; the rest is loading, the tail of the last calls, reserve.
    recording_bytes_a_s : float
        Two channels of 8 kHz µ-law.
    batch_calls : int
    batch_overhead_s : float
        What a scheduler takes for a batch.
    nights_kept : int
        Three years.
    """

    call_s: float = 240.0
    window_s: float = 5 * 3600.0
    busy: float = 0.9
    recording_bytes_a_s: float = 16_000.0
    batch_calls: int = 32
    nights_kept: int = 1_095


@dataclass(frozen=True, slots=True)
class Need:
    """What a night of so many calls needs.

    Attributes
    ----------
    cores, memory_gb : float
        Worker processes, one core each, and what they hold.
    recordings_gb, results_gb : float
        Of one night.
    commits_a_s : float
        Commits a second over the window.
    files, files_compacted : int
        Result files of one night.
    archive_tb : float
        Recordings and results of three years.
    plan_s : float
        To look through the fingerprints of three years.
    """

    calls: int
    cores: float
    memory_gb: float
    recordings_gb: float
    results_gb: float
    commits_a_s: float
    files: int
    files_compacted: int
    archive_tb: float
    plan_s: float


def need(calls: int, figures: Mapping[str, Any], given: Assumptions | None = None) -> Need:
    """Work out one night.

    Parameters
    ----------
    calls : int
    figures : mapping
        As ``docs/performance.json`` holds them under ``night``.
    given : Assumptions, optional

    Examples
    --------
    >>> figures = {
    ...     "workers": {"2": {"peak_mb": 2000.0, "process_cpu_s": 20.0, "audio_s": 100.0}},
    ...     "archive": {"bytes_a_call": [20_000, 10_000], "fingerprints_a_s": 1e6, "calls": 1000},
    ... }
    >>> found = need(20_000, figures)
    >>> round(found.cores), found.commits_a_s < 1
    (59, True)
    """
    given = given or Assumptions()
    archive = figures["archive"]
    audio_s = calls * given.call_s
    cores = audio_s * cpu_factor(figures) / (given.window_s * given.busy)
    # The stored size was measured with five-minute calls.
    stored = archive["bytes_a_call"][1] * given.call_s / 300.0
    recordings = audio_s * given.recording_bytes_a_s
    commits = -(-calls // given.batch_calls)
    return Need(
        calls=calls,
        cores=cores,
        memory_gb=cores * figures["workers"]["2"]["peak_mb"] / 2 / 1000,
        recordings_gb=recordings / 1e9,
        results_gb=calls * stored / 1e9,
        commits_a_s=commits / given.window_s,
        files=5 * commits,
        files_compacted=5 * max(1, round(calls * stored / 64e6)),
        archive_tb=(recordings + calls * stored) * given.nights_kept / 1e12,
        plan_s=calls * given.nights_kept / archive["fingerprints_a_s"],
    )


def cpu_factor(figures: Mapping[str, Any]) -> float:
    """CPU seconds a second of audio with a worker on every core: they share the memory's bandwidth."""
    run = figures["workers"]["2"]
    return float(run["process_cpu_s"] / run["audio_s"])


def scale_page(figures: Mapping[str, Any]) -> str:
    """The table of ``docs/scaling.md``.

    Parameters
    ----------
    figures : mapping
        As for `need`.
    """
    given = Assumptions()
    needs = [need(calls, figures) for calls in NIGHTS]
    factor = cpu_factor(figures)
    archive = figures["archive"]
    rate = archive["calls"] / archive["commit_s"]
    lines = [
        f"Measured (`docs/performance.md`): {factor:.3f} CPU seconds a second of audio with everything "
        "and every core busy, "
        f"{figures['workers']['2']['peak_mb'] / 2:.0f} MB a worker with its share of the main process, "
        f"{archive['bytes_a_call'][1] / 1000:.1f} kB of results for a five-minute call, {rate:.0f} "
        f"calls committed a "
        f"second to one folder. Assumed: calls of {given.call_s / 60:.0f} min, "
        f"{given.window_s / 3600:.0f} h from 01:30, "
        f"cores busy {given.busy:.0%} of them, recordings of {given.recording_bytes_a_s / 1000:.0f} kB "
        f"a second "
        "(two channels, 8 kHz, µ-law).",
        "",
        "| calls a night | " + " | ".join(f"{n.calls:,}" for n in needs) + " |",
        "|---|" + "---:|" * len(needs),
        "| cores (one worker each) | " + " | ".join(f"{n.cores:,.0f}" for n in needs) + " |",
        "| memory of the workers, GB | " + " | ".join(f"{n.memory_gb:,.0f}" for n in needs) + " |",
        "| machines of 32 cores | " + " | ".join(f"{-(-n.cores // 32):,.0f}" for n in needs) + " |",
        "| recordings read, GB a night | " + " | ".join(f"{n.recordings_gb:,.0f}" for n in needs) + " |",
        "| … MB a second, mean | "
        + " | ".join(f"{n.recordings_gb * 1000 / given.window_s:,.0f}" for n in needs)
        + " |",
        "| results, GB a night | " + " | ".join(f"{n.results_gb:,.2f}" for n in needs) + " |",
        "| commits a second | " + " | ".join(f"{n.commits_a_s:.2f}" for n in needs) + " |",
        "| … share of what one folder takes | "
        + " | ".join(f"{n.calls / given.window_s / rate:.1%}" for n in needs)
        + " |",
        "| result files a night, compacted | "
        + " | ".join(f"{n.files:,} → {n.files_compacted:,}" for n in needs)
        + " |",
        "| recordings and results of 3 years, TB | "
        + " | ".join(f"{n.archive_tb:,.0f}" for n in needs)
        + " |",
        "| planning over 3 years of results, s | " + " | ".join(f"{n.plan_s:,.0f}" for n in needs) + " |",
    ]
    return "\n".join(lines)
