"""``zhijian show``: results in a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import app, print_json, print_rich
from pipeline.errors import AccessRefusedError, InputError, KeyMaterialError

if TYPE_CHECKING:
    from pipeline.disputes.effective import EffectiveScore

SEALED_ZH = "（文字已加密，须有转写密钥才能阅读）"


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, why, and whether masks are to be lifted."""

    unmasked: bool
    who: str | None
    why: str


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
    unmasked: Annotated[
        bool, typer.Option("--unmasked", help="Personal numbers as they were said; needs the dispute key.")
    ] = False,
    who: Annotated[
        str | None, typer.Option("--by", metavar="WHO", help="Who asks, for the audit log.")
    ] = None,
    why: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log.")] = "",
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Print a call's score, its verdicts with their evidence, and the transcript; or a table of all calls.

    Personal numbers are masked. Where the words are sealed and their key is not at hand, all else is shown.
    """
    from pipeline.results.store import Store

    store = Store.open(results)
    if quarantine:
        _show_quarantine(store, json)
    elif call_id is None:
        _show_calls(store, json)
    else:
        _show_call(store, call_id, transcript, json, Reader(unmasked, who, why))


def _rows(store: Any, table: str, call_ids: set[str] | None = None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = store.read(table, call_ids=call_ids).to_pylist()
    return rows


def _show_call(store: Any, call_id: str, transcript: bool, json: bool, reader: Reader) -> None:
    from dataclasses import asdict

    from pipeline.disputes.effective import effective_of_rows
    from pipeline.report.terminal import call_form
    from pipeline.settings import load_settings

    scores = _rows(store, "scores", {call_id})
    if not scores:
        held = [row for row in store.quarantined().values() if row.call_id == call_id]
        if held:
            raise InputError(f"call {call_id} is in quarantine ({held[-1].kind}): {held[-1].message}")
        raise InputError(
            f"call {call_id} is not in {store.place}; `zhijian show --results …` lists all calls"
        )
    verdicts, turns, sealed = _words(store, call_id, reader)
    if sealed:
        typer.echo(f"zhijian: {sealed}", err=True)
    effective = effective_of_rows(store, scores[:1], verdicts, current=load_settings()[0].rulebook).get(
        call_id
    )
    if json:
        print_json(
            {
                "score": scores[0],
                "verdicts": verdicts,
                "turns": turns if transcript else None,
                "effective": None if effective is None else asdict(effective),
            }
        )
    else:
        print_rich(call_form(scores[0], verdicts, turns, transcript=transcript, effective=effective))


def _words(
    store: Any, call_id: str, reader: Reader
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], str | None]:
    """Verdicts and turns of a call, recorded and masked; without their words, and why, if they are sealed."""
    from pipeline.audit import audit_place, record_opening, record_refusal
    from pipeline.privacy import CallMask, may_unmask
    from pipeline.settings import load_settings

    settings, _ = load_settings({"results": store.place})
    place = audit_place(settings)
    what = "unmasked transcript" if reader.unmasked else "transcript"
    try:
        if reader.unmasked:
            may_unmask(settings)
        record_opening(call_id, at=place, purpose="show", what=what, who=reader.who, why=reader.why)
        verdicts, turns = _rows(store, "verdicts", {call_id}), _rows(store, "turns", {call_id})
    except KeyMaterialError as error:
        record_refusal(call_id, error, at=place, purpose="show", what=what, who=reader.who)
        if reader.unmasked or not isinstance(error, AccessRefusedError):
            raise
        bare = [_bare(store, table, call_id) for table in ("verdicts", "turns")]
        return bare[0], bare[1], str(error)
    if reader.unmasked:
        return verdicts, turns, None
    turns.sort(key=lambda row: row["turn"])
    call = CallMask.of_rows(turns)
    return call.verdict_rows(verdicts), call.turn_rows(turns), None


def _bare(store: Any, table: str, call_id: str) -> list[dict[str, Any]]:
    """Rows with nothing that was said: empty where words would stand."""
    from pipeline.results.schemas import TABLES

    closed = {column.name: column for column in TABLES[table] if column.access != "open"}
    names = [column.name for column in TABLES[table] if column.name not in closed]
    rows: list[dict[str, Any]] = store.read(table, columns=names, call_ids={call_id}).to_pylist()
    empty: dict[str, Any] = {"reason": SEALED_ZH, "text": SEALED_ZH, "evidence": [], "words": None}
    return [{**row, **{name: empty.get(name, "") for name in closed}} for row in rows]


def _show_calls(store: Any, json: bool) -> None:
    from pipeline.disputes.effective import effective_of_rows
    from pipeline.report.terminal import calls_table
    from pipeline.settings import load_settings

    scores = _rows(store, "scores")
    columns = ("call_id", "rule_id", "clause", "name_zh", "verdict", "due", "met", "weight", "points")
    rows = store.read("verdicts", columns=(*columns, "severity", "confidence")).to_pylist()
    effective = effective_of_rows(store, scores, rows, current=load_settings()[0].rulebook)
    if json:
        print_json([{**row, "effective": _in_short(effective.get(row["call_id"]))} for row in scores])
        return
    verdicts: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        verdicts.setdefault(row["call_id"], []).append(row)
    print_rich(calls_table(scores, verdicts, effective))
    held = len(store.quarantined())
    if held:
        typer.echo(f"隔离 {held} 条：zhijian show --quarantine --results {store.place}")


def _in_short(effective: EffectiveScore | None) -> dict[str, Any] | None:
    """What holds of a call after people decided; None when nobody did."""
    if effective is None:
        return None
    return {"score": effective.score, "grade": effective.grade, "fatal": effective.fatal}


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
