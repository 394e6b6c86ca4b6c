"""The command as an object that subcommands register on, and what they share.

Exit status: 0 all that was asked for is done; 1 it could not be done; 2 wrong usage; 3 the night is
done but some calls are in quarantine; 130 interrupted.
"""

from __future__ import annotations

import json as jsonlib
from typing import Annotated, Any

import typer

from pipeline import __version__

EXIT_FAILED = 1
EXIT_QUARANTINED = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="zhijian",
    help="质检: hear every call, judge it by the service standard, keep the evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _show_settings(value: bool) -> None:
    if not value:
        return
    from pipeline.settings import load_settings

    _, origins = load_settings()
    width = max(len(o.name) for o in origins)
    for o in origins:
        shown = "(empty)" if o.value is None else o.value
        typer.echo(f"{o.name:<{width}} = {shown!s:<28} [{o.origin}]  {o.description}")
    raise typer.Exit


def _show_version(value: bool) -> None:
    if value:
        typer.echo(f"zhijian {__version__}")
        raise typer.Exit


@app.callback(
    epilog="Example: zhijian score recordings/ --calls calls.csv --out results/ --identity recordings.key"
)
def root(
    show_settings: Annotated[
        bool,
        typer.Option(
            "--show-settings",
            callback=_show_settings,
            is_eager=True,
            help="Print each setting and its origin.",
        ),
    ] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """质检: hear every call, judge it by the service standard, keep the evidence."""


def each_a_day(texts: list[str] | None) -> list[str] | None:
    """Accept days such as 2026-03-10 as the value of an option; anything else is wrong usage."""
    from datetime import date

    for text in texts or ():
        try:
            right = date.fromisoformat(text).isoformat() == text
        except ValueError:
            right = False
        if not right:
            raise typer.BadParameter(f"{text!r} is no day; expected one like 2026-03-10")
    return texts


def verdict_code(text: str | None) -> str | None:
    """Accept a verdict by its code or by its Chinese name, 不通过; anything else is wrong usage."""
    from pipeline.results.labels import VALUES_ZH

    codes = {name: code for code, name in VALUES_ZH["verdict"].items()}
    found = codes.get(text or "", text)
    if found is not None and found not in codes.values():
        known = ", ".join(f"{code} ({name})" for name, code in codes.items())
        raise typer.BadParameter(f"{text!r} is no verdict; expected one of: {known}")
    return found


def verdict_codes(texts: list[str] | None) -> list[str] | None:
    """`verdict_code` of each."""
    return texts and [code for text in texts if (code := verdict_code(text)) is not None]


def print_json(value: Any) -> None:
    """Print one JSON document, Chinese unescaped, dates in ISO 8601."""
    typer.echo(jsonlib.dumps(value, ensure_ascii=False, indent=2, default=str))


def print_rich(renderable: Any) -> None:
    """Print something made of Rich's parts, at the terminal's width or 120 columns into a pipe."""
    import shutil
    import sys

    from rich.console import Console

    width = shutil.get_terminal_size((120, 40)).columns if sys.stdout.isatty() else 120
    Console(width=width, highlight=False).print(renderable)
