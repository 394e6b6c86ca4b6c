"""``zhijian verify``: what was stored is still what was stored, and what was opened stands in the audit log.

Each part is a function that gives a `Part`; the command prints them and fails on the first problem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.app import EXIT_FAILED, app, print_json

if TYPE_CHECKING:
    from pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that was checked: its name, one line about it, the first problem, figures for ``--json``."""

    name: str
    line: str
    problem: str | None = None
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """What the command was asked for."""

    results: str
    settings: Settings
    audit_keys: tuple[Path, ...] = ()
    anchors: tuple[Path, ...] = ()
    known_head: str | None = None
    audits: tuple[Path, ...] = ()
    heard_again: tuple[str, ...] = ()


def audit_part(request: Request) -> Part:
    """Check the audit logs of the results."""
    from pipeline.audit import audit_place
    from pipeline.audit.keys import load_audit_keys, own_audit_key
    from pipeline.audit.log import log_files
    from pipeline.audit.verify import verify_audit

    place = audit_place(request.settings, results=request.results)
    folders = request.audits or (place.folder,)
    if not any(log_files(folder) for folder in folders):
        return Part("audit", f"{folders[0]}: no log, nothing was opened yet")
    keys = load_audit_keys(request.audit_keys)
    if not request.audit_keys:
        keys.append(own_audit_key(place.key))
    anchors = [*request.anchors, *([place.anchor] if place.anchor else [])]
    lines, figures = [], {}
    for folder in folders:
        report = verify_audit(folder, keys, anchors=anchors, known_head=request.known_head)
        figures[str(folder)] = {
            "records": report.records,
            "checkpoints": report.checkpoints,
            "unproven": report.unproven,
            "after_checkpoint": report.after_checkpoint,
            "head": report.head,
            "strangers": list(report.strangers),
        }
        if report.problem is not None:
            return Part("audit", f"{folder}: broken", report.problem, figures)
        line = (
            f"{folder}: {report.records} records hold, {report.checkpoints} signed checkpoints, "
            f"{report.after_checkpoint} records since the last; head {report.head}"
        )
        if report.unproven:
            line += (
                f"; {report.unproven} records are by keys whose secret was not given: "
                "their order was checked, their codes were not"
            )
        lines.append(line)
    return Part("audit", "\n".join(lines), None, figures)


def openings_part(request: Request) -> Part:
    """Hold the recordings that were heard against those that the logs say were opened."""
    from pipeline.audit import audit_place
    from pipeline.audit.coverage import read_openings, unrecorded
    from pipeline.results.store import Store

    folders = request.audits or (audit_place(request.settings, results=request.results).folder,)
    heard, missing = unrecorded(Store.open(request.results), read_openings(folders))
    figures = {"heard": heard, "unrecorded": len(missing)}
    if missing:
        call_id, version = missing[0]
        problem = (
            f"call {call_id} version {version} was heard from its recording, and no log says who opened it "
            f"({len(missing)} of {heard} such); the log was removed, or lies elsewhere: give --audit DIR"
        )
        return Part("openings", f"{len(missing)} of {heard} without a record", problem, figures)
    return Part("openings", f"{heard} recordings heard, each with its record", None, figures)


def scores_part(request: Request) -> Part:
    """Derive the stored scores again from what was heard."""
    from dataclasses import asdict

    from pipeline.disputes.recheck import check_scores
    from pipeline.results.store import Store

    found = check_scores(Store.open(request.results), current=request.settings.rulebook)
    figures = asdict(found)
    problem = figures.pop("problem")
    line = f"{found.versions} stored versions: {found.derived} derived again to the byte"
    if found.by_other_code:
        line += f", {found.by_other_code} by other code with the same verdicts"
    if found.diverging_count:
        line += (
            f", {found.diverging_count} by other code, which decided otherwise than this one "
            f"(first: {'; '.join(found.diverging)})"
        )
    if found.without_rulebook:
        line += f", {found.without_rulebook} whose rulebook is not archived (their hashes hold)"
    return Part("scores", line, problem, figures)


