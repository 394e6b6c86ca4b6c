"""Settings of zhijian: flag, then environment, then ``zhijian.toml``, then default.

Every setting knows where its value came from, so that ``zhijian --show-settings`` can say it. A
misspelt name is an error, never ignored: a setting that silently does nothing is a wrong result.

Table of contents: `Settings`, `SettingOrigin`, `load_settings`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_cache_path
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from pipeline.errors import ConfigError

ENV_PREFIX = "ZHIJIAN_"
CONFIG_FILE = "zhijian.toml"
# Read elsewhere and never shown: a secret is not a setting.
SECRET_ENV = frozenset(
    {
        "ZHIJIAN_IDENTITY_TEXT",
        "ZHIJIAN_AUDIT_KEY_TEXT",
        "ZHIJIAN_TRANSCRIPT_KEY_TEXT",
        "ZHIJIAN_DISPUTE_KEY_TEXT",
        "ZHIJIAN_KMS_TOKEN",
    }
)
# Where measuring tools find human recordings, and what a notebook is about; no setting of any verdict.
TOOL_ENV = frozenset({"ZHIJIAN_SPEECH", "ZHIJIAN_CALL", "ZHIJIAN_REVIEWER"})


class Settings(BaseSettings):
    """All settings with their defaults; field descriptions are what ``--show-settings`` prints."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    model: str = Field(
        "whisper-base",
        description="recogniser: a name in models/registry.toml or a folder with a CTranslate2 Whisper",
    )
    model_dir: Path = Field(
        default_factory=lambda: user_cache_path("zhijian") / "models",
        description="folder of the model weights",
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where the models run")
    compute_type: str = Field(
        "default", description="CTranslate2 number type; default = int8 on CPU, float16 on GPU"
    )
    workers: int = Field(
        0,
        ge=0,
        le=1024,
        description="worker processes that hear calls; 0 = one per core this process may use",
    )
    threads_per_worker: int = Field(1, ge=1, le=256, description="threads inside one worker; 1 scales best")
    call_timeout_s: float = Field(
        1800.0, gt=0, description="a call whose hearing takes longer is given up and quarantined"
    )
    task_runner: Literal["threads", "dask"] = Field(
        "threads", description="who runs the batches of a flow: this machine or a Dask cluster (extra `dask`)"
    )
    dask_address: str | None = Field(
        None, description="scheduler of the Dask cluster, such as tcp://scheduler:8786"
    )
    batch_calls: int = Field(32, ge=1, le=10_000, description="finished calls written together in one commit")
    rulebook: Path | None = Field(
        None, description="folder of the rulebook; empty = the one shipped in lexicons/"
    )
    identity: Path | None = Field(None, description="file with the age identity that opens the recordings")
    audit: Path | None = Field(
        None, description="folder of the audit log (who opened what); empty = _audit in the results"
    )
    audit_key: Path | None = Field(
        None, description="secret key of the audit log; empty = one of this user's own, made on first use"
    )
    audit_anchor: Path | None = Field(
        None, description="second folder, best on other storage, that signed checkpoints are copied to"
    )
    transcript_key: str | None = Field(
        None,
        description="key of what was said: file:PATH, env:NAME, …; empty = columns not encrypted",
    )
    dispute_key: str | None = Field(
        None, description="key that lifts the masks over personal numbers: file:PATH, env:NAME, …"
    )
    recordings: str | None = Field(None, description="folder or URI of the encrypted recordings (flows)")
    calls: str | None = Field(None, description="call detail records: CSV, JSON Lines or Parquet (flows)")
    results: str | None = Field(None, description="folder of the results (flows)")

    def worker_count(self) -> int:
        """Worker processes to start.

        Returns
        -------
        int
            ``workers``, or the number of cores this process is allowed to use when that is 0.
        """
        return self.workers or len(os.sched_getaffinity(0))


@dataclass(frozen=True, slots=True)
class SettingOrigin:
    """One setting as ``--show-settings`` prints it."""

    name: str
    value: Any
    origin: str
    description: str


def load_settings(
    flags: Mapping[str, Any] | None = None,
    *,
    env: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[Settings, tuple[SettingOrigin, ...]]:
    """Merge flags, environment and ``zhijian.toml``.

    Parameters
    ----------
    flags : mapping, optional
        Settings given on the command line; entries that are None count as not given.
    env : mapping, optional
        Defaults to the process environment.
    folder : Path, optional
        Where ``zhijian.toml`` may lie; defaults to the working folder.

    Returns
    -------
    Settings, tuple of SettingOrigin

    Raises
    ------
    ConfigError
        Unknown names and unusable values, all of them in one message.

    Examples
    --------
    >>> settings, origins = load_settings({"workers": 3}, env={"ZHIJIAN_MODEL": "large-v3"}, folder=Path("/"))
    >>> settings.workers, settings.model
    (3, 'large-v3')
    >>> [o.origin for o in origins if o.name in ("model", "workers", "device")]
    ['environment ZHIJIAN_MODEL', 'default', 'flag --workers']
    """
    environ = os.environ if env is None else env
    config_path = (folder or Path.cwd()) / CONFIG_FILE
    layers: list[tuple[dict[str, Any], Any]] = [
        (
            {k: v for k, v in (flags or {}).items() if v is not None},
            lambda n: f"flag --{n.replace('_', '-')}",
        ),
        (_from_env(environ), lambda n: f"environment {ENV_PREFIX}{n.upper()}"),
        (_from_toml(config_path), lambda _n: CONFIG_FILE),
    ]
    merged: dict[str, Any] = {}
    origin: dict[str, str] = {}
    for values, describe in layers:
        for name, value in values.items():
            if name not in merged:
                merged[name] = value
                origin[name] = describe(name)
    try:
        settings = Settings.model_validate(merged)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc']))} ({origin.get(str(e['loc'][0]), 'default')}): {e['msg']}"
            for e in error.errors()
        )
        raise ConfigError(f"setting not usable: {problems}. `zhijian --show-settings` lists all") from None
    shown = tuple(
        SettingOrigin(name, getattr(settings, name), origin.get(name, "default"), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return settings, shown


def _from_env(environ: Mapping[str, str]) -> dict[str, Any]:
    known = {ENV_PREFIX + name.upper(): name for name in Settings.model_fields}
    given = {key for key in environ if key.startswith(ENV_PREFIX)} - SECRET_ENV - TOOL_ENV
    unknown = sorted(given - set(known))
    if unknown:
        raise ConfigError(
            "; ".join(_unknown(f"environment variable {key}", key, list(known)) for key in unknown)
        )
    source = EnvSettingsSource(Settings, env_prefix=ENV_PREFIX)
    # pydantic reads os.environ; a given mapping (tests) is read the same way.
    source.env_vars = {key.lower(): value for key, value in environ.items()}
    return {name: value for name, value in source().items() if value != ""}


def _from_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as TOML: {error}") from None
    unknown = [key for key in values if key not in Settings.model_fields]
    if unknown:
        raise ConfigError(
            "; ".join(
                _unknown(f"{path}: setting {key!r}", key, list(Settings.model_fields)) for key in unknown
            )
        )
    return values


def _unknown(what: str, name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
    return f"{what} is unknown; {hint}"
