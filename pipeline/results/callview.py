"""One call as an object: what was said, what was decided, a picture, and its sound.

Table of contents: `call`, `Call`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.audit import audit_place, opening
from pipeline.errors import (
    InputError,
    KeyMaterialError,
    RecordingMissingError,
)
from pipeline.results.api import Look, as_far_as_allowed, frame_of, load, records
from pipeline.results.labels import VALUES_ZH
from pipeline.results.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.settings import Settings

_WITHHELD_ZH = "（没有转写密钥，文字不可见；设置 transcript_key 后可读）"


@dataclass(frozen=True, slots=True)
class Call:
    """One version of a scored call. Make one with `call`.

    Attributes
    ----------
    call_id, version : str, int
    results : str
        Where it was read from.
    score : mapping
        Its row of ``scores``.
    turns, verdicts, events : pandas.DataFrame
        Its rows of these datasets, in order; personal numbers in all texts are masked unless the call
        was opened unmasked. Empty texts where the keys at hand do not open them (`withheld`).
    withheld : bool
        Whether what was said could not be read.
    masked : bool
    """

    call_id: str
    version: int
    results: str
    score: Mapping[str, Any]
    turns: pd.DataFrame
    verdicts: pd.DataFrame
    events: pd.DataFrame
    withheld: bool
    masked: bool

    def transcript(self, start_s: float = 0.0, end_s: float = math.inf) -> str:
        """What was said between two times, one turn a line, for people.

        Returns
        -------
        str
            ``[00:12.3] 坐席：…``. Without the transcript key the lines say so instead of the words.
        """
        lines = []
        for turn in records(self.turns):
            if turn["end_s"] >= start_s and turn["start_s"] <= end_s:
                said = _WITHHELD_ZH if self.withheld else turn["text"]
                lines.append(f"[{_clock(turn['start_s'])}] {VALUES_ZH['role'][turn['role']]}：{said}")
        return "\n".join(lines)

    def findings(self) -> pd.DataFrame:
        """Verdicts that cost points or wait for a person, the gravest first, with where to listen."""
        wanted = self.verdicts[self.verdicts["verdict"].isin(["fail", "uncertain"])].copy()
        wanted["lost"] = wanted["weight"] - wanted["points"]
        wanted["listen"] = [_spans(evidence) for evidence in wanted["evidence"]]
        gravest = wanted["severity"].map({"fatal": 0, "major": 1, "minor": 2})
        order = wanted.assign(gravest=gravest).sort_values(["gravest", "lost"], ascending=[True, False]).index
        shown = ["rule_id", "name_zh", "verdict", "severity", "lost", "confidence", "reason", "listen"]
        return wanted.loc[order, shown].reset_index(drop=True)

    def plot(self, ax: Any = None) -> Any:
        """Draw both speakers on two lanes, with events and the places of failed rules.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            By default a figure of its own.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from pipeline.analysis.callplot import timeline

        return timeline(self, ax)

    def play(
        self,
        start_s: float = 0.0,
        end_s: float | None = None,
        *,
        recordings: str | os.PathLike[str] | None = None,
        identity: str | os.PathLike[str] | None = None,
        why: str = "",
    ) -> Any:
        """Hear a piece of the recording: decrypted in memory only, and recorded in the audit log.

        Parameters
        ----------
        start_s, end_s : float
            Seconds from the start of the recording; to its end by default.
        recordings : path or URI, optional
            Folder of the encrypted recordings; by default the setting ``recordings``, else the place
            where the recording lay when it was heard.
        identity : path, optional
            Secret key; by default the setting ``identity``.
        why : str
            In a few words, for the audit log; no personal data.

        Returns
        -------
        IPython.display.Audio
            A saved notebook holds the sound until its outputs are cleared (``make notebooks`` does so
            when it ends).

        Raises
        ------
        KeyMaterialError
            If there is no key, or it may not be used.
        WrongKeyError
            If it does not open this recording.
        RecordingMissingError
            If the recording is not where it should be.
        InputError
            If the times lie outside of the call.
        """
        from pipeline.hearing.audio import decode
        from pipeline.settings import load_settings
        from pipeline.vault.envelope import decrypt
        from pipeline.vault.recordings import read_recording

        stop_s = math.inf if end_s is None else end_s
        if not 0 <= start_s < stop_s:
            raise InputError(
                f"{start_s} s to {end_s} s is no stretch of a call; expected 0 <= start_s < end_s"
            )
        given = {
            "recordings": None if recordings is None else os.fspath(recordings),
            "identity": None if identity is None else Path(identity),
        }
        settings, _ = load_settings(given)
        key = _identity(settings)
        at = audit_place(settings, results=self.results)
        with opening(self.call_id, at=at, purpose="notebook", why=why):
            ref = self._recording(settings)
            plain = decrypt(read_recording(ref).data, key)
            heard = decode(plain, extension=ref.audio_extension)
            rate = heard.sample_rate_hz
            first, last = int(start_s * rate), heard.samples.shape[1]
            last = last if end_s is None else min(last, int(end_s * rate))
            if first >= last:
                raise InputError(
                    f"call {self.call_id}: {start_s} s lies after its end, {heard.duration_s:.1f} s"
                )
            display = import_module("IPython.display")
            return display.Audio(heard.samples[:, first:last], rate=rate, normalize=False)

    def _recording(self, settings: Settings) -> Any:
        from pipeline.vault.recordings import RecordingRef, list_recordings

        if settings.recordings is not None:
            for ref in list_recordings(settings.recordings).refs:
                if ref.call_id == self.call_id:
                    return ref
            raise RecordingMissingError(f"{settings.recordings}: holds no recording of call {self.call_id}")
        names = ["version", "recording_uri", "recording_size_bytes", "recording_stamp", "layout"]
        heard = load("hearings", self.results, latest=False, call_ids=self.call_id, columns=names)
        row = records(heard[heard["version"] == self.version])[0]
        if row["layout"] == "transcript":
            raise RecordingMissingError(f"call {self.call_id}: was judged from a transcript, nothing to hear")
        return RecordingRef(
            self.call_id, row["recording_uri"], row["recording_size_bytes"], row["recording_stamp"]
        )

    def __repr__(self) -> str:
        score = self.score["score"]
        shown = "—" if math.isnan(score) else f"{score:.1f}"
        return f"<Call {self.call_id} v{self.version}: {shown} 分, {self.score['duration_s']:.0f} s>"


