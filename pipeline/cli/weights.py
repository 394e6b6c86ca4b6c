"""``zhijian models``: bring the model weights, and say what each is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app, print_json

models_app = typer.Typer(no_args_is_help=True, help="Model weights: fetch and list.")
app.add_typer(models_app, name="models")

ModelDir = Annotated[
    Path | None, typer.Option("--model-dir", help="Folder of the weights (setting model_dir).")
]
AsJson = Annotated[bool, typer.Option("--json", help="Machine-readable output.")]


@models_app.command(
    "fetch",
    epilog="Example: zhijian models fetch   (the defaults)   |   zhijian models fetch whisper-large-v3",
)
def fetch_models(
    names: Annotated[
        list[str] | None, typer.Argument(help="Models of the registry; default: those scoring needs.")
    ] = None,
    model_dir: ModelDir = None,
    folder: Annotated[
        Path | None, typer.Option("--from", help="Take the files from this folder instead of any network.")
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Sum every file again, also those in place.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Say nothing unless something had to be done.")
    ] = False,
) -> None:
    """Bring model weights into the model folder and check every sha256; needs no network once filled."""
    from models.fetch import fetch
    from pipeline.settings import load_settings

    settings, _ = load_settings({"model_dir": model_dir})
    lines: list[str] = []

    def say(line: str) -> None:
        if quiet and line.endswith(": in place"):
            lines.append(line)
        else:
            typer.echo(line)

    brought = fetch(names or None, settings.model_dir, verify=verify, folder=folder, say=say)
    if brought or not quiet:
        typer.echo(
            f"model folder {settings.model_dir}: {len(brought)} fetched, everything in place and checked"
        )


@models_app.command("list", epilog="Example: zhijian models list --json")
def list_models(
    model_dir: ModelDir = None,
    verify: Annotated[bool, typer.Option("--verify", help="Sum every file.")] = False,
    json: AsJson = False,
) -> None:
    """Say what each model is, its licence, size and source, and whether it is installed."""
    from dataclasses import asdict

    from models.fetch import listing
    from pipeline.settings import load_settings

    settings, _ = load_settings({"model_dir": model_dir})
    statuses = listing(settings.model_dir, verify=verify)
    if json:
        print_json([asdict(status) for status in statuses])
        return
    typer.echo(f"model folder: {settings.model_dir}")
    for status in statuses:
        size = f"{status.size / 1e6:.1f} MB" if status.size else "size unknown before the first fetch"
        default = ", default" if status.default else ""
        typer.echo(f"\n{status.name}  [{status.state}{default}]  {status.task}, {size}, {status.licence}")
        typer.echo(f"  {status.about}")
        typer.echo(f"  origin: {status.origin}\n  source: {status.source}")
        if status.problem:
            typer.echo(f"  {status.problem}; `zhijian models fetch {status.name}` brings it")
