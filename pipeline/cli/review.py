"""``zhijian review``: what people decide about verdicts, as an Excel sheet or one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.app import app, each_a_day, print_json, print_rich, verdict_code, verdict_codes

review_app = typer.Typer(no_args_is_help=True, help="Human review: sheets, appeals, rulings, statistics.")
app.add_typer(review_app, name="review")

Results = Annotated[str, typer.Option("--results", metavar="RESULTS", help="Folder of the results.")]
Json = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@review_app.command(
    "export", epilog="Example: zhijian review export --results results/ --out review.xlsx --sample --seed 1"
)
def export(
    results: Results,
    out: Annotated[Path, typer.Option("--out", metavar="FILE.xlsx", help="The workbook to write.")],
    sample: Annotated[
        bool, typer.Option("--sample", help="Draw a stratified sample, machine passes included.")
    ] = False,
    sample_id: Annotated[
        str | None, typer.Option("--sample-id", help="A sample that was drawn before, for a second reviewer.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the draw.")] = 1,
    call: Annotated[
        list[str] | None, typer.Option("--call", metavar="CALL_ID", help="Only this call; repeatable.")
    ] = None,
    date: Annotated[
        list[str] | None,
        typer.Option("--date", metavar="YYYY-MM-DD", callback=each_a_day, help="Only this day; repeatable."),
    ] = None,
    verdict: Annotated[
        list[str] | None,
        typer.Option("--verdict", callback=verdict_codes, help="Only this machine verdict; repeatable."),
    ] = None,
    rule: Annotated[list[str] | None, typer.Option("--rule", help="Only this rule; repeatable.")] = None,
    reviewer: Annotated[str, typer.Option("--reviewer", help="Filled into every row.")] = "",
    json: Json = False,
) -> None:
    """Write a sheet for QA staff: drop-downs, time codes, personal data masked."""
    from pipeline.audit import audit_place, record_opening
    from pipeline.disputes.policy import load_policy
    from pipeline.disputes.sampling import draw, read_sample, store_sample
    from pipeline.disputes.sheet import sheet_rows, write_sheet
    from pipeline.errors import InputError
    from pipeline.results.store import Store
    from pipeline.settings import load_settings

    if out.exists():
        raise InputError(f"{out}: exists already and is never overwritten; choose another name")
    if verdict is None and call is None and not sample and sample_id is None:
        verdict = ["fail", "uncertain"]
    settings, _ = load_settings({"results": results})
    store = Store.open(results, write=sample)
    drawn = None
    if sample_id is not None:
        drawn = read_sample(store, sample_id)
    elif sample:
        drawn = draw(store, seed=seed, dates=date, rules=rule, policy=load_policy(settings.rulebook))
        store_sample(store, drawn)
    rows = sheet_rows(store, sample=drawn, call_ids=call, dates=date, verdicts=verdict, rules=rule)
    if not rows:
        unknown = _unknown_calls(store, call)
        why = f"no call {'、'.join(unknown)} here" if unknown else "no verdict fits all of these"
        raise InputError(f"{results}: {why}; check --call, --date, --verdict and --rule")
    calls = sorted({row.call_id for row in rows})
    place = audit_place(settings, results=results)
    record_opening(calls, at=place, purpose="review", what="transcript", who=reviewer or None)
    data = write_sheet(rows, reviewer=reviewer)
    out.write_bytes(data)
    found: dict[str, Any] = {"file": str(out), "rows": len(rows), "calls": len(calls)}
    if drawn is not None:
        found["sample_id"] = drawn.sample_id
    if json:
        print_json(found)
    else:
        of_sample = f"，抽样 {drawn.sample_id}" if drawn is not None else ""
        typer.echo(f"{out}：{len(rows)} 行，{len(calls)} 通{of_sample}")


@review_app.command("import", epilog="Example: zhijian review import review.xlsx --results results/")
def import_(
    sheet: Annotated[Path, typer.Argument(metavar="FILE.xlsx", help="The filled workbook.")],
    results: Results,
    reviewer: Annotated[str | None, typer.Option("--reviewer", help="For rows that do not name one.")] = None,
    check: Annotated[bool, typer.Option("--check", help="Only find problems; import nothing.")] = False,
    json: Json = False,
) -> None:
    """Import a filled sheet, all of it or nothing; every bad row is named."""
    from pipeline.disputes.sheetimport import import_sheet
    from pipeline.errors import InputError
    from pipeline.results.store import Store

    try:
        data = sheet.read_bytes()
    except OSError as error:
        raise InputError(f"{sheet}: cannot be read ({error.strerror})") from None
    store = Store.open(results, write=not check)
    filled, entered = import_sheet(store, data, reviewer=reviewer, check_only=check)
    overturned = sum(review.kind == "overturn" for review in entered)
    if json:
        print_json({"filled": filled, "entered": len(entered), "overturned": overturned})
        return
    known = filled - len(entered)
    verb = "可以导入" if check else "导入"
    typer.echo(
        f"{verb} {len(entered)} 条（改判 {overturned} 条）" + (f"，{known} 条此前已有" if known else "")
    )


@review_app.command(
    "appeal",
    epilog="Example: zhijian review appeal c17 inbound.empathy --by 3025 --reason 客户并未激动 "
    "--results results/",
)
def appeal_(
    call_id: Annotated[str, typer.Argument(metavar="CALL_ID")],
    rule_id: Annotated[str, typer.Argument(metavar="RULE_ID")],
    results: Results,
    by: Annotated[str, typer.Option("--by", metavar="AGENT", help="The call's own agent (工号).")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
    verdict: Annotated[
        str, typer.Option("--verdict", callback=verdict_code, help="What is asked for.")
    ] = "pass",
) -> None:
    """Enter an agent's appeal against a verdict, within the window."""
    from pipeline.disputes.reviews import Decision

    _enter(results, Decision(call_id, rule_id, verdict, by, "appeal", reason, source="cli"))