def call(
    call_id: str,
    results: str | os.PathLike[str],
    *,
    version: int | None = None,
    unmasked: bool = False,
    why: str = "",
) -> Call:
    """Open one call. That its words were read goes into the audit log.

    Parameters
    ----------
    call_id : str
    results : path
        The results folder.
    version : int, optional
        The highest by default.
    unmasked : bool
        Lift the masks over personal numbers; needs the setting ``dispute_key``.
    why : str
        For the audit log, in a few words; no personal data.

    Returns
    -------
    Call

    Raises
    ------
    InputError
        If there is no such call or version; a call in quarantine says why it is there.
    AccessRefusedError
        If masks are to be lifted and no dispute key is at hand.

    Examples
    --------
    ::

        one = call("20260310-0017", "results/")
        one.plot()
        print(one.transcript())
        one.play(12, 20)
    """
    import pyarrow.compute as pc

    scores = load("scores", results, latest=False, call_ids=call_id)
    if scores.empty:
        raise InputError(_not_here(call_id, results))
    wanted = int(scores["version"].max()) if version is None else version
    mine = scores[scores["version"] == wanted]
    if mine.empty:
        there = ", ".join(map(str, sorted(scores["version"])))
        raise InputError(f"{results}: call {call_id} has no version {version}; there are: {there}")
    row = records(mine)[0]
    store = Store.open(results)
    look = Look(store, unmasked, why)
    look.check(call_id)
    tables, withheld = {}, False
    for name in ("turns", "verdicts", "events"):
        reading = partial(store.read, name, call_ids=[call_id], dates=[_day(row)], latest=False)
        found, closed = as_far_as_allowed(reading, name)
        tables[name] = frame_of(found.filter(pc.equal(found["version"], wanted)))
        withheld = withheld or bool(closed)
    if not withheld:
        look.opened(call_id)
    if not withheld and not unmasked:
        tables = _masked(tables)
    return Call(
        call_id=call_id, version=wanted, results=os.fspath(results), score=row, **tables,
        withheld=withheld, masked=not unmasked,
    )  # fmt: skip


def _day(row: Any) -> str | None:
    return None if row["call_date"] != row["call_date"] else f"{row['call_date']:%Y-%m-%d}"


def _masked(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    from pipeline.privacy import CallMask

    rows = {name: records(frame) for name, frame in tables.items()}
    mask = CallMask.of_rows(rows["turns"])
    shown = {
        "turns": mask.turn_rows(rows["turns"]),
        "verdicts": mask.verdict_rows(rows["verdicts"]),
        "events": mask.event_rows(rows["events"]),
    }
    found = {}
    for name, frame in tables.items():
        found[name] = pd.DataFrame(shown[name], columns=frame.columns).astype(dict(frame.dtypes))
        found[name].attrs = frame.attrs
    return found


def _not_here(call_id: str, results: str | os.PathLike[str]) -> str:
    held = load("quarantine", results)
    mine = records(held[held["call_id"] == call_id])
    if mine:
        return f"call {call_id} is in quarantine ({mine[-1]['kind']}): {mine[-1]['message']}"
    return f"{os.fspath(results)}: call {call_id} is not among the results; load('scores', …) lists them"


def _identity(settings: Settings) -> Any:
    from pipeline.vault.keys import identity_from_environment, load_identity

    if settings.identity is not None:
        return load_identity(settings.identity)
    found = identity_from_environment()
    if found is None:
        raise KeyMaterialError(
            "hearing a recording needs its secret key; give identity=…, or set `identity` "
            "(ZHIJIAN_IDENTITY) to the key file"
        )
    return found


def _clock(seconds: float) -> str:
    return f"{int(seconds // 60):02d}:{seconds % 60:04.1f}"


def _spans(evidence: Any) -> str:
    return "、".join(f"{_clock(e['start_s'])}–{_clock(e['end_s'])}" for e in evidence or ())
