"""``zhijian judge``: transcripts from any recogniser, judged without audio."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import EXIT_QUARANTINED, app, print_json


@app.command("judge", epilog="Example: zhijian judge turns.jsonl --calls calls.csv --out results/")
def judge(
    turns: Annotated[
        str,
        typer.Argument(metavar="TURNS", help="JSON Lines or Parquet: call_id, role, start_s, end_s, text."),
    ],
    calls: Annotated[str, typer.Option("--calls", metavar="CDR", help="Call detail records.")],
    out: Annotated[
        str, typer.Option("--out", metavar="RESULTS", help="Folder of the results; made if missing.")
    ],
    rulebook: Annotated[
        Path | None, typer.Option("--rulebook", metavar="DIR", help="Another rulebook.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable summary.")] = False,
) -> None:
    """Judge transcripts by the same rulebook; rules that need audio say not_applicable, reason "no audio"."""
    from pipeline.night.transcripts import judge_night
    from pipeline.settings import load_settings

    settings, _ = load_settings({"calls": calls, "results": out, "rulebook": rulebook})
    summary = judge_night(settings, turns)
    if json:
        print_json(
            {
                **summary.counts(),
                "run_id": summary.run_id,
                "wall_s": summary.wall_s,
                "reasons": summary.reasons,
            }
        )
    else:
        typer.echo(summary.headline())
    if summary.quarantined:
        typer.echo(f"zhijian: reasons: zhijian show --quarantine --results {out}", err=True)
        raise typer.Exit(EXIT_QUARANTINED)
