"""The figures of `benchmarks.night` as a section of ``docs/performance.md``.

Table of contents: `page`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Figures = Mapping[str, Any]
_QUIET = 0.15
"""Cores that other programs may keep busy while wall times are clocked that are to be compared."""
_NIGHT_BATCHES = 625
_SIDES = {"byhand": "by hand: faster-whisper, pyannote", "whisperx": "WhisperX", "zhijian": "zhijian"}
_MODELS = {
    "transcribe": "recogniser (Whisper), the second decode for fillers among it",
    "phrase_scores": "recogniser, asked again about phrases",
    "text_scores": "recogniser, asked about words that sound alike",
    "stretches": "voices (segmentation, CAM++)",
}


def page(figures: Figures) -> str:
    """All parts that have been measured.

    Parameters
    ----------
    figures : mapping
        As ``docs/performance.json`` holds them under ``night``.
    """
    lines = [
        "Command: `python -m benchmarks.night` (a part of `make bench`), "
        f"{figures['cores']} cores, no GPU, whisper-base int8."
    ]
    if told := ", ".join(f"{busy:.2f} ({name})" for name, busy in _others(figures)):
        lines[0] += (
            f" While the audio parts were clocked other programs kept {told} of the cores busy on average; "
            f"from {_QUIET:g} on, wall times are too long and CPU times hold better."
        )
    for name, part in (
        ("inside", _inside),
        ("workers", _workers),
        ("byhand", _by_hand),
        ("prefect", _prefect),
        ("long", _long),
        ("parquet", _parquet),
        ("archive", _archive),
    ):
        if name in figures:
            lines += ["", *part(figures)]
    return "\n".join(lines)


def _others(figures: Figures) -> Iterator[tuple[str, float]]:
    """Cores that other programs kept busy, by what was clocked then."""
    yield from (
        (name, found["others_cores"])
        for name, found in (
            ("inside", figures.get("inside", {})),
            *((f"workers {count}", run) for count, run in figures.get("workers", {}).items()),
            *figures.get("byhand", {}).items(),
        )
        if "others_cores" in found
    )


def _free(*runs: Figures) -> bool:
    """Whether nothing else of weight ran on the cores meanwhile."""
    return all(run.get("others_cores", 1.0) < _QUIET for run in runs)


def _inside(figures: Figures) -> Iterator[str]:
    found = figures["inside"]
    audio_s, cpu_s = found["audio_s"], found["cpu_s"]
    models_s = sum(found["models_cpu_s"].values())
    yield "### Where the CPU time goes"
    yield ""
    yield (
        f"{found.get('calls', 5)} sample calls ({audio_s / 60:.1f} min) in one process, from reading "
        f"the call records "
        f"to the recorded run; models are loaded before ({found['load_s']:.0f} s, once a worker), and the "
        "calls were heard once, so that all that loads on first use has loaded."
    )
    yield ""
    yield "| | CPU s | real-time factor | share |"
    yield "|---|---:|---:|---:|"
    for name, seconds in sorted(found["models_cpu_s"].items(), key=lambda item: -item[1]):
        yield f"| {_MODELS[name]} | {seconds:.1f} | {seconds / audio_s:.4f} | {seconds / cpu_s:.1%} |"
    inside = f"| **inside the models** | {models_s:.1f} | {models_s / audio_s:.4f} "
    yield inside + f"| **{models_s / cpu_s:.1%}** |"
    rest = cpu_s - models_s
    yield f"| everything else | {rest:.1f} | {rest / audio_s:.4f} | {rest / cpu_s:.1%} |"
    yield f"| all | {cpu_s:.1f} | {cpu_s / audio_s:.4f} | 100% |"
    yield ""
    yield "By stage of hearing (a stage holds the models it asks):"
    yield ""
    yield "| stage | CPU s | real-time factor |"
    yield "|---|---:|---:|"
    for name, seconds in sorted(found["stage_s"].items(), key=lambda item: -item[1]):
        yield f"| {name} | {seconds:.2f} | {seconds / audio_s:.4f} |"


def _workers(figures: Figures) -> Iterator[str]:
    found = figures["workers"]
    one, two = found["1"], found["2"]
    yield "### From one worker to two"
    yield ""
    yield (
        f"`zhijian score` over {one['calls_in']} calls ({one['audio_s'] / 60:.1f} min), "
        "start and loading included:"
    )
    yield ""
    yield "| workers | wall s | audio seconds a second | CPU s of hearing | peak memory MB (all) |"
    yield "|---:|---:|---:|---:|---:|"
    for count, run in found.items():
        yield (
            f"| {count} | {run['wall_s']:.1f} | {run['audio_s'] / run['wall_s']:.1f} "
            f"| {sum(run['cpu_s'].values()):.1f} | {run['peak_mb']:.0f} |"
        )
    load_s = figures.get("inside", {}).get("load_s", 0.0)
    without = (one["wall_s"] - load_s) / max(two["wall_s"] - load_s, 1e-9)
    yield ""
    hindered = sum(two["cpu_s"].values()) / sum(one["cpu_s"].values())
    yield (
        f"Two workers are {one['wall_s'] / two['wall_s']:.2f} times as fast as one; {without:.2f} times "
        f"without the {load_s:.0f} s of loading, which a night pays once. CPU seconds of hearing, two "
        f"workers to one: {hindered:.2f} (1 = they do not hinder each other)."
    )
    each = two["peak_mb"] - one["peak_mb"]
    yield ""
    yield (
        f"Peak memory of N workers: {one['peak_mb'] - each:,.0f} MB + N × {each:,.0f} MB "
        "(largest resident sizes added up, shared pages counted in each)."
    )
    if not _free(one, two):
        yield ""
        yield (
            "**The cores were not free during this run, so its clock says nothing about scaling**; repeat "
            "it on an idle machine: `python -m benchmarks.night --parts workers`."
        )


def _by_hand(figures: Figures) -> Iterator[str]:
    sides: Figures = figures["byhand"]
    ours, hand = sides["zhijian"], sides["byhand"]
    weights = "zhijian's weights with their adapter" if ours.get("adapted") else "the same weights"
    yield "### Against doing it by hand"
    yield ""
    yield (
        f"The same {ours['calls']} sample calls ({ours['audio_s'] / 60:.1f} min; mixed to one channel and "
        f"with two), {weights}, one after the other on the same cores; start and loading included. By "
        "hand (`benchmarks/byhand.py`): faster-whisper and pyannote's own pipeline, one call at a time, "
        "every core to each model in turn, the libraries' defaults; that gives words and speakers. zhijian, "
        "a worker a core, gives those and fillers, roles, the state of the line, verdicts and stored results."
    )
    yield ""
    said = ours["phrases_said"]
    yield (
        "| | wall s | CPU s | audio seconds a wall second | wrong characters "
        f"| sentences of the standard found (of {said}): literally | by sound |"
    )
    yield "|---|---:|---:|---:|---:|---:|---:|"
    for name, run in sides.items():
        yield (
            f"| {_SIDES[name]} | {run['process_wall_s']:.1f} | {run['process_cpu_s']:.1f} "
            f"| {run['audio_s'] / run['process_wall_s']:.1f} | {run['cer']:.1%} "
            f"| {run['phrases_literal']} | {run['phrases_by_sound']} |"
        )
    yield ""
    faster = hand["process_wall_s"] / ours["process_wall_s"]
    leaner = hand["process_cpu_s"] / ours["process_cpu_s"]
    if _free(ours, hand):
        yield f"zhijian is **{faster:.2f} times as fast** and takes 1/{leaner:.2f} of the CPU time."
    else:
        yield (
            f"zhijian takes **1/{leaner:.2f} of the CPU time**. The cores were not free, so the wall times "
            "are not to be compared; repeat it on an idle machine: "
            "`python -m benchmarks.night --parts byhand`."
        )
    yield ""
    yield (
        "WhisperX (3.8.6) installs with pip, but only beside zhijian: it pins torch 2.8. "
        "`--whisperx PYTHON` takes the interpreter of such an environment (`benchmarks/byhand_whisperx.py`). "
        + (
            "Measured is what runs with whisper-base: its voice activity detection and batched "
            "recognition, so words without times and speakers. Its alignment for Chinese "
            "(`jonatasgrosman/wav2vec2-large-xlsr-53-chinese-zh-cn`) and its diarization are models of a hub "
            "and were not at hand."
            if "whisperx" in sides
            else "It was not measured this time."
        )
    )


def _prefect(figures: Figures) -> Iterator[str]:
    score, flow = figures["prefect"]["score"], figures["prefect"]["flow"]
    start_s = (flow["wall_s"] - flow["run_wall_s"]) - (score["wall_s"] - score["run_wall_s"])
    batches = -(-score["calls"] // 32)
    added_s = flow["run_wall_s"] - score["run_wall_s"]
    night_s = start_s + max(0.0, added_s) / batches * _NIGHT_BATCHES
    yield "### What Prefect costs"
    yield ""
    yield (
        f"The same {score['calls']} recordings of 3 s with the fake recogniser, {batches} "
        f"batch{'' if batches == 1 else 'es'} of 32. From planning to the account `zhijian score` took "
        f"{score['run_wall_s']:.1f} s and the flow {flow['run_wall_s']:.1f} s"
        + ("" if added_s > 0 else ", so what Prefect adds to a batch is lost in the noise of the machine")
        + f"; starting Prefect with a temporary server of its own and ending it took {start_s:.1f} s more. "
        f"For 20,000 calls ({_NIGHT_BATCHES} batches) in five hours that is {night_s / 18_000:.2%} of it."
    )


def _long(figures: Figures) -> Iterator[str]:
    found = figures["long"]
    yield "### 5,000 recordings"
    yield ""
    main, worker = found["main_mb"], found["worker_mb"]
    yield (
        f"{found['calls']:,} recordings of 3 s with the fake recogniser and two workers: "
        f"{found['wall_s'] / 60:.1f} min. "
        f"Memory of the main process {main[0]:.0f} MB at its highest in the first third, {main[1]:.0f} "
        f"MB in all; of the "
        f"largest worker {worker[0]:.0f} and {worker[1]:.0f} MB."
    )


def _parquet(figures: Figures) -> Iterator[str]:
    yield "### Reading and writing results"
    yield ""
    yield "| dataset | written rows/s | read rows/s |"
    yield "|---|---:|---:|"
    for name, found in figures["parquet"].items():
        rows = found["rows"]
        yield f"| {name} | {rows / found['write_s']:,.0f} | {rows / found['read_s']:,.0f} |"
    yield ""
    yield (
        f"Files of {rows:,} rows, those of 100 calls over and over. `turns` have a time and a confidence for "
        "every word; checksums are verified while reading."
    )


def _archive(figures: Figures) -> Iterator[str]:
    found = figures["archive"]
    calls = found["calls"]
    yield "### Committing, compacting, planning"
    yield ""
    yield (
        f"{calls:,} five-minute calls in commits of 32 to a local disk: {calls / found['commit_s']:.0f} "
        f"calls a "
        f"second on the clock ({calls / found['commit_cpu_s']:.0f} a CPU second). Stored size of a call "
        f"{found['bytes_a_call'][0] / 1000:.1f} kB, compacted {found['bytes_a_call'][1] / 1000:.1f} kB; "
        f"files "
        f"{found['files'][0]} and {found['files'][1]}. Compaction took {found['compact_s']:.1f} s "
        f"({calls / found['compact_s']:.0f} calls a second). To know which of these calls are scored "
        f"already took "
        f"{found['plan_s'][0]:.2f} s before and {found['plan_s'][1]:.2f} s after it."
    )
    yield ""
    yield (
        "Reading every page of them for damage, as a run does for its own day, "
        f"took {found['check_s']:.1f} s. In a file of a million stored calls, "
        f"{found['fingerprints_a_s']:,.0f} a second are looked through for 20,000 others."
    )
