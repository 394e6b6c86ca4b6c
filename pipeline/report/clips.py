"""The seconds of a recording that verdicts rest on, cut out as small audio files.

Plain audio exists in memory only, and in the page or bundle that was asked for. What may be heard is
the evidence with a little around it, not the call.

Table of contents: `Clip`, `evidence_spans`, `cut_clips`, `open_recording`, `data_uri`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.records import Verdict

if TYPE_CHECKING:
    from pipeline.disputes.policy import Policy
    from pipeline.hearing.audio import Recording
    from pipeline.settings import Settings
    from pipeline.vault.recordings import RecordingRef

EvidenceKey = tuple[str, int]
"""Rule id and place of the evidence in its verdict."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One stretch of the recording as a FLAC file, all channels as they were."""

    start_s: float
    end_s: float
    flac: bytes


def evidence_spans(verdicts: Sequence[Verdict]) -> dict[EvidenceKey, tuple[float, float]]:
    """Where to listen, by verdict: what cost points or is in doubt first, then passes."""
    order = {"fail": 0, "uncertain": 1, "pass": 2}
    shown = sorted(
        (verdict for verdict in verdicts if verdict.verdict in order), key=lambda v: order[v.verdict]
    )
    return {
        (verdict.rule_id, place): (span.start_s, span.end_s)
        for verdict in shown
        for place, span in enumerate(verdict.evidence)
    }


def cut_clips(
    recording: Recording, spans: Mapping[EvidenceKey, tuple[float, float]], policy: Policy
) -> dict[EvidenceKey, Clip]:
    """Cut the evidence out of a recording.

    Parameters
    ----------
    recording : Recording
    spans : mapping of evidence to (start_s, end_s)
        In the order of importance.
    policy : Policy
        Seconds before and after, the longest clip, all clips together; what no longer fits is left out.

    Returns
    -------
    dict of evidence to Clip
        Equal stretches share one clip.
    """
    made: dict[tuple[float, float], Clip] = {}
    found: dict[EvidenceKey, Clip] = {}
    total_s = 0.0
    for key, (start_s, end_s) in spans.items():
        first = max(start_s - policy.clip_before_s, 0.0)
        last = min(end_s + policy.clip_after_s, recording.duration_s, first + policy.max_clip_s)
        if last <= first:
            continue
        stretch = (round(first, 3), round(last, 3))
        if stretch not in made:
            if total_s + last - first > policy.max_total_s:
                continue
            total_s += last - first
            made[stretch] = Clip(first, last, _flac(recording, first, last))
        found[key] = made[stretch]
    return found


def open_recording(settings: Settings, ref: RecordingRef) -> Recording:
    """Decrypt and decode a recording in memory; say so to the audit log before (`pipeline.audit`).

    Raises
    ------
    KeyMaterialError, WrongKeyError, DecryptError, DecodeError
    """
    from pipeline.hearing.audio import decode
    from pipeline.night.worker import open_identity
    from pipeline.vault.envelope import decrypt
    from pipeline.vault.recordings import read_recording

    sealed = read_recording(ref)
    return decode(decrypt(sealed.data, open_identity(settings.identity)), extension=ref.audio_extension)


def data_uri(clip: Clip) -> str:
    """The clip as an address that a page can hold."""
    return "data:audio/flac;base64," + base64.b64encode(clip.flac).decode()


def _flac(recording: Recording, start_s: float, end_s: float) -> bytes:
    import soundfile

    rate = recording.sample_rate_hz
    samples = recording.samples[:, int(start_s * rate) : int(end_s * rate)]
    out = io.BytesIO()
    soundfile.write(out, samples.T, rate, format="FLAC", subtype="PCM_16")
    return out.getvalue()