@review_app.command(
    "rule",
    epilog="Example: zhijian review rule c17 inbound.empathy --verdict pass --by lead --reason 已复听 "
    "--results results/",
)
def rule_(
    call_id: Annotated[str, typer.Argument(metavar="CALL_ID")],
    rule_id: Annotated[str, typer.Argument(metavar="RULE_ID")],
    results: Results,
    verdict: Annotated[
        str, typer.Option("--verdict", callback=verdict_code, help="pass, fail, not_applicable or uncertain.")
    ],
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Neither the agent nor a reviewer of it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why.")],
) -> None:
    """Enter the final ruling on a verdict that was reviewed or appealed against."""
    from pipeline.disputes.reviews import Decision

    _enter(results, Decision(call_id, rule_id, verdict, by, "ruling", reason, source="cli"))


@review_app.command(
    "stats", epilog="Example: zhijian review stats --results results/ --sample-id s20260310-…"
)
def stats(
    results: Results,
    sample_id: Annotated[str | None, typer.Option("--sample-id", help="Default: the latest sample.")] = None,
    json: Json = False,
) -> None:
    """Precision and recall of each rule by the reviewed sample, agreement, and effective scores."""
    from dataclasses import asdict

    from pipeline.disputes.agreement import machine_kappa, reviewer_kappas
    from pipeline.disputes.effective import effective_scores
    from pipeline.disputes.policy import load_policy
    from pipeline.disputes.reviews import read_reviews
    from pipeline.disputes.sampling import estimate, read_sample, sample_ids
    from pipeline.report.reviewtables import stats_tables
    from pipeline.results.store import Store
    from pipeline.settings import load_settings

    settings, _ = load_settings({"results": results})
    policy = load_policy(settings.rulebook)
    store = Store.open(results)
    reviews = read_reviews(store)
    ids = sample_ids(store)
    chosen = sample_id or (ids[-1] if ids else None)
    estimates = [] if chosen is None else estimate(read_sample(store, chosen), reviews, policy=policy)
    machine, between = machine_kappa(reviews), reviewer_kappas(reviews)
    effective = effective_scores(store, current=settings.rulebook)
    if json:
        print_json(
            {
                "sample_id": chosen,
                "rules": [asdict(each) for each in estimates],
                "kappa_machine": asdict(machine),
                "kappa_reviewers": {" / ".join(pair): asdict(kappa) for pair, kappa in between.items()},
                "effective": [asdict(each) for each in effective],
            }
        )
    else:
        print_rich(stats_tables(chosen, estimates, machine, between, effective, confidence=policy.confidence))


def _unknown_calls(store: Any, asked: list[str] | None) -> list[str]:
    known = set(store.read("scores", columns=("call_id",), call_ids=asked or [])["call_id"].to_pylist())
    return [call_id for call_id in asked or () if call_id not in known]


def _enter(results: str, decision: Any) -> None:
    from pipeline.disputes.reviews import add_reviews
    from pipeline.report.comparison import kind_zh
    from pipeline.results.store import Store

    entered = add_reviews(Store.open(results, write=True), [decision])
    if not entered:
        typer.echo("此前已有同样的记录，未重复登记")
    for review in entered:
        what, said = f"{review.call_id} {review.rule_id}", kind_zh(review.machine_verdict)
        if review.kind == "appeal":
            typer.echo(
                f"申诉已登记：{what}，机器判“{said}”，{review.person} 要求改为“{kind_zh(review.verdict)}”；"
                "等待终裁（zhijian review rule）"
            )
        else:
            typer.echo(
                f"终裁已登记：{what}，机器判“{said}”，{review.person} 终裁为“{kind_zh(review.verdict)}”；"
                f"有效得分见 zhijian show {review.call_id}"
            )
