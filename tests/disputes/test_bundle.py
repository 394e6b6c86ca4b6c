"""The dispute bundle: opens for its recipients, and any change in it is found."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.audit.keys import load_audit_keys, new_audit_key
from pipeline.disputes.archive import archive_rulebook
from pipeline.disputes.bundle import BundleError, check_bundle, make_bundle, unpack_bundle
from pipeline.disputes.reviews import overturn
from pipeline.errors import InputError, WrongKeyError
from pipeline.report.callfacts import gather
from pipeline.report.callpage import call_page
from pipeline.report.clips import Clip
from pipeline.vault.envelope import decrypt, encrypt
from pipeline.vault.keys import load_identity, new_pair
from tests.disputes.dispute_builders import make_store


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("bundle")
    pair, key = new_pair(place / "keys"), new_audit_key(place / "audit.key")
    store = make_store(place / "r")
    archive_rulebook(store)
    overturn(store, "c1", "inbound.answered_in_time", "pass", person="qa1", comment="系统故障")
    facts = gather(store, "c1", made_at=datetime(2026, 3, 12, tzinfo=UTC))
    facts = replace(facts, clips={("inbound.closing_thanks", 0): Clip(43.4, 49.6, b"fLaC...")})
    data = make_bundle(facts, call_page(facts), recipients=[pair.recipient], key=key, who="qa", why="投诉")
    return data, load_identity(pair.identity_path), pair.recipient, place / "audit.pub", facts


def rebuilt(made, change):
    """The bundle with its files changed and sealed again."""
    data, identity, recipient, *_ = made
    with zipfile.ZipFile(io.BytesIO(decrypt(data, identity))) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    change(files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return encrypt(out.getvalue(), [recipient])


def test_a_whole_bundle_says_what_it_holds(made):
    data, identity, _, public, facts = made
    (signer,) = load_audit_keys([public])
    found = check_bundle(data, identity, signer=signer)
    assert (found.call_id, found.version, found.receipt) == ("c1", 1, facts.shown.receipt)
    assert found.trusted
    assert found.score == facts.effective.score != facts.shown.judgement.score
    assert not check_bundle(data, identity).trusted
    assert {"report.html", "verdicts.json", "reviews.json", "receipt.json", "versions.json"} <= set(
        found.files
    )
    assert "clips/01_inbound.closing_thanks_43.4-49.6s.flac" in found.files


def test_machine_and_people_stand_side_by_side(made, tmp_path):
    data, identity, *_ = made
    unpack_bundle(data, identity, tmp_path / "x")
    rows = {row["rule_id"]: row for row in json.loads((tmp_path / "x" / "verdicts.json").read_text())}
    late = rows["inbound.answered_in_time"]
    assert (late["verdict"], late["effective"], late["decided_by"]) == ("fail", "pass", "review")
    assert late["clause_text"].startswith("坐席须在电话振铃")
    assert rows["inbound.closing_thanks"]["evidence"][0]["clip"].startswith("clips/01")
    (review,) = json.loads((tmp_path / "x" / "reviews.json").read_text())
    assert review["comment"] == "系统故障"
    assert (tmp_path / "x" / "report.html").stat().st_mode & 0o077 == 0
    with pytest.raises(BundleError, match="exists already"):
        unpack_bundle(data, identity, tmp_path / "x")


CHANGES = {
    "altered": (
        lambda f: f.update({"verdicts.json": f["verdicts.json"] + b" "}),
        "verdicts.json: was altered",
    ),
    "added": (lambda f: f.update({"more.txt": b"x"}), "more.txt: was added"),
    "removed": (lambda f: f.pop("reviews.json"), "reviews.json: is missing"),
    "resummed": (
        lambda f: f.update({"SHA256SUMS": f["SHA256SUMS"].replace(b"0", b"1")}),
        "signature does not fit",
    ),
    "unsigned": (lambda f: f.pop("SHA256SUMS.sig"), "has no SHA256SUMS.sig"),
    "no key": (lambda f: f.update({"signer.txt": b"hello"}), "no public key"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_any_change_is_found(made, name):
    change, message = CHANGES[name]
    with pytest.raises(BundleError, match=message):
        check_bundle(rebuilt(made, change), made[1])


def test_another_signer_is_refused(made, tmp_path):
    new_audit_key(tmp_path / "other.key")
    (other,) = load_audit_keys([tmp_path / "other.pub"])
    with pytest.raises(BundleError, match="expected"):
        check_bundle(made[0], made[1], signer=other)


def test_only_recipients_open_it(made, tmp_path):
    stranger = load_identity(new_pair(tmp_path / "k").identity_path)
    with pytest.raises(WrongKeyError):
        check_bundle(made[0], stranger)
    facts = made[4]
    key = new_audit_key(tmp_path / "a.key")
    with pytest.raises(InputError, match="no recipient"):
        make_bundle(facts, "", recipients=[], key=key, who="qa", why="x")


def test_a_path_out_of_the_folder_is_refused(made, tmp_path):
    data = rebuilt(made, lambda f: f.update({"../evil": b"x"}))
    with pytest.raises(BundleError, match="nothing was unpacked"):
        unpack_bundle(data, made[1], tmp_path / "y")
    assert not (tmp_path / "evil").exists()


def test_what_is_no_bundle_is_said_so(made):
    with pytest.raises(BundleError, match="no bundle"):
        check_bundle(encrypt(b"hello", [made[2]]), made[1])


@pytest.mark.skipif(
    shutil.which("openssl") is None or shutil.which("sha256sum") is None,
    reason="2026-11-22: openssl or sha256sum is not on this machine",
)
def test_common_tools_verify_it_too(made, tmp_path):
    place = tmp_path / "z"
    unpack_bundle(made[0], made[1], place)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=place, check=True)
    command = "openssl pkeyutl -verify -pubin -inkey signer.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig"
    done = subprocess.run(command.split(), cwd=place, capture_output=True, text=True, check=False)
    assert "Verified Successfully" in done.stdout, done.stderr
