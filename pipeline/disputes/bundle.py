"""All that decides a disputed call, in one encrypted and signed file that needs no results folder.

Inside is a zip: the report, the clips of the evidence, verdicts, versions compared, reviews, the receipt,
and ``SHA256SUMS`` over all of them, signed (Ed25519). Outside it is encrypted to its recipients. Whoever
holds the key can check it with `check_bundle`, or with nothing but ``age``, ``sha256sum`` and ``openssl``.

Personal data in words is masked as in the report; the clips are the voice itself.

Table of contents: `make_bundle`, `check_bundle`, `unpack_bundle`, `BundleCheck`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pipeline.disputes.compare import Comparison
from pipeline.errors import TerminalError
from pipeline.results.receipts import receipt

if TYPE_CHECKING:
    from pipeline.audit.keys import AuditKey, AuditPublicKey
    from pipeline.report.callfacts import CallFacts
    from pipeline.vault.keys import Identity

SUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.sig"
SIGNER = "signer.pem"
SIGNER_TEXT = "signer.txt"
_UNSIGNED = frozenset({SUMS, SIGNATURE, SIGNER, SIGNER_TEXT})
MAX_FILES = 2000
MAX_UNPACKED = 1024**3
_README = """举证包 / dispute bundle

report.html      报告，浏览器离线打开 / the report, opens offline in a browser
clips/           证据片段（FLAC）/ clips of the evidence
verdicts.json    判定、机器与人工 / verdicts, the machine's and people's
versions.json    各版本与对比 / versions and what differs between them
reviews.json     复核、申诉、终裁 / reviews, appeals, rulings
receipt.json     评分凭证及其内容 / the receipt and what it is the hash of
SHA256SUMS       以上各文件的 sha256，由 SHA256SUMS.sig 签名 / hashes of the files above, signed

核验 / to verify:
  zhijian dispute-verify FILE --identity KEY --signer PUB
或只用通用工具 / or with common tools only:
  age -d -i KEY FILE > bundle.zip && unzip bundle.zip -d bundle && cd bundle
  sha256sum -c SHA256SUMS
  openssl pkeyutl -verify -pubin -inkey signer.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig
签名者的公钥须另行取得并与 signer.txt 核对。
Get the signer's public key by another way and compare it with signer.txt.
"""


class BundleError(TerminalError):
    """A bundle that was altered, cut, or signed by somebody else."""

    kind = "bad_bundle"


@dataclass(frozen=True, slots=True)
class BundleCheck:
    """What a bundle says of itself, after everything in it was found to match.

    Attributes
    ----------
    signer : str
        Public key that signed it, as text.
    trusted : bool
        Whether that key is the one that was expected; False when none was given to compare with.
    """

    call_id: str
    version: int
    score: float | None
    receipt: str
    made_at: str
    made_by: str
    signer: str
    trusted: bool
    files: tuple[str, ...]


def make_bundle(
    facts: CallFacts, page: str, *, recipients: Sequence[str], key: AuditKey, who: str, why: str
) -> bytes:
    """Pack, sign and encrypt.

    Parameters
    ----------
    facts : CallFacts
        With the clips that are to go in.
    page : str
        The report.
    recipients : sequence of str
        Public recipients (``age1…``).
    key : AuditKey
        Signs.
    who, why : str
        Who made it, and what for.

    Returns
    -------
    bytes
        The encrypted bundle.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from pipeline.vault.envelope import encrypt

    shown = facts.shown
    clips = _clip_files(facts)
    files: dict[str, bytes] = {
        "README.txt": _README.encode(),
        "report.html": page.encode(),
        "verdicts.json": _json(_verdicts(facts, {key: name for name, (key, _) in clips.items()})),
        "versions.json": _json([_version(facts, number) for number in range(len(facts.versions))]),
        "reviews.json": _json(
            [{**asdict(review), "comment": facts.mask.text(review.comment)} for review in facts.reviews]
        ),
        "receipt.json": _json({"receipt": shown.receipt, "inputs": shown.receipt_inputs}),
        "bundle.json": _json(
            {
                "bundle": 1,
                "call_id": shown.call.call_id,
                "version": shown.number,
                "score": facts.effective.score,
                "machine_score": shown.judgement.score,
                "receipt": shown.receipt,
                "made_at": facts.made_at.isoformat(),
                "made_by": who,
                "why": why,
            }
        ),
        **{name: data for name, (_, data) in clips.items()},
    }
    sums = "".join(f"{_sha256(data)}  {name}\n" for name, data in sorted(files.items())).encode()
    public = Ed25519PublicKey.from_public_bytes(_raw(key.public))
    files[SUMS] = sums
    files[SIGNATURE] = key.sign(sums)
    files[SIGNER] = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    files[SIGNER_TEXT] = (key.public.text + "\n").encode()
    return encrypt(_zip(files, facts.made_at), recipients)


