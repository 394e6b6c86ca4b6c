"""Masks over everything that is shown of one call.

Table of contents: `CallMask`, `mask_fields`, `mask_record`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.privacy.digits import Group, digit_runs, may_hold_number
from pipeline.privacy.lexicon import FEWEST_DIGITS
from pipeline.privacy.masking import Masked, hidden, mask, mask_after, mask_in_order
from pipeline.records import Turn

_SAID = frozenset({"reason", "old_reason", "new_reason", "quote", "text", "spoken", "raw", "comment"})
_REPEATED_DIGITS = 4
"""Digits that repeat so much of a masked number (a read-back, a quote) are masked wherever they stand."""
_IDENTIFIERS = frozenset({"call_id", "agent_id", "customer_ref", "started_at", "do_not_call_since"})
_WORDS_BESIDE = 3
"""Characters beside the digits of a turn that is still nothing but a piece of a number (嗯, 对吧)."""
_SHORT_TURN = 3 * _WORDS_BESIDE
_LONGEST_PIECE = 60
_SPLIT_DIGITS = 11
"""A number read out over turns, unannounced, is taken for one from as many digits on."""


class CallMask:
    """Masks the texts of one call: its turns, words, evidence, events and reasons.

    Parameters
    ----------
    texts : sequence of str
        The call's turns in order, both sides; they tell what a number in a quote is.
    roles : sequence of str, optional
        Who speaks in each, so that a number that one of them reads out over several turns is seen whole.

    Examples
    --------
    >>> call = CallMask(["请报一下保单号后六位", "三八零二一五", "三八零二一五，对吗"])
    >>> call.turns[2].text, call.text("客户报了380215")
    ('******，对吗', '客户报了******')
    """

    def __init__(self, texts: Sequence[str], roles: Sequence[str | None] | None = None) -> None:
        ordered = mask_in_order(texts)
        self._texts = texts
        self._pending = [pending for _, pending in ordered]
        self._split = _split_over_turns(texts, roles or [None] * len(texts))
        masked = [one for one, _ in ordered]
        self._secrets = {s for one in masked for s in one.secrets if len(s) >= FEWEST_DIGITS}
        self._secrets |= {s for s in self._split.values() if len(s) >= FEWEST_DIGITS}
        self.turns: tuple[Masked, ...] = tuple(
            one if (shown := self._finished(place, text, one.text)) == one.text else replace(one, text=shown)
            for place, (text, one) in enumerate(zip(texts, masked, strict=True))
        )

    @classmethod
    def of_turns(cls, turns: Sequence[Turn]) -> CallMask:
        """Make one from records."""
        return cls([turn.text for turn in turns], [turn.role for turn in turns])

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]]) -> CallMask:
        """Make one from rows of ``turns`` of one call and version, in order."""
        return cls([str(row.get("text") or "") for row in rows], [row.get("role") for row in rows])

    @property
    def hides(self) -> bool:
        """Whether a personal number was said in this call."""
        return bool(self._secrets or self._split)

    def text(self, text: str | None) -> str:
        """Mask any text about the call: a quote, a reason, an event."""
        return self._repeated(text, mask(text).text, _REPEATED_DIGITS) if text else ""

    def quoted(self, text: str | None) -> str:
        """Mask words of the call shown apart: also the short pieces in which a number was read out."""
        return self._repeated(text, mask(text).text) if text else ""

    def of_turn(self, index: int, text: str | None) -> str:
        """Mask another spelling of a turn: its spoken form, the recogniser's own text, its joined words."""
        if not text or text == self._texts[index]:
            return self.turns[index].text if text else ""
        return self._finished(index, text, mask_after(text, self._pending[index]).text)

    def words(self, index: int, words: Sequence[str]) -> list[str]:
        """Mask the words of a turn, read as one: a number may stand in them digit by digit."""
        masked = self.of_turn(index, "".join(words))
        found, place = [], 0
        for word in words:
            found.append(masked[place : place + len(word)])
            place += len(word)
        return found

    def turn(self, index: int, turn: Turn) -> Turn:
        """Mask a turn with its words, its spoken form and the recogniser's own text."""
        words = self.words(index, [word.text for word in turn.words])
        return replace(
            turn,
            text=self.turns[index].text,
            spoken=self.of_turn(index, turn.spoken),
            raw=self.of_turn(index, turn.raw),
            words=tuple(replace(w, text=t) for w, t in zip(turn.words, words, strict=True)),
        )

    def turn_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Mask rows of ``turns``, the same rows in the same order as in `of_rows`."""
        found = []
        for index, row in enumerate(rows):
            masked = {**row, "text": self.turns[index].text}
            for name in ("spoken", "raw"):
                if row.get(name):
                    masked[name] = self.of_turn(index, row[name])
            if row.get("words") is not None:
                texts = self.words(index, [str(word["text"]) for word in row["words"]])
                masked["words"] = [{**w, "text": t} for w, t in zip(row["words"], texts, strict=True)]
            found.append(masked)
        return found

    def verdict_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Mask the reasons and quotes in rows of ``verdicts``."""
        return [
            {
                **row,
                "reason": self.text(row.get("reason")),
                "evidence": [{**e, "quote": self.quoted(e.get("quote"))} for e in row.get("evidence") or ()],
            }
            for row in rows
        ]

    def event_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Mask the texts in rows of ``events``."""
        return [{**row, "text": self.quoted(row.get("text"))} for row in rows]

    def _finished(self, index: int, original: str, masked: str) -> str:
        """Mask what the turn alone does not betray: pieces of a number over turns, and repetitions."""
        if index in self._split:
            masked = hidden(masked, [(group.start, group.end) for group in _groups(original)])
        return self._repeated(original, masked)

    def _repeated(self, original: str, masked: str, least: int = FEWEST_DIGITS) -> str:
        """Mask also the digits that repeat, or hold, a number masked elsewhere in the call.

        Three digits are often something else (a price, a room), so they have to be the very piece.
        """
        if not self._secrets or not may_hold_number(original):
            return masked
        found = [
            (run.start, run.end)
            for run in digit_runs(original)
            if len(run.digits) >= least
            and (
                run.digits in self._secrets
                or any(
                    run.digits in secret or secret in run.digits
                    for secret in self._secrets
                    if min(len(secret), len(run.digits)) >= _REPEATED_DIGITS
                )
            )
        ]
        return hidden(masked, found)


def _groups(text: str) -> list[Group]:
    return [group for run in digit_runs(text) for group in run.groups]


def _split_over_turns(texts: Sequence[str], roles: Sequence[str | None]) -> dict[int, str]:
    """Turns in which somebody reads a number out piece by piece, with their digits.

    A piece is a turn that is digits and hardly anything else. Turns of the other side may stand between
    (对, 嗯, a read-back); a turn of the same speaker with other words ends the number.
    """
    found: dict[int, str] = {}
    open_pieces: dict[str | None, list[tuple[int, str]]] = {}

    def close(role: str | None) -> None:
        pieces = open_pieces.pop(role, [])
        if len(pieces) > 1 and sum(len(digits) for _, digits in pieces) >= _SPLIT_DIGITS:
            found.update(pieces)

    for place, (text, role) in enumerate(zip(texts, roles, strict=True)):
        digits = _piece(text)
        if digits:
            open_pieces.setdefault(role, []).append((place, digits))
        elif digits is None:
            close(role)
    for role in list(open_pieces):
        close(role)
    return found


def _piece(text: str) -> str | None:
    """Digits of a turn that is hardly anything else; empty for a turn of a word or none; else None."""
    groups = _groups(text) if len(text) <= _LONGEST_PIECE else []
    if not groups and len(text) > _SHORT_TURN:
        return None
    beside = sum(letter.isalnum() for letter in text) - sum(group.end - group.start for group in groups)
    if beside > _WORDS_BESIDE:
        return None
    return "".join(group.digits for group in groups)


def mask_fields(value: Any) -> Any:
    """Mask every text of a JSON value that stands under a name for what was said or why it was judged so.

    Examples
    --------
    >>> mask_fields({"call_id": "13800138000", "old_reason": "报了13800138000", "spans": [{"quote": "您好"}]})
    {'call_id': '13800138000', 'old_reason': '报了***********', 'spans': [{'quote': '您好'}]}
    """
    if isinstance(value, Mapping):
        return {
            name: mask(held).text if isinstance(held, str) and name in _SAID else mask_fields(held)
            for name, held in value.items()
        }
    if isinstance(value, list | tuple):
        return [mask_fields(held) for held in value]
    return value


def mask_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """Mask the values of a call detail record; columns that identify the call, agent and customer stay.

    A column that is not known is masked by its shape, and by its name where that says what it holds.

    Examples
    --------
    >>> mask_record({"call_id": "13800138000", "tag": "回拨13800138000", "extra": {"保单号后六位": 380215}})
    {'call_id': '13800138000', 'tag': '回拨***********', 'extra': {'保单号后六位': '******'}}
    """
    found: dict[str, Any] = {}
    for name, value in record.items():
        if name == "extra" and isinstance(value, Mapping):
            found[name] = {key: _masked_value(f"{key}：", held) for key, held in value.items()}
        else:
            found[name] = value if name in _IDENTIFIERS else _masked_value("", value)
    return found


def _masked_value(label: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    text = str(value)
    masked = mask(label + text).text[len(label) :]
    return value if masked == text else masked
