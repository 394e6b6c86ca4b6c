"""``zhijian compact``: many small result files into few."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import app, print_json


@app.command("compact", epilog="Example: zhijian compact results/")
def compact(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="Folder or URI of the results.")],
    dates: Annotated[
        list[str] | None,
        typer.Option("--date", metavar="YYYY-MM-DD", help="Only calls of this day; repeatable."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Put many small result files together; no row changes. Safe to kill, safe while a night runs."""
    from pipeline.cli.progress import progress_over
    from pipeline.results.store import Store

    Store.open(results)  # a folder that is not there is a mistake, not a place to begin
    store = Store.open(results, write=True)
    wanted = dates if dates is None else list(dates)
    total = len(store.dates() if wanted is None else wanted)
    done = list(progress_over(store.compact(dates=wanted), total=total, label="compacting"))
    before, after = sum(d.files_before for d in done), sum(d.files_after for d in done)
    orphans = sum(d.orphans for d in done)
    if json:
        print_json({"partitions": sum(d.partitions for d in done), "files_before": before,
                    "files_after": after, "orphans_removed": orphans})  # fmt: skip
    else:
        typer.echo(f"{before} files put together in {after}; {orphans} left by interrupted writers removed")
