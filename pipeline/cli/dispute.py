"""``zhijian dispute-bundle`` and ``dispute-verify``: one file that defends a decision, and its check."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app, print_json


@app.command(
    "dispute-bundle",
    epilog="Example: zhijian dispute-bundle 20260310-0017 --results results/ --recipient legal.pub "
    "--identity recordings.key --by qa-zhang --reason 客户投诉 --out 20260310-0017.zip.age",
)
def dispute_bundle(
    call_id: Annotated[str, typer.Argument(metavar="CALL_ID", help="The call.")],
    results: Annotated[str, typer.Option("--results", metavar="RESULTS", help="Folder of the results.")],
    recipient: Annotated[
        list[str], typer.Option("--recipient", metavar="PUB", help="Who may open it; repeatable.")
    ],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The bundle to write.")],
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who makes it.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="What for.")],
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="KEY", help="Secret key of the recording.")
    ] = None,
    recordings: Annotated[
        str | None, typer.Option("--recordings", metavar="RECORDINGS", help="Default: where it was heard.")
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", help="Version of the score; default the latest.")
    ] = None,
    no_audio: Annotated[
        bool, typer.Option("--no-audio", help="Leave the clips out; no secret key is needed.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Pack report, clips, verdicts, receipt and reviews of a call: signed, encrypted to its recipients."""
    from pipeline.audit import audit_place, record_event
    from pipeline.audit.keys import own_audit_key
    from pipeline.disputes.bundle import make_bundle
    from pipeline.disputes.holds import hold_for_dispute
    from pipeline.errors import InputError
    from pipeline.report.callpage import call_page
    from pipeline.report.calls import facts_with_audio
    from pipeline.report.files import write_private
    from pipeline.settings import load_settings
    from pipeline.vault.keys import load_recipients

    if out.exists():
        raise InputError(f"{out}: exists already and is never overwritten; choose another name")
    if not by.strip() or not reason.strip():
        raise InputError("--by and --reason are empty; say who makes the bundle and what for")
    settings, _ = load_settings({"results": results, "identity": identity, "recordings": recordings})
    recipients = [each for source in recipient for each in load_recipients(source)]
    facts = facts_with_audio(
        settings, call_id, version=version, with_audio=not no_audio, purpose="dispute", who=by, why=reason
    )
    hold_for_dispute(results, call_id, who=by, why=reason)
    key = own_audit_key(settings.audit_key)
    data = make_bundle(facts, call_page(facts), recipients=recipients, key=key, who=by, why=reason)
    record_event(
        "dispute-bundle", at=audit_place(settings), call_id=call_id, who=by, why=reason,
        recipients=recipients, version=facts.shown.number,
    )  # fmt: skip
    write_private(out, data)
    if json:
        print_json({"file": str(out), "bytes": len(data), "signer": key.public.text})
    else:
        typer.echo(f"{out}：{len(data) / 1024:.0f} KiB，签名公钥 {key.public.text}")


@app.command(
    "dispute-verify",
    epilog="Example: zhijian dispute-verify 20260310-0017.zip.age --identity legal.key --signer audit.pub",
)
def dispute_verify(
    bundle: Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.")],
    identity: Annotated[Path, typer.Option("--identity", metavar="KEY", help="A recipient's secret key.")],
    signer: Annotated[
        Path | None, typer.Option("--signer", metavar="PUB", help="Public key of who must have signed it.")
    ] = None,
    extract: Annotated[
        Path | None, typer.Option("--extract", metavar="DIR", help="Unpack into this new folder.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Check a bundle without any results folder: encryption, signature, every file, the receipt."""
    from dataclasses import asdict

    from pipeline.audit.keys import load_audit_keys
    from pipeline.disputes.bundle import check_bundle, unpack_bundle
    from pipeline.errors import InputError
    from pipeline.judging.calendar_cn import CHINA
    from pipeline.vault.keys import load_identity

    try:
        data = bundle.read_bytes()
    except OSError as error:
        raise InputError(f"{bundle}: cannot be read ({error.strerror})") from None
    opened = load_identity(identity)
    found = check_bundle(data, opened, signer=load_audit_keys([signer])[0] if signer else None)
    if extract is not None:
        unpack_bundle(data, opened, extract)
    if json:
        print_json(asdict(found))
        return
    score = "—" if found.score is None else f"{found.score:g}"
    typer.echo(f"通话 {found.call_id} 第 {found.version} 版，有效得分 {score}，凭证 {found.receipt[:12]}")
    made_at = f"{datetime.fromisoformat(found.made_at).astimezone(CHINA):%Y-%m-%d %H:%M}"
    typer.echo(f"{found.made_by} 生成于 {made_at}（北京时间）；{len(found.files)} 个文件与签名全部相符")
    known = "与给定的公钥一致" if found.trusted else "未与可信公钥核对（--signer）"
    typer.echo(f"签名者 {found.signer}（{known}）")
