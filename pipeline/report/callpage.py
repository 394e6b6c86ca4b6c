"""The page about one call: why it lost its points, where to hear it, by which rule and version.

Table of contents: `call_page`; `Card`, `EvidenceLine`, `cards`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.disputes.compare import CAUSE_ZH
from pipeline.disputes.reviewrecords import KINDS_ZH
from pipeline.judging.calendar_cn import CHINA
from pipeline.judging.facts import value_zh
from pipeline.records import Evidence, Turn, Verdict
from pipeline.report.callfacts import CallFacts
from pipeline.report.clips import Clip, data_uri
from pipeline.report.comparison import kind_zh
from pipeline.report.page import render
from pipeline.report.terminal import DIRECTION_ZH, NOTE_ZH, ROLE_ZH, SEVERITY_ZH, VERDICT_ZH, reason_zh
from pipeline.report.timeline import LEFT, ledger_lines, timeline
from pipeline.report.words import Run, Span, runs

ICON = {"pass": "✓", "fail": "✕", "uncertain": "？", "not_applicable": "–", "absent": "–"}
_ORDER = {"fail": 0, "uncertain": 1, "pass": 2, "not_applicable": 3}
_SEVERITY_ORDER = {"fatal": 0, "major": 1, "minor": 2}
PERSON_ZH = {"reviewer": "质检员", "agent": "坐席", "arbiter": "终裁人"}
RATE_RULE = "language.speech_rate"
_FLAG_LEVELS, _FLAG_WIDTH = 3, 21.0


@dataclass(frozen=True, slots=True)
class EvidenceLine:
    """One place to listen to."""

    start_s: float
    end_s: float
    who: str
    quote: str
    turn: int | None
    whole: bool
    clip: Clip | None


@dataclass(frozen=True, slots=True)
class Card:
    """One verdict as the page shows it; ``lost`` is in points of the score (of 100)."""

    key: int
    verdict: Verdict
    kind_zh: str
    icon: str
    severity_zh: str
    clause_text: str
    reading: str
    lost: float
    reason: str
    evidence: tuple[EvidenceLine, ...]
    today: str | None
    effective: str | None
    decided_by: str


def call_page(facts: CallFacts) -> str:
    """Build the whole page.

    Parameters
    ----------
    facts : CallFacts

    Returns
    -------
    str
        One HTML document that needs nothing else.
    """
    shown = facts.shown
    judgement, hearing, call = shown.judgement, shown.hearing, shown.call
    made = cards(facts)
    evidence = [
        Span(card.key, line.start_s, line.end_s, span.role, line.whole)
        for card in made
        for line, span in zip(card.evidence, card.verdict.evidence, strict=True)
    ]
    events = (*hearing.events, *judgement.events)
    fillers = [Span(0, e.start_s, e.end_s, e.role) for e in events if e.kind == "filler"]
    possible = sum(verdict.weight for verdict in judgement.verdicts)
    band = _band(facts)
    picture = timeline(hearing.turns, events, duration_s=hearing.duration_s, band_per_min=band)
    return render(
        "call.html.j2",
        scripts=("page.js",),
        title=f"通话质检报告 {call.call_id}",
        facts=facts,
        shown=shown,
        call=call,
        hearing=hearing,
        judgement=judgement,
        measures=judgement.measures,
        direction_zh=DIRECTION_ZH[call.direction],
        started=f"{call.started_at.astimezone(CHINA):%Y-%m-%d %H:%M:%S}",
        grade_zh=_grade_zh(facts),
        cards=made,
        losing=[card for card in made if card.lost > 0],
        doubtful=[card for card in made if card.verdict.verdict == "uncertain"],
        fatal=[c for c in made if c.verdict.verdict == "fail" and c.verdict.severity == "fatal"],
        not_applicable=[card for card in made if card.verdict.verdict == "not_applicable"],
        applicable=[card for card in made if card.verdict.verdict != "not_applicable"],
        possible=possible,
        earned=sum(verdict.points for verdict in judgement.verdicts),
        plain_score=None if possible <= 0 else 100 * sum(v.points for v in judgement.verdicts) / possible,
        card_limits=facts.rulebook.scorecard,
        notes=[NOTE_ZH.get(note, note) for note in hearing.notes],
        business_zh=value_zh("business", call.business) if call.business else "—",
        picture=picture,
        flags=_flags(made, picture.per_s),
        band=band,
        ledger=ledger_lines(judgement.events),
        transcript=_transcript(facts, evidence, fillers),
        whole={card.key: [line.turn for line in card.evidence if line.whole] for card in made},
        versions=_versions(facts),
        comparisons=facts.comparisons,
        cause_zh=CAUSE_ZH,
        verdict_zh=kind_zh,
        role_zh=ROLE_ZH,
        reason_zh=reason_zh,
        icon=ICON,
        data_uri=data_uri,
        anchor=lambda second: _anchor(second, hearing.turns),
        reviews=_reviews(facts),
        receipt=_receipt(facts),
        made_at=f"{facts.made_at.astimezone(CHINA):%Y-%m-%d %H:%M}",
    )


def cards(facts: CallFacts) -> list[Card]:
    """Every verdict, the most expensive failures first, then doubts, passes and what does not apply."""
    judgement = facts.shown.judgement
    possible = sum(verdict.weight for verdict in judgement.verdicts)
    rules = {rule.id: rule for rule in facts.rulebook.rules}
    effective = {each.rule_id: each for each in facts.effective.verdicts}
    ordered = sorted(
        judgement.verdicts,
        key=lambda v: (_ORDER[v.verdict], _SEVERITY_ORDER[v.severity], v.points - v.weight),
    )
    found: list[Card] = []
    embedded: set[tuple[float, float]] = set()
    for key, verdict in enumerate(ordered, start=1):
        rule = rules.get(verdict.rule_id)
        dual = facts.today.get(verdict.rule_id)
        now = effective.get(verdict.rule_id)
        lines = tuple(
            _line(facts, verdict, place, span, embedded) for place, span in enumerate(verdict.evidence)
        )
        found.append(
            Card(
                key=key,
                verdict=verdict,
                kind_zh=VERDICT_ZH[verdict.verdict],
                icon=ICON[verdict.verdict],
                severity_zh=SEVERITY_ZH[verdict.severity],
                clause_text=rule.clause_text if rule else "",
                reading=rule.reading if rule else "",
                lost=100 * (verdict.weight - verdict.points) / possible if possible else 0.0,
                reason=facts.mask.text(reason_zh(verdict.reason)),
                evidence=lines,
                today=None if dual is None else kind_zh(dual.today.verdict if dual.today else None),
                effective=VERDICT_ZH[now.verdict] if now and now.verdict != now.machine else None,
                decided_by={"machine": "", "review": "质检员复核", "ruling": "终裁"}[
                    now.decided_by if now else "machine"
                ],
            )
        )
    return found


def _line(
    facts: CallFacts, verdict: Verdict, place: int, span: Evidence, embedded: set[tuple[float, float]]
) -> EvidenceLine:
    turns = facts.shown.hearing.turns
    turn = _turn_at(span, turns)
    whole = (
        turn is not None
        and abs(turns[turn].start_s - span.start_s) < 0.05
        and abs(turns[turn].end_s - span.end_s) < 0.05
    )
    clip = facts.clips.get((verdict.rule_id, place))
    if clip is not None:
        if (clip.start_s, clip.end_s) in embedded:  # once is enough: times find the clip that holds them
            clip = None
        else:
            embedded.add((clip.start_s, clip.end_s))
    return EvidenceLine(
        start_s=span.start_s,
        end_s=span.end_s,
        who=ROLE_ZH.get(span.role or "", "双方"),
        quote=facts.mask.text(span.quote),
        turn=turn,
        whole=whole,
        clip=clip,
    )


def _turn_at(span: Evidence, turns: Sequence[Turn]) -> int | None:
    """The turn that a piece of evidence lies in; the nearest one before it, where nobody speaks."""
    best, most = None, 0.0
    for index, turn in enumerate(turns):
        if span.role is not None and turn.role != span.role:
            continue
        shared = min(turn.end_s, span.end_s) - max(turn.start_s, span.start_s)
        if shared > most:
            best, most = index, shared
    if best is not None:
        return best
    before = [index for index, turn in enumerate(turns) if turn.start_s <= span.start_s]
    return before[-1] if before else (0 if turns else None)


def _anchor(second: float, turns: Sequence[Turn]) -> str:
    """Where a time leads when no script runs: the turn at that second, or the last one before it."""
    before = [index for index, turn in enumerate(turns) if turn.start_s <= second + 0.05]
    return f"#turn-{before[-1] if before else 0}" if turns else "#transcript"


@dataclass(frozen=True, slots=True)
class Flag:
    """A numbered flag over the timeline; ``level`` 0 to 2 keeps neighbours apart."""

    card: Card
    start_s: float
    x: float
    stem_x: float
    level: int


def _flags(made: Sequence[Card], per_s: float) -> list[Flag]:
    """Where to listen for what cost points or is in doubt."""
    places = sorted(
        ((line.start_s, card) for card in made if card.verdict.verdict in ("fail", "uncertain")
         for line in card.evidence[:2]),
        key=lambda pair: (pair[0], pair[1].key),
    )  # fmt: skip
    free = [0.0] * _FLAG_LEVELS
    found: list[Flag] = []
    for start_s, card in places:
        stem = LEFT + start_s * per_s
        level = next(
            (i for i, x in enumerate(free) if x <= stem), min(range(_FLAG_LEVELS), key=free.__getitem__)
        )
        x = max(stem, free[level])
        free[level] = x + _FLAG_WIDTH
        found.append(Flag(card, start_s, round(x, 2), round(stem, 2), level))
    return found


@dataclass(frozen=True, slots=True)
class _Line:
    """A turn of the transcript, or a line of the ledger between turns."""

    turn: int | None
    role: str
    start_s: float
    runs: tuple[Run, ...] = ()
    due_met_s: float | None = None
    keys: tuple[int, ...] = ()


def _transcript(facts: CallFacts, evidence: Sequence[Span], fillers: Sequence[Span]) -> list[_Line]:
    turns = facts.shown.hearing.turns
    found = [
        _Line(
            index,
            turn.role,
            turn.start_s,
            tuple(runs(turn, facts.mask.turns[index].text, evidence, fillers)),
            keys=tuple(
                dict.fromkeys(
                    span.key
                    for span in evidence
                    if span.whole and abs(span.start_s - turn.start_s) < 0.05 and span.role == turn.role
                )
            ),
        )
        for index, turn in enumerate(turns)
    ]
    for line in ledger_lines(facts.shown.judgement.events):
        if line.kind == "due":
            found.append(_Line(None, "due", line.at_s, due_met_s=line.met_s))
    return sorted(found, key=lambda line: (line.start_s, line.turn is None))


def _band(facts: CallFacts) -> tuple[float, float] | None:
    rule = next((rule for rule in facts.rulebook.rules if rule.id == RATE_RULE), None)
    if rule is None or not {"min_per_min", "max_per_min"} <= set(rule.thresholds):
        return None
    return rule.thresholds["min_per_min"], rule.thresholds["max_per_min"]


def _grade_zh(facts: CallFacts) -> str:
    grades = {grade.id: grade.name_zh for grade in facts.rulebook.scorecard.grades}
    return grades.get(facts.shown.judgement.grade, "")


def _versions(facts: CallFacts) -> list[dict[str, Any]]:
    return [
        {
            "number": version.number,
            "at": f"{version.scored_at.astimezone(CHINA):%Y-%m-%d %H:%M}",
            "score": version.judgement.score,
            "grade": version.judgement.grade,
            "by": version.scored_by or "夜间任务",
            "why": version.reason or "首次评分",
            "rulebook": version.judgement.rulebook_version,
            "hash": version.judgement.rulebook_hash[:12],
            "model": "、".join(model.name for model in version.hearing.models) or "外部转写",
            "code": str(version.inputs.get("code", "")),
            "receipt": version.receipt[:12],
            "shown": version.number == facts.shown.number,
        }
        for version in facts.versions
    ]


def _reviews(facts: CallFacts) -> list[dict[str, Any]]:
    names = {verdict.rule_id: verdict.name_zh for verdict in facts.shown.judgement.verdicts}
    return [
        {
            "at": f"{review.reviewed_at.astimezone(CHINA):%Y-%m-%d %H:%M}",
            "rule": names.get(review.rule_id, review.rule_id),
            "kind": KINDS_ZH[review.kind],
            "machine": VERDICT_ZH[review.machine_verdict],
            "verdict": VERDICT_ZH[review.verdict],
            "who": f"{PERSON_ZH[review.person_role]} {review.person}",
            "comment": facts.mask.text(review.comment),
            "version": review.version,
        }
        for review in facts.reviews
    ]


def _receipt(facts: CallFacts) -> list[tuple[str, str]]:
    inputs = facts.shown.inputs
    heard, rules = inputs.get("hearing", {}), inputs.get("rulebook", {})
    models = "；".join(f"{m['name']}（{m['task']}）{m['sha256']}" for m in heard.get("models", []))
    return [
        ("评分凭证", facts.shown.receipt),
        ("录音 sha256（密文）", str(inputs.get("recording_sha256") or "无录音")),
        ("随录参数 sha256", str(inputs.get("call_record_sha256", ""))),
        ("听辨结果 sha256", str(heard.get("sha256", ""))),
        ("模型", models or "外部转写"),
        ("听辨设置", str(heard.get("settings_hash") or "—")),
        ("规则", f"{rules.get('version', '')} {rules.get('hash', '')}"),
        ("判定 sha256", str(inputs.get("judgement_sha256", ""))),
        ("程序", str(inputs.get("code", ""))),
        ("函数库", json.dumps(inputs.get("libraries", {}), ensure_ascii=False, sort_keys=True)),
    ]
