"""Masks over everything that is shown of one call, and who may lift them.

Table of contents: `CallMask`, `mask_fields`, `may_unmask`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pipeline.privacy.digits import digit_runs
from pipeline.privacy.masking import Masked, hidden, mask, mask_turns
from pipeline.records import Turn

if TYPE_CHECKING:
    from pipeline.settings import Settings

_SAID = frozenset({"reason", "old_reason", "new_reason", "quote", "text", "spoken", "raw", "comment"})
_REPEATED_DIGITS = 4
"""Digits that repeat so much of a masked number (a read-back, a quote) are masked wherever they stand."""


class CallMask:
    """Masks the texts of one call: its turns, words, evidence, events and reasons.

    Parameters
    ----------
    texts : sequence of str
        The call's turns in order, both sides; they tell what a number in a quote is.

    Examples
    --------
    >>> call = CallMask(["请报一下保单号后六位", "三八零二一五", "三八零二一五，对吗"])
    >>> call.turns[2].text, call.text("客户报了380215")
    ('******，对吗', '客户报了******')
    """

    def __init__(self, texts: Sequence[str]) -> None:
        masked = mask_turns(texts)
        self._secrets = {s for one in masked for s in one.secrets if len(s) >= _REPEATED_DIGITS}
        self.turns: tuple[Masked, ...] = tuple(
            replace(one, text=self._repeated(text, one.text)) for text, one in zip(texts, masked, strict=True)
        )

    @classmethod
    def of_turns(cls, turns: Sequence[Turn]) -> CallMask:
        """Make one from records."""
        return cls([turn.text for turn in turns])

    @classmethod
    def of_rows(cls, rows: Sequence[Mapping[str, Any]]) -> CallMask:
        """Make one from rows of ``turns`` of one call and version, in order."""
        return cls([str(row.get("text") or "") for row in rows])

    def text(self, text: str | None) -> str:
        """Mask any text about the call: a quote, a reason, an event."""
        return self._repeated(text, mask(text).text) if text else ""

    def turn(self, index: int, turn: Turn) -> Turn:
        """Mask a turn with its words, its spoken form and the recogniser's own text."""
        words = self._words([word.text for word in turn.words])
        return replace(
            turn,
            text=self.turns[index].text,
            spoken=self.text(turn.spoken),
            raw=self.text(turn.raw),
            words=tuple(replace(w, text=t) for w, t in zip(turn.words, words, strict=True)),
        )

    def turn_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Mask rows of ``turns``, the same rows in the same order as in `of_rows`."""
        found = []
        for index, row in enumerate(rows):
            masked = {**row, "text": self.turns[index].text}
            for name in ("spoken", "raw"):
                if row.get(name):
                    masked[name] = self.text(row[name])
            if row.get("words") is not None:
                texts = self._words([str(word["text"]) for word in row["words"]])
                masked["words"] = [{**w, "text": t} for w, t in zip(row["words"], texts, strict=True)]
            found.append(masked)
        return found

    def verdict_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Mask the reasons and quotes in rows of ``verdicts``."""
        return [
            {
                **row,
                "reason": self.text(row.get("reason")),
                "evidence": [{**e, "quote": self.text(e.get("quote"))} for e in row.get("evidence") or ()],
            }
            for row in rows
        ]

    def event_rows(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Mask the texts in rows of ``events``."""
        return [{**row, "text": self.text(row.get("text"))} for row in rows]

    def _words(self, words: Sequence[str]) -> list[str]:
        joined = "".join(words)
        masked = self.text(joined)
        found, place = [], 0
        for word in words:
            found.append(masked[place : place + len(word)])
            place += len(word)
        return found

    def _repeated(self, original: str, masked: str) -> str:
        """Mask also the digits that repeat, or hold, a number masked elsewhere in the call."""
        if not self._secrets:
            return masked
        found = [
            (run.start, run.end)
            for run in digit_runs(original)
            if len(run.digits) >= _REPEATED_DIGITS
            and any(run.digits in secret or secret in run.digits for secret in self._secrets)
        ]
        return hidden(masked, found)


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


def may_unmask(settings: Settings) -> bool:
    """Whether the dispute key is at hand, so that masks may be lifted.

    Parameters
    ----------
    settings : Settings
        ``dispute_key``; the key itself is loaded, so a name alone lifts nothing.

    Raises
    ------
    AccessRefusedError
        If no dispute key is set.
    KeyMaterialError
        If it cannot be read.
    """
    from pipeline.errors import AccessRefusedError
    from pipeline.vault.providers import key_provider

    if not settings.dispute_key:
        raise AccessRefusedError(
            "unmasked numbers need the dispute key; set `dispute_key` to the place where it is kept"
        )
    key_provider(settings.dispute_key).check()
    return True
