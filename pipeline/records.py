"""Frozen records that every part of the pipeline speaks.

Conventions
-----------
Times are seconds from the start of the recording (``_s``), rates are per minute
(``_per_min``) or per 100 characters, levels are decibels (``_db``). Roles are
``agent`` (坐席) and ``customer`` (客户) everywhere. ``None`` means "not known", which is
never the same as zero.

Table of contents: `Word`, `Turn`, `Event`, `ModelId`, `PhraseQuestion`, `PhraseEvidence`, `Hearing` (what was
heard);
`CallRecord` (随录参数); `Evidence`, `Verdict`, `Measures`, `Judgement` (what was decided).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal

Role = Literal["agent", "customer"]
Direction = Literal["inbound", "outbound"]
VerdictKind = Literal["pass", "fail", "not_applicable", "uncertain"]
Severity = Literal["fatal", "major", "minor"]
Layout = Literal["stereo", "mono", "transcript"]
RolesFrom = Literal["call_record", "content", "transcript"]

ROLES: tuple[Role, Role] = ("agent", "customer")
VERDICTS: tuple[VerdictKind, ...] = ("pass", "fail", "not_applicable", "uncertain")
SEVERITIES: tuple[Severity, ...] = ("fatal", "major", "minor")
EVENT_KINDS: tuple[str, ...] = (
    "filler",
    "interruption",
    "dead_air",
    "paraphrase",
    "paraphrase_due",
    "agitation",
    "hold",
    "noise",
)


@dataclass(frozen=True, slots=True)
class Word:
    """One recognised word with its times.

    Attributes
    ----------
    text : str
        Simplified Chinese, usually one to four characters.
    start_s, end_s : float
        ``0 <= start_s <= end_s``.
    confidence : float
        In [0, 1].
    """

    text: str
    start_s: float
    end_s: float
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What one speaker says until the other has the floor (话轮).

    Attributes
    ----------
    role : {"agent", "customer"}
    start_s, end_s : float
    text : str
        Simplified Chinese, digits as the recogniser wrote them.
    spoken : str
        The same with digits as read aloud; empty means "derive it from text"
        (`pipeline.mandarin.spoken_form`).
    raw : str
        The recogniser's own output before any repair; empty if unchanged.
    confidence : float
        Mean word probability, in [0, 1].
    words : tuple of Word
        May be empty when a foreign transcript has no word times.
    loudness_db, pitch_hz : float or None
        Active speech level (dBFS) and median fundamental frequency of the turn.
    """

    role: Role
    start_s: float
    end_s: float
    text: str
    spoken: str = ""
    raw: str = ""
    confidence: float = 1.0
    words: tuple[Word, ...] = ()
    loudness_db: float | None = None
    pitch_hz: float | None = None

    @property
    def duration_s(self) -> float:
        """Length of the turn in seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at a time in the call.

    Attributes
    ----------
    kind : str
        One of `EVENT_KINDS`; rulebooks may add more.
    role : {"agent", "customer"} or None
        None when nobody does it (dead air).
    """

    kind: str
    start_s: float
    end_s: float
    role: Role | None = None
    text: str = ""
    confidence: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelId:
    """Which weights were used: name, task and the sha256 over their files."""

    name: str
    task: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PhraseQuestion:
    """A place where the words alone do not settle whether a phrase was said.

    Attributes
    ----------
    phrase : str
        Id of the phrase set in the rulebook.
    role : {"agent", "customer"}
    turn : int
        Index of the turn in which the place lies.
    from_s, to_s : float
        The stretch of the recording to listen to.
    start_s, end_s : float
        The place itself, inside that stretch.
    prefix, heard : str
        What was recognised in the stretch before the place, and at the place.
    spellings : tuple of str
        What may have been said there, Chinese, numbers as read aloud.
    alike : tuple of float
        For each spelling, how much it sounds like what was recognised, in [0, 1].
    """

    phrase: str
    role: Role
    turn: int
    from_s: float
    to_s: float
    start_s: float
    end_s: float
    prefix: str
    heard: str
    spellings: tuple[str, ...]
    alike: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PhraseEvidence:
    """What the audio itself says to a `PhraseQuestion`: the better spelling, and how well it fits.

    Attributes
    ----------
    c_rel : float
        Mean log probability per token of the spelling in its context, minus that of what was recognised
        there. Near 0 or above: it was said; far below: it was not.
    logprob : float
        Mean log probability per token of the spelling itself, at most 0. Where even that is low, the
        audio is too poor, or something else was said, and the comparison proves little.
    alike : float
        How much the spelling sounds like what was recognised, in [0, 1].
    """

    phrase: str
    role: Role
    start_s: float
    end_s: float
    spelling: str
    c_rel: float
    logprob: float
    alike: float


