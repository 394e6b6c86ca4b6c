"""Known numbers in an archive are found by nobody who holds only the transcript key, on no public road."""

import errno
import io
import json
import re
import shutil

import pytest
from typer.testing import CliRunner
from unit.results_builders import make_call, make_hearing, make_judgement, make_reviews, make_scored

from pipeline.audit.keys import new_audit_key
from pipeline.cli.main import app
from pipeline.errors import AccessRefusedError, KeyMaterialError
from pipeline.mandarin import spoken_form
from pipeline.privacy.disputekey import bind
from pipeline.records import Event, Evidence, PhraseEvidence, Turn, Verdict, Word
from pipeline.results import call, connect, load
from pipeline.results.masks import SAID
from pipeline.results.schemas import BY_CALL, PUBLIC, TABLES
from pipeline.results.store import Store
from pipeline.settings import load_settings
from pipeline.vault.providers import new_secret

ID, MOBILE, CARD, POLICY = "11010519491231002X", "13800138000", "6222021234567890128", "P20260055380215"
SPOKEN = "一三八零零幺三八零零零"
NUMBERS = (ID, MOBILE, CARD, POLICY, SPOKEN)
TABLE_NAMES = tuple(name for name in PUBLIC if name in SAID)


def words(text, start_s=0.0, size=1):
    """Words of one character (or ``size``) each, digits apart."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    return tuple(Word(piece, start_s + n / 10, start_s + n / 10 + 0.1, 0.9) for n, piece in enumerate(pieces))


def turn(role, start_s, text, **values):
    return Turn(role, start_s, start_s + 2.0, text, words=words(text, start_s), **values)


TURNS = (
    turn("agent", 0.0, "您好，请报一下身份证号"),
    turn("customer", 2.5, f"身份证{ID}", raw=f"身 份 证 {ID}"),
    turn("agent", 5.0, f"是{ID}对吗"),
    turn("customer", 7.5, f"我手机{SPOKEN}", spoken=f"我手机{SPOKEN}", raw=f"我手机 {MOBILE}"),
    turn("agent", 10.0, "卡号呢"),
    turn("customer", 12.0, "六二二二"),
    turn("agent", 14.0, "六二二二，嗯"),
    turn("customer", 16.0, "零二一二三四"),
    turn("customer", 18.0, "五六七八九零一二八"),
    turn("agent", 20.0, f"保单号是{POLICY}吧"),
    turn("customer", 22.0, "我再报一遍吧喂喂喂听得见吗"),
    *(turn("customer", 24.0 + n, digit) for n, digit in enumerate("一三八零零幺三八零零零")),
)


def archive(folder):
    """One call full of numbers, scored twice, reviewed; another without any."""
    store = Store.open(folder, write=True)
    record = make_call(
        "c1", tag=f"回拨{MOBILE}", extra={"note": f"卡{CARD}", "mobile": int(MOBILE), "id": ID}
    )
    hearing = make_hearing(
        turns=TURNS,
        events=(
            Event("filler", 1.0, 1.2, "agent", "嗯"),
            Event("paraphrase", 5.0, 7.0, "agent", f"是{ID}对吗"),
        ),
        phrases=(PhraseEvidence("hello", "agent", 2.5, 3.1, f"请拨{MOBILE}", -0.25, -1.5, 0.875),),
    )
    verdict = Verdict(
        "inbound.two_factor_verification", "二(一)2", "验证", "pass", 1, 1, 5.0, 5.0, "major", 0.9,
        f"客户报了{ID}和{MOBILE}",
        (Evidence(2.5, 4.5, "customer", f"身份证{ID}"), Evidence(12.0, 14.0, "customer", "六二二二"),
         Evidence(16.0, 18.0, "customer", "零二一二三四"), Evidence(20.0, 22.0, "agent", POLICY)),
    )  # fmt: skip
    judgement = make_judgement(
        verdicts=(verdict,), events=(Event("paraphrase", 7.0, 9.0, "agent", f"您的手机{SPOKEN}"),)
    )
    common = {"call": record, "hearing": hearing, "judgement": judgement}
    store.commit([make_scored(**common), make_scored("c2", day=6)])
    again = make_scored(**common, supersedes=1, scored_by="li.lei", reason=f"客户{MOBILE}来电申诉")
    store.commit([again])
    review = make_reviews("c1").set_column(9, "comment", [[f"客户说卡号{CARD}、保单{POLICY}"]])
    store.append({"2026-01-05": review.cast(make_reviews("c1").schema)}, "reviews")
    return folder


def holds(shown):
    """Numbers that stand in a text, as they are, as read aloud, or in pieces of five digits."""
    text = re.sub(
        r"[\s,，、'\"]", "", shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    )
    pieces = [
        number[at : at + 5] for number in (ID, MOBILE, CARD, POLICY[1:]) for at in range(len(number) - 4)
    ]
    return {piece for piece in pieces if piece in text or spoken_digits(piece) in text} | {
        number for number in NUMBERS if number in text
    }


def spoken_digits(piece):
    return "".join(spoken_form(letter) for letter in piece)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    root = tmp_path_factory.mktemp("masked")
    with pytest.MonkeyPatch.context() as patch:
        new_secret(root / "transcript.key")
        new_secret(root / "dispute.key")
        new_audit_key(root / "audit.key")
        patch.setenv("ZHIJIAN_TRANSCRIPT_KEY", f"file:{root / 'transcript.key'}")
        archive(root / "r")
    return root


@pytest.fixture
def results(filled, tmp_path, monkeypatch):
    """The archive and the transcript key, nothing else."""
    monkeypatch.setenv("ZHIJIAN_TRANSCRIPT_KEY", f"file:{filled / 'transcript.key'}")
    monkeypatch.setenv("ZHIJIAN_AUDIT_KEY", str(filled / "audit.key"))
    monkeypatch.setenv("ZHIJIAN_AUDIT", str(tmp_path / "log"))
    return filled / "r"


@pytest.fixture
def dispute(filled, results, monkeypatch):
    """The dispute key, too."""
    monkeypatch.setenv("ZHIJIAN_DISPUTE_KEY", f"file:{filled / 'dispute.key'}")
    return results


def audited(tmp_path, what):
    lines = [
        json.loads(line)
        for path in (tmp_path / "log").glob("audit-*.jsonl")
        for line in path.read_text().splitlines()
    ]
    return [line["event"] for line in lines if line.get("what") == what]


def text_of(frame):
    """Everything in a frame, words of lists joined as they are said."""
    found = io.StringIO()
    for name in frame.columns:
        for value in frame[name]:
            if name == "words":
                found.write("".join(word["text"] for word in value if word["text"]) + "|")
            elif name not in ("call_id", "receipt_inputs", "receipt", "rulebook_hash", "models"):
                found.write(f"{json.dumps(value, ensure_ascii=False, default=str)}|")
    return found.getvalue()


@pytest.mark.parametrize("latest", [True, False])
@pytest.mark.parametrize("table", TABLE_NAMES)
def test_load_masks_every_column(table, latest, results, tmp_path):
    frame = load(table, results, latest)
    assert len(frame)
    assert not holds(text_of(frame))
    assert "unmasked transcript" not in str(audited(tmp_path, "unmasked transcript"))


@pytest.mark.parametrize(
    ("table", "column"), [(table, column) for table in TABLE_NAMES for column in SAID[table]]
)
def test_load_masks_a_column_that_is_read_alone(table, column, results):
    frame = load(table, results, False, columns=[column])
    assert list(frame.columns) == [column]
    assert not holds(text_of(frame))


def test_load_masks_calls_and_days_that_are_chosen(results):
    for chosen in ({"call_ids": "c1"}, {"dates": "2026-01-05"}, {"agents": "1027"}):
        assert not holds(text_of(load("verdicts", results, **chosen)))
        assert not holds(text_of(load("turns", results, columns=["words"], **chosen)))


def test_columns_of_the_call_record_are_masked(results, dispute):
    names = ["tag", "note", "mobile", "id"]
    assert not holds(text_of(load("scores", results, record=names, columns=["call_id"])))
    shown = load("scores", results, record=names, columns=["call_id"], unmasked=True)
    assert {ID, MOBILE, CARD} <= holds(text_of(shown))


def test_everything_but_the_numbers_stays(results):
    turns = load("turns", results, call_ids="c1").sort_values("turn")
    plain = [one.text for one in TURNS]
    assert [len(text) for text in turns.text] == [len(text) for text in plain]
    assert turns.text.iloc[0] == plain[0]
    assert turns.text.iloc[3].startswith("我手机*")
    assert [len(items) for items in turns.words] == [len(one.words) for one in TURNS]
    (evidence,) = load("verdicts", results, call_ids="c1").evidence
    assert [span["start_s"] for span in evidence] == [2.5, 12.0, 16.0, 20.0]
    assert load("turns", results, call_ids="c2").text.tolist() == ["查一下保单", "您好"]


def test_sql_has_no_unmasked_way_around(results, tmp_path):
    sql = connect(results)
    names = [name for (name,) in sql.execute("SELECT table_name FROM information_schema.tables").fetchall()]
    assert {"turns", "latest_turns", "_turns"} <= set(names)
    for name in names:
        assert not holds(text_of(sql.sql(f"SELECT * FROM {name}").to_arrow_table().to_pandas())), name
    for column in SAID["turns"]:
        with pytest.raises(Exception, match="not found"):
            sql.sql(f"SELECT {column} FROM _turns")
    joined = (
        "SELECT list_aggregate(list_transform(words, lambda w: w.text), 'string_agg', '') AS t FROM turns"
    )
    assert not holds(text_of(sql.execute(joined).df()))
    assert sql.execute("SELECT count(*) FROM turns WHERE text LIKE '%13800138000%'").fetchone() == (0,)
    assert sql.execute("SELECT count(*) FROM latest_turns WHERE text LIKE '我手机%'").fetchone() == (1,)
    assert audited(tmp_path, "transcript") == ["open"]
    assert not audited(tmp_path, "unmasked transcript")


def test_sql_and_load_show_the_same(results):
    sql = connect(results)
    for table in BY_CALL:
        for column in SAID.get(table, ()):
            mine = sql.sql(f"SELECT {column} FROM {table}").df()[column]
            theirs = load(table, results, False, columns=[column])[column]
            assert sorted(map(_plain, mine)) == sorted(map(_plain, theirs)), (table, column)


def _plain(value):
    return json.dumps(value, ensure_ascii=False, default=lambda held: held.tolist(), sort_keys=True)


def test_one_call_is_masked_on_the_terminal_and_as_an_object(results):
    one = call("c1", results)
    shown = [one.transcript(), *(text_of(frame) for frame in (one.turns, one.verdicts, one.events))]
    for command in ("", "--json"):
        args = ["show", "c1", "--results", str(results), "--transcript", *command.split()]
        done = CliRunner().invoke(app, args)
        assert done.exit_code == 0, done.output
        shown.append(done.output)
    assert not any(holds(each) for each in shown)


def test_the_dispute_key_lifts_the_masks(dispute, tmp_path):
    shown = text_of(load("turns", dispute, unmasked=True))
    assert {ID, SPOKEN, POLICY} <= holds(shown)
    assert {ID, MOBILE, POLICY} <= holds(text_of(load("verdicts", dispute, unmasked=True)))
    sql = connect(dispute, unmasked=True)
    assert sql.execute(f"SELECT count(*) FROM latest_turns WHERE text LIKE '%{ID}%'").fetchone() == (2,)
    assert ID in call("c1", dispute, unmasked=True).transcript()
    assert audited(tmp_path, "unmasked transcript") == ["open"] * 4


def test_without_it_the_refusal_is_recorded(results, tmp_path):
    for attempt in (
        lambda: load("turns", results, unmasked=True),
        lambda: load("scores", results, unmasked=True),
        lambda: connect(results, unmasked=True),
        lambda: call("c1", results, unmasked=True),
    ):
        with pytest.raises(AccessRefusedError, match="dispute"):
            attempt()
    assert audited(tmp_path, "unmasked transcript") == ["refused"] * 4


def test_a_key_that_cannot_be_read_lifts_nothing(results, tmp_path, monkeypatch):
    (tmp_path / "no.key").write_text("x")
    (tmp_path / "no.key").chmod(0o644)
    for place in (f"file:{tmp_path / 'no.key'}", f"file:{tmp_path / 'none'}", "env:NOTHING_THERE"):
        monkeypatch.setenv("ZHIJIAN_DISPUTE_KEY", place)
        with pytest.raises(KeyMaterialError):
            load("turns", results, unmasked=True)
    assert audited(tmp_path, "unmasked transcript") == ["refused"] * 3


def test_every_column_that_needs_a_key_is_masked():
    closed = {(table, c.name) for table in PUBLIC for c in TABLES[table] if c.access != "open"}
    assert closed <= {(table, name) for table in SAID for name in SAID[table]}


def test_a_reason_for_a_new_version_is_stored_masked(results):
    """The column needs no key, so nothing personal may ever lie in it."""
    reasons = Store.open(results).read("scores", columns=["reason"], latest=False)["reason"].to_pylist()
    assert "客户***********来电申诉" in reasons


@pytest.fixture
def fresh(filled, tmp_path, dispute):
    """Results of one's own, not bound to any dispute key yet."""
    shutil.copytree(dispute, tmp_path / "r", ignore=shutil.ignore_patterns("_keys"))
    return tmp_path / "r"