def check_bundle(
    data: bytes, identity: Identity, *, signer: AuditPublicKey | AuditKey | None = None
) -> BundleCheck:
    """Open a bundle in memory and check everything in it.

    Parameters
    ----------
    data : bytes
        The encrypted file.
    identity : Identity
    signer : AuditPublicKey or AuditKey, optional
        Who must have signed it.

    Raises
    ------
    WrongKeyError, DecryptError
        It cannot be opened.
    BundleError
        The first thing that does not match.
    """
    from pipeline.audit.keys import AuditKey
    from pipeline.vault.envelope import decrypt

    files = _unzip(decrypt(data, identity))
    for name in (SUMS, SIGNATURE, SIGNER_TEXT, "bundle.json", "receipt.json"):
        if name not in files:
            raise BundleError(f"the bundle has no {name}; it is incomplete")
    inside = _public_key(files[SIGNER_TEXT])
    expected = signer.public if isinstance(signer, AuditKey) else signer
    if expected is not None and expected.key_id != inside.key_id:
        raise BundleError(
            f"the bundle is signed by {inside.key_id}, expected {expected.key_id}; do not rely on it"
        )
    if not inside.verifies(files[SIGNATURE], files[SUMS]):
        raise BundleError(f"{SUMS}: its signature does not fit; the bundle was altered")
    sums = _read_sums(files[SUMS])
    for name in sorted(set(sums) | (set(files) - _UNSIGNED)):
        if name not in files:
            raise BundleError(f"{name}: is missing from the bundle")
        if name not in sums:
            raise BundleError(f"{name}: was added to the bundle, {SUMS} does not name it")
        if _sha256(files[name]) != sums[name]:
            raise BundleError(f"{name}: was altered, its sha256 differs from {SUMS}")
    about, proof = json.loads(files["bundle.json"]), json.loads(files["receipt.json"])  # signed, so whole
    if receipt(proof["inputs"]) != proof["receipt"] or proof["receipt"] != about["receipt"]:
        raise BundleError("receipt.json: the receipt is not the hash of its inputs")
    return BundleCheck(
        call_id=about["call_id"],
        version=about["version"],
        score=about["score"],
        receipt=about["receipt"],
        made_at=about["made_at"],
        made_by=about["made_by"],
        signer=inside.text,
        trusted=expected is not None,
        files=tuple(sorted(sums)),
    )


def unpack_bundle(data: bytes, identity: Identity, folder: Path) -> None:
    """Unpack a bundle into a new folder, readable by its owner alone; check it first with `check_bundle`.

    Raises
    ------
    BundleError
        The folder exists, or the bundle names a file outside of it.
    """
    from pipeline.report.files import write_private
    from pipeline.vault.envelope import decrypt

    if folder.exists():
        raise BundleError(f"{folder}: exists already; choose a new folder")
    files = _unzip(decrypt(data, identity))
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise BundleError(f"{name!r}: lies outside of the bundle; nothing was unpacked")
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, content)


