"""Chinese text that breaks between any two characters, as it is set in print; Rich breaks at spaces only.

Table of contents: `Wrapped`, `breaks`.
"""

from __future__ import annotations

import re
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.containers import Lines
from rich.text import Text

# A character, or a Latin word or number, with the brackets and stops that may not be parted from it.
_PIECE = re.compile(r"[（【「『《“]*(?:[!-~–·]+|\S)[，。、；：？！）】」』》”]*\s*|\s+")


def breaks(text: str, width: int) -> list[int]:
    """Offsets at which a line begins, so that no line is wider than ``width`` cells.

    Examples
    --------
    >>> breaks("未听到“承诺 24 小时内回电”（坐席全程）；", 22)
    [13]
    >>> breaks("abcdefgh", 3)
    [3, 6]
    """
    found: list[int] = []
    used = 0
    for piece in _PIECE.finditer(text):
        size = cell_len(piece[0].rstrip())
        if used and used + size > width:
            found.append(piece.start())
            used = 0
        if size > width:  # a word that no line holds is cut
            for place, char in enumerate(piece[0], start=piece.start()):
                if used and used + cell_len(char) > width:
                    found.append(place)
                    used = 0
                used += cell_len(char)
        else:
            used += cell_len(piece[0])
    return found


class Wrapped(Text):
    """Rich text that wraps as Chinese does."""

    def wrap(self, console: Console, width: int, **_kinds: Any) -> Lines:
        """Break into lines of at most ``width`` cells."""
        lines = Lines()
        for line in self.split(allow_blank=True):
            for part in line.divide(breaks(line.plain, width)):
                part.rstrip()
                lines.append(part)
        return lines
