"""``zhijian rescore``: score one call again, beside what was scored before."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app, print_json, print_rich


@app.command(
    "rescore",
    epilog="Example: zhijian rescore 20260310-0017 --results results/ --reason 坐席申诉 --by qa-zhang",
)
def rescore(
    call_id: Annotated[str, typer.Argument(metavar="CALL_ID", help="The call.")],
    results: Annotated[str, typer.Option("--results", metavar="RESULTS", help="Folder of the results.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; stays with the version.")],
    by: Annotated[str, typer.Option("--by", metavar="WHO", help="Who asks; stays with the version.")],
    recordings: Annotated[
        str | None, typer.Option("--recordings", metavar="RECORDINGS", help="Folder of the recordings.")
    ] = None,
    rulebook: Annotated[
        Path | None,
        typer.Option(
            "--rulebook", metavar="DIR", help="Judge by this one; default: in force on the call's day."
        ),
    ] = None,
    from_audio: Annotated[
        bool, typer.Option("--from-audio", help="Hear the recording again; default: what was heard then.")
    ] = False,
    model: Annotated[
        str | None, typer.Option("--model", help="With --from-audio: recogniser, a name or a folder.")
    ] = None,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="KEY", help="With --from-audio: the secret key.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Store a new version of one call's score beside the old ones, and say what changed and why."""
    from dataclasses import asdict

    from pipeline.disputes.rescore import rescore as score_again
    from pipeline.privacy import mask_fields
    from pipeline.report.comparison import rescore_table
    from pipeline.settings import load_settings

    settings, _ = load_settings(
        {"results": results, "recordings": recordings, "model": model, "identity": identity}
    )
    done = score_again(settings, call_id, who=by, why=reason, from_audio=from_audio, rulebook=rulebook)
    if json:
        print_json(mask_fields(asdict(done)))
    else:
        print_rich(rescore_table(done))
