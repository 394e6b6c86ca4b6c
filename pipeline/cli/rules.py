"""``zhijian rules``: check a rulebook, and preview what a changed one would flip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import EXIT_FAILED, app, print_json

rules_app = typer.Typer(no_args_is_help=True, help="The rulebook: check and preview.")
app.add_typer(rules_app, name="rules")


@rules_app.command("check", epilog="Example: zhijian rules check lexicons/")
def check(
    folder: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Rulebook; default the one in use.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Report every problem of a rulebook at once, with file and line."""
    from pipeline.judging.rulebook import check_rulebook, load_rulebook
    from pipeline.settings import load_settings

    settings, _ = load_settings({"rulebook": folder})
    problems = check_rulebook(settings.rulebook)
    if json:
        print_json([{"file": p.file, "line": p.line, "message": p.message} for p in problems])
    else:
        for problem in problems:
            typer.echo(str(problem))
    if problems:
        typer.echo(f"zhijian: {len(problems)} problem(s) in the rulebook", err=True)
        raise typer.Exit(EXIT_FAILED)
    if not json:
        book = load_rulebook(settings.rulebook)
        typer.echo(f"rulebook {book.version} ({book.hash[:12]}): {len(book.rules)} rules, no problem")
