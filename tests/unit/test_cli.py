"""The command as a user types it: help, settings, transcripts judged, results shown, rules checked."""

import json
import shutil
import time

import pytest
from builders import ROOT, zhijian

from pipeline.callrecords import as_json
from tests.dialogues.loader import load

COMMANDS = [
    line.split()
    for line in (
        "",
        "models",
        "models fetch",
        "models list",
        "keys",
        "keys new",
        "encrypt",
        "score",
        "judge",
        "show",
        "rules",
        "rules check",
        "rules preview",
    )
]


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """Twenty development dialogues judged by the command."""
    folder = tmp_path_factory.mktemp("judged")
    chosen = load("dev")[:20]
    with (folder / "turns.jsonl").open("w", encoding="utf-8") as file:
        for one in chosen:
            for turn in one.hearing.turns:
                row = {"call_id": one.call.call_id, "role": turn.role, "start_s": turn.start_s}
                row |= {"end_s": turn.end_s, "text": turn.text}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
    (folder / "calls.jsonl").write_text("\n".join(as_json(one.call) for one in chosen), encoding="utf-8")
    arguments = ("judge", str(folder / "turns.jsonl"), "--calls", str(folder / "calls.jsonl"))
    done = zhijian(*arguments, "--out", str(folder / "results"))
    assert done.returncode == 0, done.stderr
    return folder, chosen, arguments


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "zhijian")
def test_every_command_has_help_with_an_example(command):
    done = zhijian(*command, "--help")
    assert done.returncode == 0
    assert "Usage: " in done.stdout
    if command[-1:] not in (["models"], ["keys"], ["rules"]):
        assert "Example: zhijian" in done.stdout


def test_settings_are_shown_with_their_origin():
    done = zhijian("--show-settings", env={"ZHIJIAN_WORKERS": "3"})
    assert done.returncode == 0
    line = next(line for line in done.stdout.splitlines() if line.startswith("workers "))
    assert "3" in line
    assert "[environment ZHIJIAN_WORKERS]" in line


def test_judged_transcripts_agree_with_judging_directly(judged):
    from pipeline.judging.engine import judge
    from pipeline.judging.rulebook import load_rulebook
    from pipeline.results import load as load_table

    folder, chosen, _ = judged
    verdicts = load_table("verdicts", folder / "results")
    stored = {(row.call_id, row.rule_id): row.verdict for row in verdicts.itertuples()}
    rulebook = load_rulebook()
    compared = 0
    for one in chosen:
        direct = judge(one.hearing, one.call, rulebook)
        for verdict in direct.verdicts:
            if verdict.rule_id == "environment.background_noise":
                continue  # the builder pretends to have heard it; a transcript has not
            assert stored[one.call.call_id, verdict.rule_id] == verdict.verdict, (one.id, verdict.rule_id)
            compared += 1
    assert compared > 500


def test_rules_that_need_audio_say_so(judged):
    from pipeline.results import load as load_table

    folder, chosen, _ = judged
    verdicts = load_table("verdicts", folder / "results")
    noise = verdicts[verdicts.rule_id == "environment.background_noise"]
    assert len(noise) == len(chosen)
    assert set(noise.verdict) == {"not_applicable"}
    assert noise.reason.str.contains("no audio").all()


def test_judging_again_adds_nothing(judged):
    folder, chosen, arguments = judged
    before = sorted(p for p in (folder / "results").rglob("*.parquet") if "runs" not in p.parts)
    again = zhijian(*arguments, "--out", str(folder / "results"), "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["skipped"] == len(chosen)
    after = sorted(p for p in (folder / "results").rglob("*.parquet") if "runs" not in p.parts)
    assert after == before


def test_a_call_is_shown_as_a_form_and_as_json(judged):
    folder, chosen, _ = judged
    call_id = chosen[0].call.call_id
    form = zhijian("show", call_id, "--results", str(folder / "results"))
    assert form.returncode == 0
    assert "质检评分表" in form.stdout
    assert "通话文本" in form.stdout
    data = json.loads(zhijian("show", call_id, "--results", str(folder / "results"), "--json").stdout)
    assert data["score"]["call_id"] == call_id
    assert len(data["verdicts"]) >= 30


def test_an_unknown_call_and_an_unknown_folder_are_one_line_each(judged):
    folder, _, _ = judged
    for arguments, said in (
        (("show", "nobody", "--results", str(folder / "results")), "call nobody is not in"),
        (("show", "nobody", "--results", str(folder / "nowhere")), "no such results folder"),
    ):
        done = zhijian(*arguments)
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_the_shipped_rulebook_has_no_problem_and_a_broken_one_names_all(tmp_path):
    assert zhijian("rules", "check").returncode == 0
    lexicons = tmp_path / "lexicons"
    shutil.copytree(ROOT / "lexicons", lexicons)
    rules = lexicons / "rules" / "language.toml"
    text = rules.read_text(encoding="utf-8")
    rules.write_text(text.replace('severity = "minor"', 'severity = "small"'), encoding="utf-8")
    done = zhijian("rules", "check", str(lexicons))
    assert done.returncode == 1
    assert done.stdout.count("'small'") == text.count('severity = "minor"') > 1
    assert "language.toml:" in done.stdout
    file = zhijian("rules", "check", str(rules))  # a file of it stands for the whole
    assert (file.returncode, file.stdout) == (1, done.stdout)
    assert f"belongs to the rulebook {lexicons}" in file.stderr
    (tmp_path / "alone.toml").write_text("", encoding="utf-8")
    alone = zhijian("rules", "check", str(tmp_path / "alone.toml"))
    assert alone.returncode == 1
    assert "this is a file, a rulebook is a folder" in alone.stdout


def test_a_preview_shows_exactly_the_flips_of_the_changed_threshold(judged, tmp_path):
    folder, _, _ = judged
    lexicons = tmp_path / "lexicons"
    shutil.copytree(ROOT / "lexicons", lexicons)
    same = zhijian("rules", "preview", str(lexicons), "--results", str(folder / "results"), "--json")
    assert same.returncode == 0, same.stderr
    assert json.loads(same.stdout)["flips"] == []
    assert json.loads(same.stdout)["warnings"] == ["注意：两套规则完全相同"]
    rules = lexicons / "rules" / "language.toml"
    rules.write_text(rules.read_text(encoding="utf-8").replace("max_per_min = 150", "max_per_min = 400"))
    done = zhijian("rules", "preview", str(lexicons), "--results", str(folder / "results"), "--json")
    assert done.returncode == 0, done.stderr
    flips = json.loads(done.stdout)["flips"]
    assert flips
    assert {(f["rule_id"], f["before"], f["after"]) for f in flips} == {
        ("language.speech_rate", "fail", "pass")
    }
    (warning,) = json.loads(done.stdout)["warnings"]
    assert "version 仍是" in warning


def test_new_keys_are_never_overwritten(tmp_path):
    assert zhijian("keys", "new", str(tmp_path / "k")).returncode == 0
    assert (tmp_path / "k" / "recordings.key").stat().st_mode & 0o777 == 0o600
    again = zhijian("keys", "new", str(tmp_path / "k"))
    assert again.returncode == 1
    assert "never overwritten" in again.stderr


def test_help_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, pipeline.cli.main;"
        "heavy = {'numpy', 'pandas', 'pyarrow', 'torch', 'prefect', 'librosa', 'faster_whisper', 'pypinyin'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]", f"after {time.monotonic() - began:.1f} s"
