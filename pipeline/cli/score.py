"""``zhijian score``: the nightly job on one folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import EXIT_INTERRUPTED, EXIT_QUARANTINED, app, print_json

if TYPE_CHECKING:
    from pipeline.night.worker import CallTask


@app.command(
    "score",
    epilog="Example: zhijian score recordings/ --calls calls.csv --out results/ --identity my.key",
)
def score(
    recordings: Annotated[
        str, typer.Argument(metavar="RECORDINGS", help="Folder or URI of the encrypted recordings.")
    ],
    calls: Annotated[
        str, typer.Option("--calls", metavar="CDR", help="Call detail records: CSV, JSON Lines or Parquet.")
    ],
    out: Annotated[
        str, typer.Option("--out", metavar="RESULTS", help="Folder of the results; made if missing.")
    ],
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="KEY", help="File with the secret key, mode 0600.")
    ] = None,
    rulebook: Annotated[
        Path | None, typer.Option("--rulebook", metavar="DIR", help="Another rulebook.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes; default one per core.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="Recogniser: a registry name or a folder.")
    ] = None,
    retry_quarantined: Annotated[
        bool,
        typer.Option("--retry-quarantined", help="Try quarantined recordings again though nothing changed."),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable summary.")] = False,
) -> None:
    """Score every call of the call records, or quarantine it with a reason. Safe to repeat, safe to kill."""
    from pipeline.night.preflight import missing_optional
    from pipeline.night.run import open_night, run_night
    from pipeline.settings import load_settings

    flags = {
        "recordings": recordings,
        "calls": calls,
        "results": out,
        "identity": identity,
        "rulebook": rulebook,
        "workers": workers,
        "model": model,
    }
    settings, _ = load_settings(flags)
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        night = open_night(settings, retry_quarantined=retry_quarantined)
        if not json:
            typer.echo(night.describe(), err=True)
            for name in missing_optional(settings):
                typer.echo(
                    f"optional model {name} is not installed, words stay as heard; "
                    f"`zhijian models fetch {name}` brings it",
                    err=True,
                )
        with _progress(night.plan.tasks) as advance:
            night.on_progress = advance
            summary = run_night(night)
    except KeyboardInterrupt:
        typer.echo(
            "zhijian: interrupted; what was finished is kept, run the same command again to go on", err=True
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if json:
        print_json({**summary.counts(), "run_id": summary.run_id, "audio_s": summary.audio_s,
                    "wall_s": summary.wall_s, "waiting": summary.waiting, "reasons": summary.reasons,
                    "cpu_s": summary.stage_s, "workers": summary.workers, "peak_mb": summary.peak_mb,
                    "damaged": summary.damaged})  # fmt: skip
    else:
        typer.echo(summary.headline())
        for kind, count in sorted(summary.reasons.items()):
            typer.echo(f"  quarantined: {count} x {kind}")
    if summary.quarantined:
        typer.echo(
            f"zhijian: {summary.quarantined} of {summary.calls_in} calls are in quarantine; reasons: "
            f"zhijian show --quarantine --results {out}",
            err=True,
        )
        raise typer.Exit(EXIT_QUARANTINED)


def _as_interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _progress(tasks: Sequence[CallTask]) -> Iterator[Callable[[float, int], None]]:
    """Calls done, calls/s, hours of audio per hour, time left; only where a person watches.

    The longest calls come first, so the time left is told by bytes of recordings, not by calls.
    """
    if not sys.stderr.isatty() or not tasks:
        yield lambda audio_s, size_bytes: None
        return
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    started_s = time.monotonic()
    heard_s = 0.0
    done = 0
    columns = (
        TextColumn("hearing"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeRemainingColumn(),
    )
    total = sum(task.recording.size_bytes for task in tasks)
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("hearing", total=total, said=f"0/{len(tasks)}")

        def advance(audio_s: float, size_bytes: int) -> None:
            nonlocal heard_s, done
            heard_s += audio_s
            done += 1
            wall_s = time.monotonic() - started_s
            said = f"{done}/{len(tasks)}, {done / wall_s:.2f} calls/s, {heard_s / wall_s:.1f} audio-h/h"
            bar.update(row, advance=size_bytes, said=said)

        yield advance
