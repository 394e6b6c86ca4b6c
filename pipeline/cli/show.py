"""``zhijian show``: results in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from pipeline.cli.app import app, print_json, print_rich
from pipeline.errors import InputError


@app.command(
    "show",
    epilog="Example: zhijian show 20260105-0017 --results results/   |   zhijian show --results results/",
)
def show(
    results: Annotated[str, typer.Option("--results", metavar="RESULTS", help="Folder of the results.")],
    call_id: Annotated[
        str | None, typer.Argument(metavar="CALL_ID", help="One call; without it, all calls.")
    ] = None,
    quarantine: Annotated[
        bool, typer.Option("--quarantine", help="What could not be scored, and why.")
    ] = False,
    transcript: Annotated[
        bool, typer.Option("--transcript/--no-transcript", help="Print what was said.")
    ] = True,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Print a call's score, its verdicts with their evidence, and the transcript; or a table of all calls."""
    from pipeline.results.store import Store

    store = Store.open(results)
    if quarantine:
        _show_quarantine(store, json)
    elif call_id is None:
        _show_calls(store, json)
    else:
        _show_call(store, call_id, transcript, json)


def _rows(store: Any, table: str, call_ids: set[str] | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.read(table, call_ids=call_ids).to_pylist()
    return rows


def _show_call(store: Any, call_id: str, transcript: bool, json: bool) -> None:
    from pipeline.report.terminal import call_form

    scores = _rows(store, "scores", {call_id})
    if not scores:
        held = [row for row in store.quarantined().values() if row.call_id == call_id]
        if held:
            raise InputError(f"call {call_id} is in quarantine ({held[-1].kind}): {held[-1].message}")
        raise InputError(
            f"call {call_id} is not in {store.place}; `zhijian show --results …` lists all calls"
        )
    verdicts = _rows(store, "verdicts", {call_id})
    turns = _rows(store, "turns", {call_id})
    if json:
        print_json({"score": scores[0], "verdicts": verdicts, "turns": turns if transcript else None})
    else:
        print_rich(call_form(scores[0], verdicts, turns, transcript=transcript))


def _show_calls(store: Any, json: bool) -> None:
    from pipeline.report.terminal import calls_table

    scores = _rows(store, "scores")
    if json:
        print_json(scores)
        return
    verdicts: dict[str, list[Mapping[str, Any]]] = {}
    for row in _rows(store, "verdicts"):
        verdicts.setdefault(row["call_id"], []).append(row)
    print_rich(calls_table(scores, verdicts))
    held = len(store.quarantined())
    if held:
        typer.echo(f"隔离 {held} 条：zhijian show --quarantine --results {store.place}")


def _show_quarantine(store: Any, json: bool) -> None:
    from dataclasses import asdict

    rows = sorted(store.quarantined().values(), key=lambda r: (r.kind, r.call_id or "", r.path))
    if json:
        print_json([asdict(row) for row in rows])
        return
    if not rows:
        typer.echo("隔离区为空")
    for row in rows:
        typer.echo(f"{row.kind}  {row.call_id or '—'}  第 {row.attempts} 次  {row.last_seen:%Y-%m-%d %H:%M}")
        typer.echo(f"  {row.message}")
