"""Entry point of the ``zhijian`` command: all subcommands, and one line for every mistake."""

from __future__ import annotations

import sys

import typer

# Importing a module registers its commands; each imports its heavy parts only when called.
from pipeline.cli import (  # noqa: F401 - imported to be registered
    compact,
    dispute,
    health,
    judge,
    keys,
    report,
    rescore,
    retention,
    review,
    rules,
    score,
    show,
    verify,
    weights,
)
from pipeline.cli.app import EXIT_FAILED, app
from pipeline.defects import frames_only
from pipeline.errors import ZhijianError
from pipeline.vault.hardening import no_core_dumps


def run() -> None:
    """Run the command; a user's mistake is one line on stderr, never a traceback."""
    no_core_dumps()
    try:
        app(standalone_mode=True)
    except ZhijianError as error:
        typer.echo(f"zhijian: {error}", err=True)
        sys.exit(EXIT_FAILED)
    except BrokenPipeError:
        # The reader (head, less) went away; that is no error of ours.
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    except Exception as error:  # noqa: BLE001 - a defect; its own text may quote what was said
        typer.echo(frames_only(error), err=True)
        typer.echo("zhijian: this is a defect of zhijian, please report it with the lines above", err=True)
        sys.exit(EXIT_FAILED)