def reviews_part(request: Request) -> Part:
    """Check that reviews are as they were entered and complete."""
    from pipeline.audit import audit_place
    from pipeline.disputes.recheck import check_reviews
    from pipeline.errors import AccessRefusedError
    from pipeline.results.store import Store

    folders = request.audits or (audit_place(request.settings, results=request.results).folder,)
    try:
        count, announced, problem = check_reviews(Store.open(request.results), folders)
    except AccessRefusedError as error:
        return Part("reviews", "could not be read", str(error))
    line = f"{count} entries are as they were entered, {announced} of them announced in the audit log"
    return Part("reviews", line, problem, {"reviews": count, "announced": announced})


def audio_part(request: Request) -> Part:
    """Hear the named calls again and compare with what is stored."""
    from pipeline.disputes.recheck import check_audio

    lines: list[str] = []
    figures: dict[str, Any] = {}
    for call_id in request.heard_again:
        found = check_audio(request.settings, call_id)
        figures[call_id] = {
            "version": found.version,
            "identical": found.identical,
            "flips": found.flips,
            "score_difference": found.score_difference,
        }
        if found.problem is not None:
            return Part("audio", f"{call_id}: heard again, differs", found.problem, figures)
        same = "the same to the byte" if found.identical else "within the stated tolerance"
        lines.append(f"{call_id} version {found.version}: heard again, {same}")
    return Part(
        "audio", "\n".join(lines) or "no call was asked to be heard again (--from-audio)", None, figures
    )


PARTS: list[Callable[[Request], Part]] = [audit_part, openings_part, scores_part, reviews_part, audio_part]
"""What is checked, in this order; further parts are added to this list."""


@app.command("verify", epilog="Example: zhijian verify results/ --audit-key audit.pub")
def verify(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="Folder or URI of the results.")],
    audit_key: Annotated[
        list[Path] | None,
        typer.Option(
            "--audit-key", metavar="FILE", help="Secret or public audit key; repeatable. Default: your own."
        ),
    ] = None,
    anchor: Annotated[
        list[Path] | None,
        typer.Option("--anchor", metavar="DIR", help="Folder with copies of the checkpoints; repeatable."),
    ] = None,
    audit: Annotated[
        list[Path] | None,
        typer.Option("--audit", metavar="DIR", help="Audit folder elsewhere; repeatable."),
    ] = None,
    known_head: Annotated[
        str | None,
        typer.Option(
            "--known-head", metavar="SEQ:HASH", help="Head an earlier check printed; must be there."
        ),
    ] = None,
    from_audio: Annotated[
        list[str] | None,
        typer.Option("--from-audio", metavar="CALL_ID", help="Hear this call again, too; repeatable."),
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="KEY", help="With --from-audio: the secret key.")
    ] = None,
    recordings: Annotated[
        str | None, typer.Option("--recordings", metavar="RECORDINGS", help="Default: where they were heard.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", help="With --from-audio: the recogniser that was used.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Check the audit chain and derive scores again; name the first thing that does not match."""
    from pipeline.settings import load_settings

    settings, _ = load_settings(
        {"results": results, "identity": identity, "recordings": recordings, "model": model}
    )
    request = Request(
        results,
        settings,
        tuple(audit_key or ()),
        tuple(anchor or ()),
        known_head,
        tuple(audit or ()),
        tuple(from_audio or ()),
    )
    parts: list[Part] = []
    for check in PARTS:
        parts.append(check(request))
        if parts[-1].problem is not None:
            break
    if json:
        print_json(
            [{"part": p.name, "holds": p.problem is None, "problem": p.problem, **p.figures} for p in parts]
        )
    else:
        for part in parts:
            typer.echo(f"{part.name}: {part.line}")
    if parts[-1].problem is not None:
        typer.echo(f"zhijian: {parts[-1].name}: {parts[-1].problem}", err=True)
        raise typer.Exit(EXIT_FAILED)
