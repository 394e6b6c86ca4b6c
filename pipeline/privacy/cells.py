"""Text that goes into a cell of a table that an office program opens.

Table of contents: `safe_cell`.
"""

from __future__ import annotations

import re

MAX_CELL_CHARS = 32_767
_FORMULA = tuple("=+-@＝＋－＠\t\r\n|%")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?%?\Z")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def safe_cell(text: str) -> str:
    """Make a text that no office program runs as a formula, nor refuses as malformed.

    Parameters
    ----------
    text : str
        Whatever a customer said or a call record held.

    Returns
    -------
    str
        Control characters taken out, cut at 32,767 characters, and with an apostrophe before anything that
        could begin a formula (also in full width, also after spaces). Plain signed numbers stay.

    Notes
    -----
    A cell is made safe for CSV and XLSX; quoting of delimiters is the writer's business (`csv`, `openpyxl`).

    References
    ----------
    .. [1] OWASP, CSV Injection, https://owasp.org/www-community/attacks/CSV_Injection

    Examples
    --------
    >>> safe_cell("=HYPERLINK(1)"), safe_cell("-12.5"), safe_cell("  @SUM(A1)"), safe_cell("您好")
    ("'=HYPERLINK(1)", '-12.5', "'  @SUM(A1)", '您好')
    """
    text = _CONTROL.sub("", text)
    if text.startswith(_FORMULA) or text.lstrip().startswith(_FORMULA):
        text = text if _NUMBER.match(text) else "'" + text
    return text[:MAX_CELL_CHARS]
