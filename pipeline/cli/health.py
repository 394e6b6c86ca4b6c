"""``zhijian health``: recordings that are missing, unreadable, silent, one-sided or clipped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.app import EXIT_FAILED, EXIT_QUARANTINED, app, print_json, print_rich

if TYPE_CHECKING:
    from pipeline.night.health import HealthReport


@app.command(
    "health",
    epilog="Example: zhijian health --calls calls.csv --recordings recordings/ --identity recordings.key",
)
def health(
    calls: Annotated[str, typer.Option("--calls", metavar="CDR", help="Call detail records.")],
    recordings: Annotated[
        str, typer.Option("--recordings", metavar="RECORDINGS", help="Folder or URI of the recordings.")
    ],
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="KEY", help="File with the secret key, mode 0600.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", metavar="N", help="Processes; default one per core.")
    ] = None,
    presence_only: Annotated[
        bool, typer.Option("--presence-only", help="Do not open the recordings; needs no key.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable report.")] = False,
) -> None:
    """Say which calls have no recording that can be heard. Exit status 0: none, 3: some."""
    from dataclasses import asdict

    from pipeline.errors import KeyMaterialError
    from pipeline.night.health import inspect_recordings
    from pipeline.settings import load_settings

    settings, _ = load_settings(
        {"calls": calls, "recordings": recordings, "identity": identity, "workers": workers}
    )
    unopened: KeyMaterialError | None = None
    with _progress() as advance:
        try:
            report = inspect_recordings(settings, open_audio=not presence_only, on_progress=advance)
        except KeyMaterialError as error:
            if settings.identity is not None:
                raise
            unopened = error
            report = inspect_recordings(settings, open_audio=False)
    if json:
        print_json(
            {
                "calls": report.calls,
                "recordings": report.recordings,
                "opened": report.opened,
                "sound": report.sound,
                "found": report.counts(),
                "findings": [asdict(finding) for finding in report.findings],
                "wall_s": report.wall_s,
            }
        )
    else:
        _print(report)
    if unopened is not None:
        typer.echo(
            f"zhijian: the recordings were counted but not opened: {unopened}; or give --presence-only",
            err=True,
        )
        raise typer.Exit(EXIT_FAILED)
    if report.findings:
        raise typer.Exit(EXIT_QUARANTINED)


def _print(report: HealthReport) -> None:
    from rich import box
    from rich.table import Table

    from pipeline.night.health import KINDS

    if report.findings:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("问题", no_wrap=True)
        table.add_column("通话", no_wrap=True)
        table.add_column("说明")
        for finding in report.findings:
            table.add_row(KINDS[finding.kind], finding.call_id or finding.path, finding.detail)
        print_rich(table)
    typer.echo(report.headline_zh())


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("inspecting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        row = bar.add_task("inspecting", total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)
