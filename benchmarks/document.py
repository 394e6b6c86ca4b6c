"""Sections of generated documents: everything between two markers is rewritten, the rest is left alone.

Table of contents: `with_section`, `write_section`.
"""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"


def with_section(text: str, name: str, content: str) -> str:
    """A document's text with one section replaced.

    Raises
    ------
    ValueError
        The markers ``<!-- name:begin -->`` and ``<!-- name:end -->`` are missing.
    """
    pattern = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"no markers <!-- {name}:begin --> and <!-- {name}:end -->")
    return pattern.sub(lambda m: f"{m[1]}{content.strip()}\n{m[2]}", text)


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
    try:
        replaced = with_section(path.read_text(encoding="utf-8"), name, content)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    path.write_text(replaced, encoding="utf-8")
