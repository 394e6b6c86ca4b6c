"""From counts to figures, and figures to JSON and a Markdown table.

Conventions
-----------
A figure is None when there was nothing to measure. Percentages stand as percent.

Table of contents: `MEDIANS`, `Pool`, `figures_of`, `ROWS`, `table`, `stages_table`.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.hearing.truth import Counts

Figures = dict[str, float | None]
MEDIANS = ("rate_error", "silence_error", "snr_error_db")


@dataclass(slots=True)
class Pool:
    """Counts of the calls of a set."""

    sums: Counts = field(default_factory=dict)
    values: dict[str, list[float]] = field(default_factory=dict)
    calls: int = 0

    def add(self, counts: Counts) -> None:
        """Add one call."""
        self.calls += 1
        for name, value in counts.items():
            if name in MEDIANS:
                self.values.setdefault(name, []).append(float(value))
            else:
                self.sums[name] = self.sums.get(name, 0.0) + float(value)

    def share(self, part: str | Sequence[str], whole: str | Sequence[str]) -> float | None:
        """Percentage of sums over sums."""
        parts, wholes = (
            ((part,) if isinstance(part, str) else part),
            ((whole,) if isinstance(whole, str) else whole),
        )
        below = sum(self.sums.get(name, 0.0) for name in wholes)
        return 100.0 * sum(self.sums.get(name, 0.0) for name in parts) / below if below else None

    def median(self, name: str) -> float | None:
        """Median over calls."""
        return statistics.median(self.values[name]) if self.values.get(name) else None


def _f1(said: float | None, heard: float | None) -> float | None:
    if said is None:
        return None
    if heard is None:
        return 0.0
    return 2 * said * heard / (said + heard) if said + heard else 0.0


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else factor * value


def figures_of(pool: Pool) -> Figures:
    """Every figure of a set of calls.

    Examples
    --------
    >>> pool = Pool()
    >>> pool.add({"agent_chars": 80, "agent_char_errors": 4, "customer_chars": 20, "customer_char_errors": 6})
    >>> figures = figures_of(pool)
    >>> figures["cer_agent"], figures["cer"], figures["der_0"]
    (5.0, 10.0, None)
    """
    chars = ("agent_chars", "customer_chars")
    sums = pool.sums
    figures: Figures = {
        "cer": pool.share(("agent_char_errors", "customer_char_errors"), chars),
        "cer_agent": pool.share("agent_char_errors", "agent_chars"),
        "cer_customer": pool.share("customer_char_errors", "customer_chars"),
        "pinyin": pool.share(("agent_syllable_errors", "customer_syllable_errors"), chars),
        "pinyin_agent": pool.share("agent_syllable_errors", "agent_chars"),
        "phrase_recall": pool.share("phrases_found", "phrases_said"),
        "phrase_recall_literal": pool.share("phrases_literal", "phrases_said"),
        "phrase_false": sums.get("phrases_false"),
        "set_recall": pool.share("sets_found", "sets_said"),
        "set_false": sums.get("sets_false"),
        "rate_error": _scaled(pool.median("rate_error"), 100.0),
        "filler_precision": pool.share("fillers_matched", "fillers_heard"),
        "filler_recall": pool.share("fillers_matched", "fillers_said"),
        "roles": pool.share("role_right_s", "role_s"),
        "roles_swapped": sums.get("roles_swapped"),
        "voices_right": pool.share("voices_right", "voices_known"),
        "speech_missed": pool.share("speech_missed", "speech"),
        "speech_false": pool.share("speech_false", "speech"),
        "overlap_missed": pool.share("both_missed", "both"),
        "silence_error": _scaled(pool.median("silence_error"), 100.0),
        "snr_error_db": pool.median("snr_error_db"),
    }
    figures["filler_f1"] = _f1(figures["filler_recall"], figures["filler_precision"])
    for layout in ("stereo", "mono"):
        precision = pool.share(f"cut_ins_matched:{layout}", f"cut_ins_heard:{layout}")
        recall = pool.share(f"cut_ins_matched:{layout}", f"cut_ins:{layout}")
        figures[f"cut_in_precision_{layout}"], figures[f"cut_in_recall_{layout}"] = precision, recall
        figures[f"cut_in_f1_{layout}"] = _f1(recall, precision)
    talk_s = sums.get("filler_talk_s", 0.0)
    invented = sums.get("fillers_heard", 0.0) - sums.get("fillers_matched", 0.0)
    figures["filler_inventions_per_min"] = 60.0 * invented / talk_s if talk_s else None
    for collar in ("0", "0.25", "0.5"):
        name = f"der_{collar}"
        parts = [f"{name}_{part}" for part in ("missed", "false", "confusion")]
        figures[name] = pool.share(parts, f"{name}_total")
        for part in parts:
            figures[part] = pool.share(part, f"{name}_total")
    for layout in ("stereo", "mono"):
        audio_s = sums.get(f"audio_s:{layout}", 0.0)
        for unit in ("cpu", "wall"):
            spent = sums.get(f"{unit}_s:all:{layout}")
            figures[f"rtf_{unit}_{layout}"] = spent / audio_s if audio_s and spent is not None else None
        voices_s = sums.get(f"cpu_s:voices:{layout}", 0.0)
        figures[f"rtf_voices_{layout}"] = voices_s / audio_s if voices_s and audio_s else None
    return figures


# Figure, words, decimals.
ROWS: tuple[tuple[str, str, int], ...] = (
    ("cer_agent", "CER, agent, %", 1),
    ("cer_customer", "CER, customer, %", 1),
    ("cer", "CER, all, %", 1),
    ("pinyin_agent", "toneless pinyin error, agent, %", 1),
    ("pinyin", "toneless pinyin error, all, %", 1),
    ("set_recall", "phrases of the rulebook as judged, recall, %", 1),
    ("set_false", "… false hits", 0),
    ("phrase_recall", "the standard's very phrases by sound alone, recall, %", 1),
    ("phrase_recall_literal", "… by their very characters, %", 1),
    ("phrase_false", "… false hits", 0),
    ("rate_error", "speech rate, median error, %", 1),
    ("filler_precision", "fillers, precision, %", 1),
    ("filler_recall", "fillers, recall, %", 1),
    ("filler_f1", "fillers, F1, %", 1),
    ("filler_inventions_per_min", "fillers invented a minute of talk", 2),
    ("der_0", "mono: DER, collar 0, %", 1),
    ("der_0.25", "mono: DER, collar 0.25 (whole width), %", 1),
    ("der_0.5", "mono: DER, collar 0.25 either side, %", 1),
    ("der_0.25_confusion", "… of the middle one: confusion, %", 1),
    ("voices_right", "mono: calls with the right number of voices, %", 0),
    ("roles", "role right, % of talk time", 1),
    ("roles_swapped", "calls with roles exchanged", 0),
    ("speech_missed", "stereo: speech missed, %", 1),
    ("speech_false", "stereo: speech invented, %", 1),
    ("overlap_missed", "stereo: overlap missed, %", 1),
    ("cut_in_precision_stereo", "stereo: interruptions, precision, %", 1),
    ("cut_in_recall_stereo", "stereo: interruptions, recall, %", 1),
    ("cut_in_f1_stereo", "stereo: interruptions, F1, %", 1),
    ("cut_in_precision_mono", "mono: interruptions, precision, %", 1),
    ("cut_in_recall_mono", "mono: interruptions, recall, %", 1),
    ("cut_in_f1_mono", "mono: interruptions, F1, %", 1),
    ("silence_error", "silence, median error, % of the call", 1),
    ("snr_error_db", "speech-to-noise ratio, median error, dB", 1),
    ("rtf_voices_stereo", "real-time factor of the voices alone, stereo (CPU)", 3),
    ("rtf_voices_mono", "real-time factor of the voices alone, mono (CPU)", 3),
    ("rtf_cpu_stereo", "real-time factor, stereo (CPU)", 3),
    ("rtf_cpu_mono", "real-time factor, mono (CPU)", 3),
    ("rtf_wall_stereo", "real-time factor, stereo (wall clock)", 3),
    ("rtf_wall_mono", "real-time factor, mono (wall clock)", 3),
)


def _cell(value: float | None, decimals: int) -> str:
    return "–" if value is None else f"{value:.{decimals}f}"


def table(sets: Mapping[str, Mapping[str, object]]) -> list[str]:
    """Markdown: a row a figure, a column a set; figures that no set has are left out."""
    names = list(sets)
    figures: list[Figures] = [one["figures"] for one in sets.values()]  # type: ignore[misc]
    lines = [
        "| | " + " | ".join(f"`{name}`" for name in names) + " |",
        "|---" * (len(names) + 1) + "|",
        "| calls / minutes | "
        + " | ".join(f"{s['calls']} / {float(s['audio_s']) / 60:.1f}" for s in sets.values())  # type: ignore[arg-type]
        + " |",
    ]
    for key, words, decimals in ROWS:
        if any(one.get(key) is not None for one in figures):
            lines.append(f"| {words} | " + " | ".join(_cell(f.get(key), decimals) for f in figures) + " |")
    return lines


_STAGES = (
    ("resample", "resampling"),
    ("voices", "voices: activity, crosstalk, diarization"),
    ("diarizer.stretches", "… of it the diarizer"),
    ("recognise", "words"),
    ("recogniser.words", "… of it the recogniser"),
    ("roles", "roles"),
    ("turns", "turns"),
    ("fillers", "fillers"),
    ("recogniser.fillers", "… of it the recogniser"),
    ("phrases", "phrases asked again"),
    ("prosody", "prosody"),
    ("line", "line, noise, hold"),
    ("all", "all"),
)


def stages_table(pools: Sequence[Counts]) -> list[str]:
    """Markdown: CPU seconds a second of audio for each stage, over all calls that were heard in full."""
    lines = ["| stage | stereo | mono |", "|---|---|---|"]
    total: dict[str, dict[str, float]] = {}
    for counts in pools:
        for layout in ("stereo", "mono"):
            if f"cpu_s:all:{layout}" in counts:
                own = total.setdefault(layout, {})
                own["audio"] = own.get("audio", 0.0) + counts[f"audio_s:{layout}"]
                for stage, _ in _STAGES:
                    own[stage] = own.get(stage, 0.0) + counts.get(f"cpu_s:{stage}:{layout}", 0.0)
    for stage, words in _STAGES:
        cells = [
            _cell(total[layout][stage] / total[layout]["audio"], 4) if layout in total else "–"
            for layout in ("stereo", "mono")
        ]
        if any(cell not in ("–", "0.0000") for cell in cells):
            lines.append(f"| {words} | " + " | ".join(cells) + " |")
    return lines
