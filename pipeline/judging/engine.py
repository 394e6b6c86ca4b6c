"""Judging one call by a rulebook: pure, fast, replayable.

Table of contents: `judge`, `judge_rule`.
"""

from __future__ import annotations

from pipeline.judging.calendar_cn import CHINA
from pipeline.judging.case import Case
from pipeline.judging.facts import unsure_zh
from pipeline.judging.ledger import Ledger
from pipeline.judging.outcome import Outcome
from pipeline.judging.rulebook import Rule, Rulebook
from pipeline.judging.scoring import points, total
from pipeline.judging.swapping import agreed
from pipeline.judging.wording import sentence
from pipeline.records import CallRecord, Event, Evidence, Hearing, Judgement, Verdict, VerdictKind

_MAX_EVIDENCE = 6
_DIRECTION_ZH = {"inbound": "呼入", "outbound": "呼出"}


def judge(hearing: Hearing, call: CallRecord, rulebook: Rulebook) -> Judgement:
    """All verdicts about one call and the score they add up to.

    Parameters
    ----------
    hearing : Hearing
        What was heard; ``layout="transcript"`` for words without audio.
    call : CallRecord
    rulebook : Rulebook

    Returns
    -------
    Judgement
        One verdict for every rule of the rulebook, in its order.

    Notes
    -----
    Pure: the same three always give the same answer. Nothing is read, written or remembered.
    """
    case = Case(hearing, call, rulebook.lexicon)
    verdicts = tuple(judge_rule(rule, case, rulebook) for rule in rulebook.rules)
    score, grade, fatal = total(verdicts, rulebook.scorecard)
    return Judgement(
        verdicts=verdicts,
        events=tuple(_events(case, rulebook)),
        measures=case.measures,
        score=score,
        grade=grade,
        fatal=fatal,
        rulebook_version=rulebook.version,
        rulebook_hash=rulebook.hash,
    )


def judge_rule(rule: Rule, case: Case, rulebook: Rulebook) -> Verdict:
    """One rule's verdict about a call.

    Where agent and customer are not told apart well enough, the verdict must hold with the roles exchanged
    too (`pipeline.judging.swapping`); otherwise it is uncertain.
    """
    heard = _as_heard(rule, case, rulebook)
    if case.roles_sure:
        return heard
    other = _as_heard(rule, case.exchanged, rulebook)
    return agreed(heard, other, role_confidence=case.hearing.role_confidence)


def _as_heard(rule: Rule, case: Case, rulebook: Rulebook) -> Verdict:
    """One rule's verdict, the roles taken as they are."""
    call = case.call
    if not rule.is_about(call.direction):
        return _not_applicable(rule, f"{_DIRECTION_ZH[call.direction]}通话不适用")
    if not rule.applies_on(call.started_at.astimezone(CHINA).date()):
        return _not_applicable(rule, "通话日期不在规则生效期内")
    if rule.each is not None:
        return _judge_each(rule, case, rulebook)
    asked = rule.due.evaluate(case, None)
    if asked.state in ("no", "unknown"):
        told = rule.not_due_zh if asked.state == "no" else ""
        return _not_applicable(rule, told or sentence(asked.notes) or "不属于应检情形", asked)
    answer = rule.require.evaluate(case, None)
    if asked.state == "unsure" and answer.state != "yes":
        return _verdict(rule, _doubtful(asked), rulebook)
    return _verdict(rule, answer, rulebook)


def _doubtful(asked: Outcome) -> Outcome:
    notes = ("不能确定是否应检", *asked.notes)
    return Outcome("unsure", asked.confidence, notes, asked.evidence)


