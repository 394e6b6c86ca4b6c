"""The morning inspection (系统巡检, 一(二)1): whether every call has a recording that can be heard.

Recordings are decrypted in memory and measured by several processes, without models. Nothing is stored.

Table of contents: `Finding`, `HealthReport`, `inspect_recordings`, `markdown_health`.
"""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePath

from pebble import ProcessExpired, ProcessPool

from pipeline.audit import AuditPlace, audit_place, opening
from pipeline.callrecords import CallTable, read_call_records
from pipeline.errors import ConfigError, ZhijianError
from pipeline.night.pool import interrupts_held, pin_threads
from pipeline.night.worker import attach_to_parent, describe_defect, open_identity
from pipeline.records import CallRecord
from pipeline.settings import Settings
from pipeline.vault.places import is_uri
from pipeline.vault.recordings import RecordingList, RecordingRef, list_recordings

KINDS = {
    "missing": "缺录音",
    "no_call_record": "无随录",
    "bad_call_record": "随录有误",
    "unreadable": "无法读取",
    "silent": "无人声",
    "one_sided": "单边",
    "clipped": "削波",
}
"""Kinds of finding, the gravest first, and what they are called on the page."""
_TIMEOUT_S = 300.0
_SHOWN = 200


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One thing that somebody has to look at.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    call_id : str
        Empty where it is not known.
    path : str
        Recording, or ``calls.csv:17``.
    detail : str
        What was found and what to do.
    """

    kind: str
    call_id: str
    path: str
    detail: str


@dataclass(frozen=True, slots=True)
class HealthReport:
    """What an inspection found.

    Attributes
    ----------
    calls, recordings : int
        Rows of the call records; recordings in the folder.
    opened : int
        Recordings that were decrypted and measured; 0 without an identity.
    sound : int
        Calls with a recording in which nothing was found.
    findings : tuple of Finding
        Sorted by gravity, then call. A call may have several.
    """

    at: datetime
    calls: int
    recordings: int
    opened: int
    sound: int
    findings: tuple[Finding, ...]
    wall_s: float

    def counts(self) -> dict[str, int]:
        """Findings by kind, the gravest first; kinds that were not found are left out."""
        found = Counter(finding.kind for finding in self.findings)
        return {kind: found[kind] for kind in KINDS if found[kind]}

    def headline_zh(self) -> str:
        """One line for a person."""
        said = "，".join(f"{KINDS[kind]} {count}" for kind, count in self.counts().items()) or "未发现问题"
        return (
            f"随录 {self.calls} 条，录音 {self.recordings} 个（已打开 {self.opened} 个）："
            f"正常 {self.sound} 个，{said}；用时 {self.wall_s:.0f} 秒"
        )

    def headline(self) -> str:
        """One line for a log."""
        said = ", ".join(f"{count} {kind}" for kind, count in self.counts().items()) or "nothing found"
        return (
            f"{self.calls} calls, {self.recordings} recordings ({self.opened} opened): "
            f"{self.sound} sound, {said}; {self.wall_s:.0f} s"
        )


def inspect_recordings(
    settings: Settings, *, open_audio: bool = True, on_progress: Callable[[int, int], None] | None = None
) -> HealthReport:
    """Hold call records against recordings, and listen into each recording.

    Parameters
    ----------
    settings : Settings
        With ``calls`` and ``recordings``, and an identity unless ``open_audio`` is False.
    open_audio : bool
        False: only whether a recording is there for every row and a row for every recording.
    on_progress : callable, optional
        Called with the recordings opened so far and their total.

    Raises
    ------
    KeyMaterialError
        There is no usable identity.
    InputError, StorageError
        Call records or recordings cannot be read at all.
    """
    if settings.calls is None or settings.recordings is None:
        raise ConfigError("settings calls and recordings are needed; give --calls and --recordings")
    began = datetime.now(UTC)
    if open_audio:
        open_identity(settings.identity)
    table = read_call_records(settings.calls)
    recordings = list_recordings(settings.recordings)
    findings = _presence(table, recordings, settings)
    present = [ref for ref in recordings.refs if ref.call_id in {c.call_id for c in table.records}]
    if open_audio:
        for done, found in enumerate(_opened(present, table, settings), start=1):
            findings += found
            if on_progress is not None:
                on_progress(done, len(present))
    troubled = {finding.call_id for finding in findings}
    gravity = list(KINDS)
    return HealthReport(
        at=began,
        calls=table.rows,
        recordings=len(recordings.refs) + len(recordings.problems),
        opened=len(present) if open_audio else 0,
        sound=sum(ref.call_id not in troubled for ref in present),
        findings=tuple(sorted(findings, key=lambda f: (gravity.index(f.kind), f.call_id, f.path))),
        wall_s=(datetime.now(UTC) - began).total_seconds(),
    )


def _presence(table: CallTable, recordings: RecordingList, settings: Settings) -> list[Finding]:
    file_name = PurePath(str(settings.calls)).name
    rows = {call.call_id for call in table.records} | {p.call_id for p in table.problems if p.call_id}
    there = {ref.call_id for ref in recordings.refs} | {p.call_id for p in recordings.problems}
    found = [
        Finding("bad_call_record", problem.call_id or "", f"{file_name}:{problem.line}", str(problem.error))
        for problem in table.problems
    ]
    found += [
        Finding(
            "missing",
            call.call_id,
            str(settings.recordings),
            f"{call.started_at:%Y-%m-%d %H:%M} 的通话没有录音"
            f"（应为 {call.call_id}.<音频格式>.<加密格式>）；请检查录音系统",
        )
        for call in table.records
        if call.call_id not in there
    ]
    found += [
        Finding("no_call_record", ref.call_id, ref.uri, f"{file_name} 中没有这通电话；请补随录")
        for ref in recordings.refs
        if ref.call_id not in rows
    ]
    found += [
        Finding("unreadable", problem.call_id or "", problem.uri, str(problem.error))
        for problem in recordings.problems
    ]
    return found


def _opened(refs: Sequence[RecordingRef], table: CallTable, settings: Settings) -> Iterator[list[Finding]]:
    """Findings of each recording, in several processes; a file that kills its process is a finding."""
    if not refs:
        return
    calls = {call.call_id: call for call in table.records}
    pin_threads(1)
    workers = min(settings.worker_count(), len(refs))
    with ProcessPool(
        max_workers=workers,
        context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(settings.identity, _audit(settings)),
    ) as pool:
        tasks = [(ref, calls[ref.call_id]) for ref in refs]
        with interrupts_held():
            answers = pool.map(_inspect, tasks, timeout=_TIMEOUT_S, chunksize=1).result()
        for ref in refs:
            try:
                yield next(answers)
            except FutureTimeoutError:
                yield [Finding("unreadable", ref.call_id, ref.uri, f"{_TIMEOUT_S:.0f} 秒内未能读完")]
            except ProcessExpired as error:
                yield [Finding("unreadable", ref.call_id, ref.uri, f"读取时进程异常结束（{error.exitcode}）")]


def _audit(settings: Settings) -> AuditPlace:
    """Where it is recorded that recordings were opened; never beside the recordings themselves."""
    place = settings.results
    if place is None and settings.recordings is not None:
        place = (
            settings.recordings
            if is_uri(settings.recordings)
            else Path(settings.recordings).resolve().as_uri()
        )
    return audit_place(settings, results=place)


_identity_path: Path | None = None
_audit_place: AuditPlace | None = None


def _start(identity: Path | None, audit: AuditPlace) -> None:
    global _identity_path, _audit_place
    attach_to_parent()
    _identity_path, _audit_place = identity, audit


def _inspect(task: tuple[RecordingRef, CallRecord]) -> list[Finding]:
    from pipeline.hearing.audio import decode
    from pipeline.hearing.conversation import load_conversation
    from pipeline.night.soundness import faults
    from pipeline.vault.envelope import decrypt
    from pipeline.vault.recordings import read_recording

    ref, call = task
    if _audit_place is None:
        raise RuntimeError("_start() has not run in this process")
    try:
        sealed = read_recording(ref)
        with opening(ref.call_id, at=_audit_place, purpose="health"):
            plain = decrypt(sealed.data, open_identity(_identity_path))
        audio = decode(plain, extension=ref.audio_extension)
        found = faults(audio, call, line=load_conversation().line)
    except ZhijianError as error:
        kind = "silent" if error.kind == "empty_audio" else "unreadable"
        return [Finding(kind, ref.call_id, ref.uri, f"{error.kind}: {error}")]
    except Exception as error:  # noqa: BLE001 - one file's surprise must not end the inspection; it is a finding
        return [Finding("unreadable", ref.call_id, ref.uri, describe_defect(error))]
    return [Finding(fault.kind, ref.call_id, ref.uri, fault.detail) for fault in found]


def markdown_health(report: HealthReport) -> str:
    """The inspection as a Markdown page, for Prefect's artifacts and for mail.

    Returns
    -------
    str
        Chinese; at most 200 findings, the gravest first.
    """
    lines = [
        f"# 录音巡检 {report.at.astimezone():%Y-%m-%d %H:%M}",
        "",
        "| 随录 | 录音 | 已打开 | 正常 | 用时 |",
        "|---:|---:|---:|---:|---:|",
        f"| {report.calls} | {report.recordings} | {report.opened} | {report.sound} "
        f"| {report.wall_s:.0f} 秒 |",
    ]
    if report.findings:
        lines += ["", "| 问题 | 数量 |", "|---|---:|"]
        lines += [f"| {KINDS[kind]} `{kind}` | {count} |" for kind, count in report.counts().items()]
        lines += ["", "| 问题 | 通话 | 说明 |", "|---|---|---|"]
        for finding in report.findings[:_SHOWN]:
            detail = finding.detail.replace("|", "\\|").replace("\n", " ")
            lines.append(f"| {KINDS[finding.kind]} | `{finding.call_id}` | {detail} |")
        if len(report.findings) > _SHOWN:
            lines.append(f"| … | | 另有 {len(report.findings) - _SHOWN} 条：`zhijian health --json` |")
    return "\n".join([*lines, ""])
