"""Whether a phrase that was uttered was also meant.

“您的保单即将失效” is a threat, “不是说您的保单即将失效” is not, and a customer who repeats what a
caller said threatens nobody. The words around a hit are searched for negators and for verbs of
reporting; expressions that merely contain such a character (不好意思, 能不能) are blotted out first.
All words and their reach come from ``lexicons/negation.toml``.

Table of contents: `Guards`, `load_guards`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pipeline.judging.lexfile import LexiconFile, lexicon_folder
from pipeline.records import ROLES, Role

BLOT = "\0"


@dataclass(frozen=True, slots=True)
class Guards:
    """Searchers over the words around a hit.

    Attributes
    ----------
    before, after : int
        Characters on either side of a hit that are worth looking at.
    stops : compiled expression
        Marks no guard reaches over.
    """

    before: int
    after: int
    stops: re.Pattern[str]
    _hints: re.Pattern[str]
    _harmless: re.Pattern[str]
    _negators: re.Pattern[str]
    _denials: re.Pattern[str]
    _mentions: re.Pattern[str]
    _unquoted: re.Pattern[str]
    _reports: dict[Role, re.Pattern[str]]
    _reach: dict[str, int]

    def negated(self, left: str, right: str) -> bool:
        """Whether the words before or after a hit turn it round.

        Parameters
        ----------
        left, right : str
            Characters before and after the hit in the same sentence, without punctuation.

        Examples
        --------
        >>> guards = load_guards()
        >>> guards.negated("这不是说您的保单", ""), guards.negated("不好意思您的保单", "")
        (True, False)
        """
        if right:
            denial = self._denials.match(right)
            if denial:
                return True
        if not self._hints.search(left):
            return False
        count = 0
        limit = -1
        for match in self._negators.finditer(self._harmless.sub(_blot, left)):
            if len(left) - match.end() <= self._reach[match.group()]:
                count += 1
                limit = match.end()
        # 并不是没有: two denials make an assertion.
        return limit >= 0 and count % 2 == 1

    def quoted(self, left: str, role: Role, right: str = "") -> bool:
        """Whether the words before or after a hit say that somebody else said it, or that it is talked about.

        Examples
        --------
        >>> load_guards().quoted("刚才那个人说", "customer"), load_guards().quoted("我跟您说", "agent")
        (True, False)
        >>> load_guards().quoted("", "agent", "这种话我们不能讲")
        True
        """
        if right and self._mentions.match(right):
            return True
        for match in self._reports[role].finditer(self._unquoted.sub(_blot, left)):
            if len(left) - match.end() <= self._reach[match.group()]:
                return True
        return False


def _blot(match: re.Match[str]) -> str:
    return BLOT * len(match.group())


def _any_of(words: Iterable[str]) -> str:
    longest_first = sorted(set(words), key=lambda word: (-len(word), word))
    return "|".join(map(re.escape, longest_first)) or r"(?!)"


@lru_cache(maxsize=8)
def load_guards(folder: Path | None = None) -> Guards:
    """Guards from a lexicon folder; the shipped ones when ``None``.

    Raises
    ------
    RulebookError
        With all problems of ``negation.toml``.
    """
    file = LexiconFile((folder or lexicon_folder()) / "negation.toml")
    reach: dict[str, int] = {}

    def words(table: str) -> Iterable[tuple[tuple[str, ...], tuple[str | int, ...]]]:
        for key in file.tables(table):
            found = file.texts((*key, "words"))
            most = int(file.number((*key, "reach"), 0, 30))
            for word in found:
                reach[word] = max(most, reach.get(word, 0))
            yield found, key

    negators = [word for found, _ in words("negation") for word in found]
    after = {
        table: [
            f".{{0,{int(file.number((*key, 'reach'), 0, 30))}}}(?:{_any_of(found)})"
            for found, key in words(table)
        ]
        for table in ("negation_after", "quotation_after")
    }
    reports: dict[Role, list[str]] = {role: [] for role in ROLES}
    for found, key in words("quotation"):
        for role in file.texts((*key, "roles")):
            if role not in ROLES:
                file.problem(key, f"role {role!r} is unknown; expected one of: {', '.join(ROLES)}")
                continue
            reports["agent" if role == "agent" else "customer"].extend(found)
    harmless = (*file.texts(("not_negation", "questions")), *file.texts(("not_negation", "expressions")))
    unquoted = file.texts(("not_quotation", "expressions"))
    guards = Guards(
        before=int(file.number(("window", "before"), 0, 60)),
        after=int(file.number(("window", "after"), 0, 60)),
        stops=re.compile(f"[{re.escape(file.text(('window', 'stops')))}]"),
        _hints=re.compile(f"[{re.escape(''.join(sorted({word[0] for word in negators})))}]"),
        _harmless=re.compile(_any_of(harmless)),
        _negators=re.compile(_any_of(negators)),
        _denials=re.compile("|".join(after["negation_after"]) or r"(?!)"),
        _mentions=re.compile("|".join(after["quotation_after"]) or r"(?!)"),
        _unquoted=re.compile(_any_of(unquoted)),
        _reports={role: re.compile(_any_of(found)) for role, found in reports.items()},
        _reach=reach,
    )
    file.finish()
    return guards
