"""Sections of generated documents: everything between two markers is rewritten, the rest is left alone.

Table of contents: `write_section`.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def write_section(document: str, name: str, content: str) -> None:
    """Replace one section of a document under ``docs/``.

    Parameters
    ----------
    document : str
        File name.
    name : str
        Of the markers ``<!-- name:begin -->`` and ``<!-- name:end -->``, which must be there.

    Raises
    ------
    ValueError
        The markers are missing.
    """
    path = DOCS / document
    text = path.read_text(encoding="utf-8")
    pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"{path}: no markers <!-- {name}:begin --> and <!-- {name}:end -->")
    replaced = pattern.sub(lambda m: f"{m[1]}{content.rstrip()}\n{m[2]}", text)
    path.write_text(replaced, encoding="utf-8")