@dataclass(frozen=True, slots=True)
class Hearing:
    """All that was heard in one recording; judging needs nothing else of the audio.

    Attributes
    ----------
    recording_sha256 : str
        Of the encrypted file, so that anybody can check it without a key. Empty for transcripts.
    recording_payload_sha256 : str
        Of the encrypted file without its header: new recipients (`zhijian keys rewrap`) do not change it.
        Empty where it was not known, as in results of earlier releases; not part of any receipt.
    duration_s : float
    layout : {"stereo", "mono", "transcript"}
        ``transcript``: no audio was heard; rules that need audio do not apply.
    turns : tuple of Turn
        Sorted by ``start_s``; may overlap.
    events : tuple of Event
        Acoustic events: filler, interruption, dead_air, hold, noise, agitation.
    agent_snr_db, customer_snr_db : float or None
        Speech level over the level between speech, per role.
    clipped_share : float
        Share of samples at full scale, in [0, 1].
    asr_confidence, role_confidence : float
        In [0, 1].
    roles_from : {"call_record", "content", "transcript"}
        Who decided which voice is the agent.
    models : tuple of ModelId
    settings_hash : str
        Hash over the hearing settings that can change the result.
    notes : tuple of str
        What a person should know of the recording, as stable codes: ``dual_mono``, ``crosstalk``,
        ``one_sided``, ``agent_channel_contradicted``, ``agent_channel_unused``, ``third_voice``.
    phrases : tuple of PhraseEvidence
        Second opinions of the audio on doubtful phrases, sorted by time.
    stage_s : mapping of str to float
        CPU seconds spent by stage; for the run report, not part of any receipt.
    """

    recording_sha256: str
    duration_s: float
    layout: Layout
    turns: tuple[Turn, ...]
    events: tuple[Event, ...] = ()
    agent_snr_db: float | None = None
    customer_snr_db: float | None = None
    clipped_share: float = 0.0
    asr_confidence: float = 1.0
    role_confidence: float = 1.0
    roles_from: RolesFrom = "content"
    models: tuple[ModelId, ...] = ()
    settings_hash: str = ""
    notes: tuple[str, ...] = ()
    phrases: tuple[PhraseEvidence, ...] = ()
    stage_s: Mapping[str, float] = field(default_factory=dict, compare=False)
    recording_payload_sha256: str = ""

    def is_of_same_recording(self, other: Hearing) -> bool:
        """Whether both heard the same recording, be it with other recipients in its header."""
        payload = self.recording_payload_sha256
        return self.recording_sha256 == other.recording_sha256 or (
            payload != "" and payload == other.recording_payload_sha256
        )


@dataclass(frozen=True, slots=True)
class CallRecord:
    """One row of the call detail records (随录参数); ``None`` = unknown.

    See ``docs`` for the meaning of every column. ``extra`` keeps the columns this
    software does not know.
    """

    call_id: str
    direction: Direction
    started_at: datetime
    ring_s: float | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    company: str | None = None
    agent_channel: int | None = None
    business: str | None = None
    hangup_by: str | None = None
    agent_hangup_delay_s: float | None = None
    transferred_to: str | None = None
    tag: str | None = None
    escalated_after_min: float | None = None
    disposition: str | None = None
    disposition_after_min: float | None = None
    do_not_call_since: date | None = None
    sms_followup: bool | None = None
    harassment_complaint_after_min: float | None = None
    customer_ref: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The seconds to listen to, who speaks there, and the words."""

    start_s: float
    end_s: float
    role: Role | None
    quote: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's decision about one call.

    Attributes
    ----------
    verdict : {"pass", "fail", "not_applicable", "uncertain"}
    due, met : int
        Opportunities that arose and that were taken; 1 and 0 or 1 for plain rules, 0 and 0 when
        the rule does not apply.
    weight, points : float
        Points possible and points earned, ``0 <= points <= weight``. Both 0 when not applicable;
        an uncertain verdict costs nothing.
    confidence : float
        In [0, 1]: how sure the verdict is.
    reason : str
        Chinese, for people.
    """

    rule_id: str
    clause: str
    name_zh: str
    verdict: VerdictKind
    due: int
    met: int
    weight: float
    points: float
    severity: Severity
    confidence: float
    reason: str
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Measures:
    """Numbers about one call; see `pipeline.judging.measures` for each definition."""

    speech_rate_per_min: float | None
    articulation_rate_per_min: float | None
    agent_chars: int
    filler_count: int | None
    filler_per_100: float | None
    agent_talk_s: float
    customer_talk_s: float
    silence_s: float
    overlap_s: float
    interruptions: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdicts of one call and the score they add up to.

    Attributes
    ----------
    score : float or None
        0 to 100 over the rules that apply; None when none does.
    fatal : bool
        Whether a fatal rule (一票否决) failed.
    events : tuple of Event
        Events that only judging can see: paraphrase, paraphrase_due, agitation in words.
    """

    verdicts: tuple[Verdict, ...]
    events: tuple[Event, ...]
    measures: Measures
    score: float | None
    grade: str
    fatal: bool
    rulebook_version: str
    rulebook_hash: str