def test_no_other_key_lifts_the_masks(fresh, filled, tmp_path, monkeypatch):
    bound = CliRunner().invoke(app, ["keys", "bind-dispute", str(fresh)])
    assert bound.exit_code == 0, bound.output
    new_secret(tmp_path / "own.key")
    own, transcript = f"file:{tmp_path / 'own.key'}", f"file:{filled / 'transcript.key'}"
    for place, said in ((own, "another dispute key"), (transcript, "is the transcript key")):
        monkeypatch.setenv("ZHIJIAN_DISPUTE_KEY", place)
        with pytest.raises(AccessRefusedError, match=said):
            load("turns", fresh, unmasked=True)
    monkeypatch.setenv("ZHIJIAN_DISPUTE_KEY", own)
    again = CliRunner().invoke(app, ["keys", "bind-dispute", str(fresh)])
    assert isinstance(again.exception, AccessRefusedError)
    monkeypatch.setenv("ZHIJIAN_DISPUTE_KEY", f"file:{filled / 'dispute.key'}")
    assert ID in holds(text_of(load("turns", fresh, unmasked=True)))
    assert audited(tmp_path, "dispute key") == ["bind"]
    (fresh / "_keys" / "dispute.json").write_text("{}")
    with pytest.raises(AccessRefusedError, match="another dispute key"):
        load("turns", fresh, unmasked=True)


def test_the_first_key_is_theirs(fresh, tmp_path, monkeypatch):
    load("turns", fresh, unmasked=True)
    assert audited(tmp_path, "dispute key") == ["bind"]
    new_secret(tmp_path / "own.key")
    monkeypatch.setenv("ZHIJIAN_DISPUTE_KEY", f"file:{tmp_path / 'own.key'}")
    with pytest.raises(AccessRefusedError, match="another dispute key"):
        call("c1", fresh, unmasked=True)


def test_a_name_that_could_not_be_written_whole_locks_nobody_out(fresh, monkeypatch):
    def full(_draft, _place):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("os.link", full)  # the last step, after the draft has been written
        with pytest.raises(AccessRefusedError, match="No space left"):
            bind(load_settings({"results": str(fresh)})[0])
    assert list((fresh / "_keys").iterdir()) == []
    assert ID in holds(text_of(load("turns", fresh, unmasked=True)))


def test_where_none_can_be_named_no_mask_is_lifted(fresh):
    (fresh / "_keys").write_text("in the way")
    with pytest.raises(AccessRefusedError, match="bind-dispute"):
        load("turns", fresh, unmasked=True)
