"""Measure how well recordings are heard; keep the figures and rewrite their table.

``python -m benchmarks.hearing`` measures the sample calls and, where a folder of human recordings is known
(``--speech``, ``ZHIJIAN_SPEECH``, or ``../shared/speech`` beside the repository), calls stitched from them.
``--set NAME=FOLDER`` adds generated calls with a ``truth.json``. Figures of sets that were not measured this
time are kept, model by model, in ``docs/hearing.json``; the table in ``docs/accuracy.md`` shows all of them.
Model, device and number type come from the usual settings, so ``ZHIJIAN_MODEL=large-v3 make bench-hearing``
adds a table for another model, and a machine with a GPU a table for that.

Table of contents: `Options`, `measure`, `main`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.document import DOCS, write_section
from benchmarks.hearing.figures import Pool, figures_of, stages_table, table
from benchmarks.hearing.generated import generated_calls
from benchmarks.hearing.goals import goals_table
from benchmarks.hearing.lines import human_sets
from benchmarks.hearing.measuring import Ports, heard_call, voices_of_call
from benchmarks.hearing.truth import Counts, TrueCall
from benchmarks.pinned import as_worker
from pipeline.settings import Settings, load_settings

ROOT = Path(__file__).resolve().parents[2]
KEPT = DOCS / "hearing.json"
SPEECH_ENV = "ZHIJIAN_SPEECH"
_QUICK_CALLS = 2

Sets = dict[str, list[TrueCall]]


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure.

    Attributes
    ----------
    only : tuple of str
        Names of sets; empty = all.
    quick : bool
        The shortest calls of each set only; nothing is written.
    hours : float
        No call is begun after this many hours.
    """

    only: tuple[str, ...] = ()
    quick: bool = False
    hours: float = 4.0


def measure(
    sets: Sets, ports: Ports, options: Options, *, say: Callable[[str], None] = print
) -> dict[str, Any]:
    """Hear all calls of all sets.

    Returns
    -------
    dict
        Set name → calls, audio_s, figures, counts; ``left_out`` when the time was up.
    """
    until = time.monotonic() + 3600.0 * options.hours
    found: dict[str, Any] = {}
    for name, calls in sets.items():
        if options.only and name not in options.only:
            continue
        chosen = sorted(calls, key=lambda c: c.duration_s)[:_QUICK_CALLS] if options.quick else calls
        pool, audio_s = Pool(), 0.0
        for call in chosen:
            if time.monotonic() > until:
                break
            counts = _counts(call, ports)
            pool.add(counts)
            audio_s += call.duration_s
            say(_line(name, call, counts))
        if pool.calls:
            found[name] = {
                "calls": pool.calls,
                "audio_s": round(audio_s, 1),
                "left_out": len(chosen) - pool.calls,
                "figures": {k: None if v is None else round(v, 4) for k, v in figures_of(pool).items()},
                "counts": {k: round(v, 4) for k, v in sorted(pool.sums.items())},
            }
    return found


def _counts(call: TrueCall, ports: Ports) -> Counts:
    return heard_call(call, ports)[0] if call.has_words else voices_of_call(call, ports)


_SHOWN = ("cer_agent", "filler_f1", "der_0.25", "roles", "speech_missed", "speech_false", "rate_error")


def _line(name: str, call: TrueCall, counts: Counts) -> str:
    pool = Pool()
    pool.add(counts)
    figures = figures_of(pool)
    shown = [f"{key} {value:.1f}" for key in _SHOWN if (value := figures[key]) is not None]
    return f"{name:16} {call.id:40} {call.layout:6} {call.duration_s:6.1f} s  " + "  ".join(shown)


def _sets(args: argparse.Namespace, settings: Settings) -> Sets:
    sets: Sets = {"data_samples": generated_calls(ROOT / "data_samples")}
    for extra in args.set:
        name, _, folder = extra.partition("=")
        sets[name] = generated_calls(Path(folder))
    speech = args.speech or os.environ.get(SPEECH_ENV) or ROOT.parent / "shared" / "speech"
    if Path(speech).is_dir():
        sets.update(human_sets(Path(speech)))
        if args.tuned:
            sets.update(human_sets(Path(speech), tuned=True))
    return sets


def _ports(settings: Settings) -> Ports:
    from models import load_diarizer, load_recognizer, load_words
    from pipeline.hearing.lexicon import load_lexicon
    from pipeline.hearing.respell import Speller

    device, threads = settings.device, settings.threads_per_worker
    lexicon, words = load_lexicon(), load_words(settings.model, settings.model_dir)
    return Ports(
        lambda: load_recognizer(
            settings.model,
            settings.model_dir,
            device=device,
            compute_type=settings.compute_type,
            threads=threads,
        ),
        lambda: load_diarizer(settings.model, settings.model_dir, device=device, threads=threads),
        lexicon,
        Speller(words, lexicon.spelling) if words is not None else None,
    )


def _machine(settings: Settings) -> dict[str, Any]:
    import platform

    device = settings.device
    if device == "auto":
        import ctranslate2

        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
    return {
        "device": device,
        "compute_type": settings.compute_type,
        "threads": settings.threads_per_worker,
        "cores_visible": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def document(kept: dict[str, Any]) -> str:
    """The generated section: a table of figures and one of stages for every model and device."""
    lines = []
    for name, one in sorted(kept.items()):
        machine = one["machine"]
        lines += [
            f"### {name}",
            "",
            f"{machine['device']}, number type {machine['compute_type']}, {machine['threads']} thread(s).",
            "",
            *goals_table(one["sets"]),
            "",
            *table(one["sets"]),
            "",
            "CPU seconds a second of audio, by stage, over the calls heard in full:",
            "",
            *stages_table([s["counts"] for s in one["sets"].values()]),
            "",
        ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hearing", description=__doc__)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--speech", metavar="FOLDER", help="human recordings")
    parser.add_argument("--tuned", action="store_true", help="also the voices that limits were chosen with")
    parser.add_argument("--quick", action="store_true", help="two short calls a set; writes nothing")
    parser.add_argument("--hours", type=float, default=4.0, help="begin no call after this many hours")
    parser.add_argument("--dry", action="store_true", help="print only")
    args = parser.parse_args(arguments)
    settings, _ = load_settings({})
    options = Options(tuple(args.only), args.quick, args.hours)
    found = measure(_sets(args, settings), _ports(settings), options)
    if not found:
        print("no set was measured; --only names none of the sets there are", file=sys.stderr)
        return 1
    machine = _machine(settings)
    print(
        "\n".join(
            [
                "",
                *goals_table(found),
                "",
                *table(found),
                "",
                *stages_table([s["counts"] for s in found.values()]),
            ]
        )
    )
    if not (args.quick or args.dry):
        kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
        key = f"{Path(settings.model).name} on {machine['device']}"
        sets = {**kept.get(key, {}).get("sets", {}), **found}
        kept[key] = {"machine": machine, "sets": dict(sorted(sets.items()))}
        KEPT.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        write_section("accuracy.md", "hearing", document(kept))
    return 0


if __name__ == "__main__":
    as_worker()
    sys.exit(main())
