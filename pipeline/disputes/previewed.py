"""Which rulebooks a preview compares, and what of that may surprise.

Table of contents: `Ruleset`, `Compared`, `compared`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.disputes.archive import rulebook_in_use
from pipeline.results.store import Store


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A rulebook by its name: folder (empty for one that only results name), version, hash."""

    folder: str
    version: str
    hash: str

    def __str__(self) -> str:
        where = f"{self.folder}，" if self.folder else ""
        return f"{where}{self.version}（{self.hash[:12]}）"


@dataclass(frozen=True, slots=True)
class Compared:
    """What a preview compares.

    Attributes
    ----------
    before, after : Ruleset
    stored : tuple of (Ruleset, int)
        By which rulebooks the stored scores of these calls were made, and how many calls by each; the
        most frequent first.
    """

    before: Ruleset
    after: Ruleset
    stored: tuple[tuple[Ruleset, int], ...]

    @property
    def head(self) -> str:
        """Say in Chinese what is compared with what."""
        calls = sum(count for _, count in self.stored)
        return (
            f"原规则：{self.before}\n新规则：{self.after}\n"
            f"用这两套规则各重判库存的 {calls} 通，下面是两者之差"
        )

    @property
    def warnings(self) -> list[str]:
        """What may surprise, in Chinese, one line each."""
        found: list[str] = []
        if self.after.hash == self.before.hash:
            found.append("注意：两套规则完全相同")
        elif self.after.version == self.before.version:
            found.append(
                f"注意：规则有改动，而 version 仍是 {self.after.version}；生效之前请在 "
                f"{self.after.folder}/rules/ids.toml 里往上加，否则报告分不清是按哪一版判的"
            )
        others = [(rules, count) for rules, count in self.stored if rules.hash != self.before.hash]
        if others:
            told = "，".join(f"{rules} {count} 通" for rules, count in others)
            found.append(
                f"注意：库存得分有些不是按上面的原规则评的（{told}）；对这些通话，“原结论”是原规则重判的，"
                "不一定是入库的结论。要与另一套规则相比，用 --before 指定它的文件夹"
            )
        return found


def compared(
    results: str, after: Path, *, before: Path | None = None, dates: Sequence[str] | None = None
) -> Compared:
    """Name the two rulebooks of a preview, and those by which the calls were scored.

    Parameters
    ----------
    results : str
    after, before : Path
        Folders; None is the rulebook that ships.
    dates : sequence of str, optional
        Only calls of these days.

    Raises
    ------
    RulebookError
        A rulebook has problems.
    ResultsError
        There is no such results folder.
    """
    books = [
        Ruleset("随程序发布的规则" if folder is None else str(folder), book.version, book.hash)
        for folder in (before, after)
        for book in (rulebook_in_use(folder),)
    ]
    scores = Store.open(results).read("scores", columns=("rulebook_version", "rulebook_hash"), dates=dates)
    counted = Counter((row["rulebook_version"], row["rulebook_hash"]) for row in scores.to_pylist())
    stored = tuple((Ruleset("", *key), count) for key, count in counted.most_common())
    return Compared(books[0], books[1], stored)