def _clip_files(facts: CallFacts) -> dict[str, tuple[tuple[str, int], bytes]]:
    """Name of each clip, the evidence it belongs to, and its bytes; equal stretches once."""
    found: dict[str, tuple[tuple[str, int], bytes]] = {}
    seen: set[tuple[float, float]] = set()
    for (rule_id, place), clip in facts.clips.items():
        if (clip.start_s, clip.end_s) in seen:
            continue
        seen.add((clip.start_s, clip.end_s))
        name = f"clips/{len(found) + 1:02d}_{rule_id}_{clip.start_s:.1f}-{clip.end_s:.1f}s.flac"
        found[name] = ((rule_id, place), clip.flac)
    return found


def _verdicts(facts: CallFacts, clips: Mapping[tuple[str, int], str]) -> list[dict[str, Any]]:
    rules = {rule.id: rule for rule in facts.rulebook.rules}
    effective = {each.rule_id: each for each in facts.effective.verdicts}
    found: list[dict[str, Any]] = []
    for verdict in facts.shown.judgement.verdicts:
        rule, now = rules.get(verdict.rule_id), effective.get(verdict.rule_id)
        row = asdict(verdict)
        row["reason"] = facts.mask.text(verdict.reason)
        row["clause_text"] = rule.clause_text if rule else None
        row["evidence"] = [
            {
                **asdict(span),
                "quote": facts.mask.text(span.quote),
                "clip": clips.get((verdict.rule_id, place)),
            }
            for place, span in enumerate(verdict.evidence)
        ]
        row["effective"] = None if now is None else now.verdict
        row["decided_by"] = None if now is None else now.decided_by
        found.append(row)
    return found


def _version(facts: CallFacts, place: int) -> dict[str, Any]:
    version = facts.versions[place]
    before: Comparison | None = facts.comparisons[place - 1] if place else None
    differences = [] if before is None else [asdict(each) for each in before.differences]
    for each in differences:
        each["old_reason"] = facts.mask.text(each["old_reason"])
        each["new_reason"] = facts.mask.text(each["new_reason"])
    return {
        "version": version.number,
        "scored_at": version.scored_at.isoformat(),
        "scored_by": version.scored_by,
        "reason": version.reason,
        "score": version.judgement.score,
        "grade": version.judgement.grade,
        "rulebook_version": version.judgement.rulebook_version,
        "rulebook_hash": version.judgement.rulebook_hash,
        "receipt": version.receipt,
        "changed_inputs": [] if before is None else list(before.changed_inputs),
        "differences": differences,
    }


def _zip(files: Mapping[str, bytes], made_at: datetime) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(files.items()):
            entry = zipfile.ZipInfo(name, made_at.timetuple()[:6])
            entry.external_attr = 0o600 << 16
            entry.compress_type = zipfile.ZIP_STORED if name.endswith(".flac") else zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return out.getvalue()


def _unzip(data: bytes) -> dict[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            if len(entries) > MAX_FILES or sum(entry.file_size for entry in entries) > MAX_UNPACKED:
                raise BundleError("the bundle unpacks to more than a bundle ever holds")
            if len({entry.filename for entry in entries}) != len(entries):
                raise BundleError("the bundle names a file twice")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise BundleError(f"what is inside is no bundle ({type(error).__name__})") from error


def _read_sums(data: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in data.decode("utf-8", "replace").splitlines():
        digest, _, name = line.partition("  ")
        if name in found or len(digest) != 64:
            raise BundleError(f"{SUMS}: is malformed")
        found[name] = digest
    return found


def _raw(key: AuditPublicKey) -> bytes:
    text = key.text.partition(":")[2]
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _public_key(data: bytes) -> AuditPublicKey:
    from pipeline.audit.keys import AuditPublicKey

    prefix, _, text = data.decode("ascii", "replace").strip().partition(":")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raw = b""
    if prefix != "zhijian-audit-pub-1" or len(raw) != 32:
        raise BundleError(f"{SIGNER_TEXT}: holds no public key")
    return AuditPublicKey(raw)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True, default=str).encode()
