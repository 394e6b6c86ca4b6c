"""``zhijian keys`` and ``zhijian encrypt``: key pairs, and recordings sealed to them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app

keys_app = typer.Typer(no_args_is_help=True, help="Keys that seal and open recordings.")
app.add_typer(keys_app, name="keys")


@keys_app.command("new", epilog="Example: zhijian keys new keys/")
def new_keys(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for the pair; made if missing.")],
) -> None:
    """Make an age key pair: DIR/recordings.pub for whoever records, DIR/recordings.key for whoever scores."""
    from pipeline.vault.keys import new_pair

    pair = new_pair(folder)
    typer.echo(f"recipient  {pair.public_path}   give it to whoever records")
    typer.echo(
        f"identity   {pair.identity_path}   mode 0600; keep a copy in a safe place, it cannot be made again"
    )


@app.command(
    "encrypt", epilog="Example: zhijian encrypt wav/*.wav --recipient keys/recordings.pub --out recordings/"
)
def encrypt(
    audio: Annotated[
        list[Path], typer.Argument(metavar="AUDIO...", help="Plain recordings <call_id>.<audio ext>.")
    ],
    recipient: Annotated[
        list[str],
        typer.Option(
            "--recipient", metavar="PUB", help="Public key file or age1…; may be given several times."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the encrypted recordings.")],
) -> None:
    """Encrypt plain recordings to <call_id>.<audio ext>.age; the plain files are left alone."""
    from pipeline.cli.progress import progress_over
    from pipeline.vault.keys import load_recipients
    from pipeline.vault.recordings import encrypt_files

    recipients = [text for source in recipient for text in load_recipients(source)]
    done = 0
    for _ in progress_over(encrypt_files(audio, recipients, out), total=len(audio), label="encrypting"):
        done += 1
    typer.echo(f"{done} recordings encrypted into {out}; the plain files are still where they were")