def _judge_each(rule: Rule, case: Case, rulebook: Rulebook) -> Verdict:
    moments = case.moments(rule.each or "")
    if not moments:
        kind = case.lexicon.moments[rule.each or ""]
        return _not_applicable(rule, rule.not_due_zh or f"没有{kind.name_zh}")
    answers: list[Outcome] = []
    shown: list[Evidence] = []
    for moment in moments:
        answer = rule.require.evaluate(case, moment)
        if not moment.is_sure and answer.state != "yes":
            answer = Outcome("unsure", moment.confidence, (f"近似但不确定：{moment.name_zh}",))
        answers.append(answer)
        shown.extend((moment.evidence(), *answer.evidence))
    known = [answer for answer in answers if answer.state != "unknown"]
    met = sum(answer.state == "yes" for answer in known)
    state = "unknown"
    for worst in ("no", "unsure", "yes"):
        if any(answer.state == worst for answer in known):
            state = worst
            break
    deciding = [answer for answer in answers if answer.state == state]
    notes = [f"{moments[0].name_zh} {len(moments)} 次"] if len(moments) > 1 else [moments[0].name_zh]
    notes.extend(note for answer in deciding for note in answer.notes)
    confidence = min((answer.confidence for answer in deciding), default=1.0)
    if state == "no":
        sure = max(
            (m.confidence for m, a in zip(moments, answers, strict=True) if a.state == "no"), default=1.0
        )
        confidence = min(max(answer.confidence for answer in deciding), sure)
    decided = Outcome(
        "no" if state == "no" else "yes" if state == "yes" else "unsure" if state == "unsure" else "unknown",
        confidence,
        tuple(notes),
        tuple(dict.fromkeys(shown)),
        due=len(known),
        met=met,
    )
    return _verdict(rule, decided, rulebook)


def _verdict(rule: Rule, answer: Outcome, rulebook: Rulebook) -> Verdict:
    if answer.state == "unknown":
        return _not_applicable(rule, sentence(answer.notes), answer)
    card = rulebook.scorecard
    verdict: VerdictKind = {"yes": "pass", "no": "fail", "unsure": "uncertain"}[answer.state]  # type: ignore[assignment]
    notes = answer.notes
    if verdict == "fail" and rule.severity == "fatal" and answer.confidence < card.fatal_min_confidence:
        verdict = "uncertain"
        doubt = (
            f"一票否决项的置信度仅 {unsure_zh(answer.confidence, card.fatal_min_confidence)}"
            f"（低于 {card.fatal_min_confidence:g}），须人工复核"
        )
        notes = (*notes, doubt)
    weight = rule.weight * (card.groups[rule.group].factor if rule.group in card.groups else 1.0)
    return Verdict(
        rule_id=rule.id,
        clause=rule.clause,
        name_zh=rule.name_zh,
        verdict=verdict,
        due=answer.due,
        met=answer.met,
        weight=weight,
        points=points(verdict, due=answer.due, met=answer.met, weight=weight),
        severity=rule.severity,
        confidence=round(min(max(answer.confidence, 0.0), 1.0), 4),
        reason=sentence(notes),
        evidence=answer.evidence[:_MAX_EVIDENCE],
    )


def _not_applicable(rule: Rule, reason: str, asked: Outcome | None = None) -> Verdict:
    return Verdict(
        rule_id=rule.id,
        clause=rule.clause,
        name_zh=rule.name_zh,
        verdict="not_applicable",
        due=0,
        met=0,
        weight=0.0,
        points=0.0,
        severity=rule.severity,
        confidence=asked.confidence if asked else 1.0,
        reason=reason,
    )


def _events(case: Case, rulebook: Rulebook) -> list[Event]:
    """Events that only judging sees: the ledger's lines, and moments that words show."""
    found: list[Event] = []
    if case.hearing.layout == "transcript":
        known = set(case.hearing.events)
        found.extend(event for event in case.events if event not in known)
    for rule in rulebook.rules:
        if isinstance(rule.require, Ledger) and rule.is_about(case.call.direction):
            found.extend(rule.require.events(case))
    for kind in rulebook.lexicon.moments.values():
        if kind.reported_as is None:
            continue
        heard = {(event.kind, event.start_s) for event in case.events}
        for moment in case.moments(kind.id):
            if moment.is_sure and (kind.reported_as, moment.start_s) not in heard:
                found.append(
                    Event(
                        kind.reported_as,
                        moment.start_s,
                        moment.end_s,
                        moment.role,
                        moment.quote,
                        moment.confidence,
                    )
                )
    return sorted(found, key=lambda event: (event.start_s, event.kind))
