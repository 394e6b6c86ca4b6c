"""Settings: order of the layers, origins, and no silently ignored name."""

from pathlib import Path

import pytest

from pipeline.errors import ConfigError
from pipeline.settings import load_settings


def origin(origins, name):
    return next(o.origin for o in origins if o.name == name)


def test_flag_beats_environment_beats_file_beats_default(tmp_path: Path):
    (tmp_path / "zhijian.toml").write_text('workers = 2\nbatch_calls = 5\nmodel = "from-file"\n')
    settings, origins = load_settings(
        {"workers": 7, "model": None},
        env={"ZHIJIAN_WORKERS": "3", "ZHIJIAN_MODEL": "from-env"},
        folder=tmp_path,
    )
    assert (settings.workers, settings.model, settings.batch_calls) == (7, "from-env", 5)
    assert origin(origins, "workers") == "flag --workers"
    assert origin(origins, "model") == "environment ZHIJIAN_MODEL"
    assert origin(origins, "batch_calls") == "zhijian.toml"
    assert origin(origins, "device") == "default"


def test_misspelt_environment_variable_is_refused_with_a_hint(tmp_path: Path):
    with pytest.raises(ConfigError, match="ZHIJIAN_MODLE is unknown; did you mean ZHIJIAN_MODEL"):
        load_settings(env={"ZHIJIAN_MODLE": "x"}, folder=tmp_path)


def test_misspelt_key_in_the_file_is_refused(tmp_path: Path):
    (tmp_path / "zhijian.toml").write_text("wokers = 2\n")
    with pytest.raises(ConfigError, match="'wokers' is unknown; did you mean workers"):
        load_settings(env={}, folder=tmp_path)


def test_all_unusable_values_are_reported_at_once(tmp_path: Path):
    with pytest.raises(ConfigError) as caught:
        load_settings({"workers": -1}, env={"ZHIJIAN_DEVICE": "tpu"}, folder=tmp_path)
    assert "workers (flag --workers)" in str(caught.value)
    assert "device (environment ZHIJIAN_DEVICE)" in str(caught.value)


def test_broken_file_names_itself(tmp_path: Path):
    (tmp_path / "zhijian.toml").write_text("workers = = 2")
    with pytest.raises(ConfigError, match=r"zhijian\.toml: cannot be read as TOML"):
        load_settings(env={}, folder=tmp_path)


def test_empty_environment_variable_counts_as_not_given(tmp_path: Path):
    settings, origins = load_settings(env={"ZHIJIAN_WORKERS": ""}, folder=tmp_path)
    assert settings.workers == 0
    assert settings.worker_count() >= 1
    assert origin(origins, "workers") == "default"


def test_secrets_are_no_settings(tmp_path: Path):
    _, origins = load_settings(env={"ZHIJIAN_IDENTITY_TEXT": "AGE-SECRET-KEY-1ABC"}, folder=tmp_path)
    assert not any("SECRET" in str(o.value) for o in origins)
