"""The agreed numbers of disputes: windows, sample sizes, lengths of clips, tolerances.

They are data (``lexicons/disputes.toml``) and change no verdict.

Table of contents: `Policy`, `load_policy`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.judging.lexfile import LexiconFile, lexicon_folder
from pipeline.records import VERDICTS, VerdictKind

FILE = "disputes.toml"


@dataclass(frozen=True, slots=True)
class Policy:
    """See the comments in ``lexicons/disputes.toml``.

    Attributes
    ----------
    appeal_days : int
        Days after a score was stored in which an agent may appeal.
    sample : mapping of verdict to int
        Units drawn for each rule and machine verdict.
    confidence : float
        Level of all intervals, in (0, 1).
    draws : int
        Simulated draws behind intervals that have no formula.
    clip_before_s, clip_after_s, max_clip_s, max_total_s : float
    audio_score, audio_flips, audio_time_s : float
        What may differ when a recording is heard again: points, verdicts, seconds.
    hold_years : int
        How long a disputed call is kept.
    """

    appeal_days: int
    sample: dict[VerdictKind, int]
    confidence: float
    draws: int
    clip_before_s: float
    clip_after_s: float
    max_clip_s: float
    max_total_s: float
    audio_score: float
    audio_flips: int
    audio_time_s: float
    hold_years: int


def load_policy(folder: Path | None = None) -> Policy:
    """Read ``disputes.toml`` of a rulebook folder, or the one that ships if the folder has none.

    Raises
    ------
    RulebookError
        All problems of the file, with their lines.

    Examples
    --------
    >>> load_policy().appeal_days
    7
    """
    own = folder / FILE if folder is not None else None
    file = LexiconFile(own if own is not None and own.is_file() else lexicon_folder() / FILE)
    policy = Policy(
        appeal_days=int(file.number(("appeal", "window_days"), 0, 365)),
        sample={kind: int(file.number(("sampling", kind), 0, 100_000)) for kind in VERDICTS},
        confidence=file.number(("sampling", "confidence"), 0.5, 0.999),
        draws=int(file.number(("sampling", "draws"), 100, 1_000_000)),
        clip_before_s=file.number(("clips", "before_s"), 0, 30),
        clip_after_s=file.number(("clips", "after_s"), 0, 30),
        max_clip_s=file.number(("clips", "max_clip_s"), 1, 600),
        max_total_s=file.number(("clips", "max_total_s"), 1, 3600),
        audio_score=file.number(("verify", "audio_score"), 0, 100),
        audio_flips=int(file.number(("verify", "audio_flips"), 0, 100)),
        audio_time_s=file.number(("verify", "audio_time_s"), 0, 60),
        hold_years=int(file.number(("hold", "years"), 1, 100)),
    )
    file.finish()
    return policy
