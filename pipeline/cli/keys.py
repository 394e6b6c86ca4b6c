"""``zhijian keys`` and ``zhijian encrypt``: keys, recordings sealed to them, and their recipients changed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.app import app

keys_app = typer.Typer(no_args_is_help=True, help="Keys that seal and open recordings and transcripts.")
app.add_typer(keys_app, name="keys")

Recipients = Annotated[
    list[str],
    typer.Option(
        "--recipient",
        metavar="PUB",
        help="Public key file or age1…, one a grade; repeatable.",
    ),
]


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


@keys_app.command("new-secret", epilog="Example: zhijian keys new-secret transcript.key")
def new_secret_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file, mode 0600.")],
) -> None:
    """Make a secret key, as transcript_key, dispute_key, or to wrap SM4 containers."""
    from pipeline.vault.providers import new_secret

    key = new_secret(file)
    typer.echo(
        f"secret key {key.key_id}  {file}   mode 0600; keep a copy in a safe place; use it as file:{file}"
    )


@keys_app.command("new-audit", epilog="Example: zhijian keys new-audit audit.key")
def new_audit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New file, mode 0600; FILE.pub beside it.")],
) -> None:
    """Make the key that the audit log is chained and signed with."""
    from pipeline.audit.keys import new_audit_key

    key = new_audit_key(file)
    typer.echo(f"audit key {key.key_id}  {file}   mode 0600; for the service that opens recordings")
    typer.echo(
        f"public    {file.with_suffix('.pub')}   for whoever checks: zhijian verify RESULTS --audit-key …"
    )


@keys_app.command("bind-dispute", epilog="Example: zhijian keys bind-dispute results/")
def bind_dispute_key(
    results: Annotated[str, typer.Argument(metavar="RESULTS", help="Results folder.")],
) -> None:
    """Name the dispute key of some results: from then on no other one lifts their masks.

    The key is the setting `dispute_key` (ZHIJIAN_DISPUTE_KEY). The first key that lifts masks is named
    likewise, so do this before anybody else does.
    """
    from pipeline.privacy.disputekey import bind
    from pipeline.results.store import Store
    from pipeline.settings import load_settings

    settings, _ = load_settings({"results": Store.open(results).place})
    typer.echo(f"dispute key {bind(settings)} lifts the masks of {results}, and no other one")


@keys_app.command(
    "rewrap",
    epilog="Example: zhijian keys rewrap recordings/ --identity my.key --recipient qa.pub",
)
def rewrap_recordings(
    recordings: Annotated[str, typer.Argument(metavar="RECORDINGS", help="Local folder of recordings.")],
    recipient: Recipients,
    identity: Annotated[
        Path | None, typer.Option("--identity", metavar="KEY", help="Key of one of the present recipients.")
    ] = None,
    who: Annotated[str | None, typer.Option("--by", metavar="WHO", help="Who asks for it.")] = None,
) -> None:
    """Give recordings other recipients without decrypting what is in them.

    This takes nothing back: whoever was a recipient and kept a copy can open it as before, for the key
    inside stays the same. To lock somebody out of what they could have copied, encrypt the recordings anew.
    """
    from pipeline.audit import audit_place, record_event
    from pipeline.cli.progress import progress_over
    from pipeline.night.worker import open_identity
    from pipeline.settings import load_settings
    from pipeline.vault.keys import load_recipients
    from pipeline.vault.recordings import list_recordings
    from pipeline.vault.rewrap import rewrap_files

    settings, _ = load_settings({"identity": identity, "recordings": recordings})
    recipients = [text for source in recipient for text in load_recipients(source)]
    key = open_identity(settings.identity)
    total = len(list_recordings(recordings).refs)
    place = audit_place(settings, results=settings.results or recordings)
    record_event("rewrap", at=place, who=who, recordings=str(recordings), files=total, recipients=recipients)
    done = sum(
        1 for _ in progress_over(rewrap_files(recordings, key, recipients), total=total, label="rewrapping")
    )
    typer.echo(f"{done} recordings have {len(recipients)} recipients now; their payload was not decrypted")
    typer.echo("copies made before still open for their old recipients; no night hears them again")


@app.command(
    "encrypt", epilog="Example: zhijian encrypt wav/*.wav --recipient keys/recordings.pub --out recordings/"
)
def encrypt(
    audio: Annotated[
        list[Path], typer.Argument(metavar="AUDIO...", help="Plain recordings <call_id>.<audio ext>.")
    ],
    recipient: Recipients,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder of the encrypted recordings.")],
    envelope: Annotated[
        str, typer.Option("--envelope", metavar="KIND", help="Kind of container: age, or sm4 (国密).")
    ] = "age",
) -> None:
    """Encrypt plain recordings to <call_id>.<audio ext>.age (or .sm4); the plain files are left alone."""
    from pipeline.cli.progress import progress_over
    from pipeline.vault.keys import load_recipients
    from pipeline.vault.recordings import encrypt_files

    recipients = [text for source in recipient for text in load_recipients(source)]
    sealed = encrypt_files(audio, recipients, out, envelope=envelope)
    done = sum(1 for _ in progress_over(sealed, total=len(audio), label="encrypting"))
    typer.echo(f"{done} recordings encrypted into {out}; the plain files are still where they were")
