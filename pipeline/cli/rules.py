"""``zhijian rules``: check a rulebook, and preview what a changed one would flip."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import EXIT_FAILED, app, each_a_day, print_json, print_rich

rules_app = typer.Typer(no_args_is_help=True, help="The rulebook: check and preview.")
app.add_typer(rules_app, name="rules")


@rules_app.command("check", epilog="Example: zhijian rules check lexicons/")
def check(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="DIR", help="Rulebook, or a file of it; default the one in use."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Report every problem of a rulebook at once, with file and line."""
    from pipeline.judging.rulebook import check_rulebook, load_rulebook, rulebook_around
    from pipeline.settings import load_settings

    if folder is not None and folder.is_file() and (home := rulebook_around(folder)) is not None:
        typer.echo(f"zhijian: {folder} belongs to the rulebook {home}, which is checked as a whole", err=True)
        folder = home
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


@rules_app.command("preview", epilog="Example: zhijian rules preview my_lexicons/ --results results/")
def preview_rules(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The changed rulebook.")],
    results: Annotated[str, typer.Option("--results", metavar="RESULTS", help="Folder of the results.")],
    before: Annotated[
        Path | None,
        typer.Option("--before", metavar="DIR", help="Compare with this one; default the one in use."),
    ] = None,
    dates: Annotated[
        list[str] | None,
        typer.Option(
            "--date", metavar="YYYY-MM-DD", callback=each_a_day, help="Only calls of this day; repeatable."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Machine-readable output.")] = False,
) -> None:
    """Say which verdicts, agents and fatal calls among the stored ones would flip; changes nothing.

    Both rulebooks judge what was heard of every stored call; what is stored as verdicts plays no part.
    """
    from dataclasses import asdict

    from pipeline.disputes.previewed import compared
    from pipeline.errors import InputError
    from pipeline.night.preview import preview_archive
    from pipeline.report.terminal import preview_table
    from pipeline.settings import load_settings

    settings, _ = load_settings({"rulebook": before})
    what = compared(results, folder, before=settings.rulebook, dates=dates)
    if not what.stored:
        raise InputError(f"{results}: holds no scored call{' of these days' if dates else ''}; check --date")
    found = preview_archive(
        results, folder, before=settings.rulebook, dates=dates, workers=settings.worker_count()
    )
    if json:
        print_json({**asdict(found), "compared": asdict(what), "warnings": what.warnings})
        return
    typer.echo(what.head)
    for warning in what.warnings:
        typer.secho(warning, fg="yellow")
    print_rich(preview_table(found))
