"""``zhijian report``: one self-contained page about a call, or about a team over some days."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app

_DAYS = re.compile(r"\d{4}-\d{2}-\d{2}(\.\.\d{4}-\d{2}-\d{2})?")


@app.command(
    "report",
    epilog="Example: zhijian report 20260310-0017 --results results/ --out report.html   |   "
    "zhijian report 2026-03-01..2026-03-31 --results results/ --out march.html",
)
def report(
    what: Annotated[
        str,
        typer.Argument(metavar="CALL_ID|DATE", help="A call, a day, or days like 2026-03-01..2026-03-31."),
    ],
    results: Annotated[str, typer.Option("--results", metavar="RESULTS", help="Folder of the results.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE.html", help="The page to write.")],
    version: Annotated[
        int | None, typer.Option("--version", metavar="N", help="Version of the score; default the latest.")
    ] = None,
    with_audio: Annotated[
        bool, typer.Option("--with-audio", help="Embed the clips of the evidence; needs the secret key.")
    ] = False,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="KEY", help="With --with-audio: the secret key.")
    ] = None,
    recordings: Annotated[
        str | None,
        typer.Option("--recordings", metavar="RECORDINGS", help="Default: where they were heard."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="WHO", help="Who asks, for the audit log; default the login."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log.")] = "",
) -> None:
    """Write one HTML page in Chinese that opens offline in any browser, personal data masked."""
    from pipeline.errors import InputError
    from pipeline.report.calls import page_of_call
    from pipeline.report.files import write_private
    from pipeline.settings import load_settings

    settings, _ = load_settings({"results": results, "identity": identity, "recordings": recordings})
    if _DAYS.fullmatch(what):
        if with_audio or version is not None:
            raise InputError("--with-audio and --version are for the report of one call; leave them out")
        from pipeline.report.team import page_of_days

        first, _, last = what.partition("..")
        page = page_of_days(settings, first, last or first)
    else:
        page = page_of_call(settings, what, version=version, with_audio=with_audio, who=by, why=reason)
    write_private(out, page.encode())
    typer.echo(f"{out}")
