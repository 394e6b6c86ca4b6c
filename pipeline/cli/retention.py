"""``zhijian retention``: what may be deleted, and, in a second step, its deletion; legal holds."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app, print_json, print_rich


@app.command(
    "retention",
    epilog="Example: zhijian retention results/ --recordings recordings/   (then again with --apply)",
)
def retention(
    place: Annotated[
        str, typer.Argument(metavar="RESULTS|RECORDINGS", help="Results, or recordings with --calls.")
    ],
    recordings: Annotated[
        str | None, typer.Option("--recordings", metavar="DIR", help="Recordings of these results.")
    ] = None,
    calls: Annotated[
        str | None, typer.Option("--calls", metavar="CDR", help="Call records of recordings without results.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Delete what the last dry run said and is still due.")
    ] = False,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="HASH", help="With --apply: only if this is the plan.")
    ] = None,
    hold: Annotated[
        str | None, typer.Option("--hold", metavar="CALL_ID", help="Keep this call whatever its age.")
    ] = None,
    release: Annotated[
        str | None, typer.Option("--release", metavar="CALL_ID", help="Lift the holds on this call.")
    ] = None,
    until: Annotated[
        datetime | None, typer.Option("--until", formats=["%Y-%m-%d"], help="Last day of a hold.")
    ] = None,
    why: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why a hold is placed or lifted.")
    ] = "",
    who: Annotated[
        str | None, typer.Option("--by", metavar="WHO", help="Who asks, for the audit log.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Say what may be deleted (3 years; 5 in complaint or dispute; never on hold). A dry run by default."""
    from dataclasses import asdict

    from pipeline.report.retained import next_command, retention_page
    from pipeline.retention import place_hold, release_hold, run_retention
    from pipeline.settings import load_settings

    if hold is not None or release is not None:
        if hold is not None:
            place_hold(place, hold, why=why, who=who or "", until=until.date() if until else None)
            if not _is_stored(place, hold):
                typer.echo(f"zhijian: {place} has no call {hold} yet; check the id of the hold", err=True)
            typer.echo(f"{hold} 已列入保全，{f'保留至 {until:%Y-%m-%d}' if until else '保留至解除为止'}")
        if release is not None:
            release_hold(place, release, why=why, who=who or "")
            typer.echo(f"{release} 的保全已解除")
        return
    flags = {"results": place, "recordings": recordings, "calls": calls}
    if not _holds_results(place):
        flags = {"recordings": place, "calls": calls}
    settings, _ = load_settings(flags)
    report = run_retention(settings, apply=apply, plan_hash=plan, who=who)
    if json:
        print_json({**asdict(report), "hash": report.plan.hash})
        return
    print_rich(retention_page(report, asked_to_apply=apply))
    if report.plan.items:
        given = {"--recordings": recordings, "--calls": calls}
        typer.echo(f"要删除，请运行：\n{next_command(place, report.plan.hash, given)}")


def _is_stored(place: str, call_id: str) -> bool:
    from pipeline.results.store import Store

    return bool(Store.open(place).read("scores", columns=("call_id",), call_ids=[call_id]).num_rows)


def _holds_results(place: str) -> bool:
    from pipeline.errors import ResultsError
    from pipeline.results.store import Store

    try:
        return not Store.open(place).is_empty() or not any(Path(place).glob("*.*.*"))
    except ResultsError:
        return False
