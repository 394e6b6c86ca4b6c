"""What the columns mean, for people: Chinese labels, units, descriptions. Made from the schemas.

Table of contents: `labels`, `units`, `describe`, `VALUES_ZH`, `in_chinese`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.judging.facts import RECORD_VALUES_ZH

if TYPE_CHECKING:
    import pandas as pd

_DIMENSIONLESS = frozenset({"text", "identifier", "timestamp", "JSON", "true | false", "date", "path or URI"})

VALUES_ZH: Mapping[str, Mapping[str, str]] = {
    "verdict": {"pass": "通过", "fail": "不通过", "not_applicable": "不适用", "uncertain": "待人工"},
    "direction": {"inbound": "呼入", "outbound": "呼出"},
    "role": {"agent": "坐席", "customer": "客户"},
    "severity": {"fatal": "一票否决", "major": "重要", "minor": "一般"},
    **RECORD_VALUES_ZH,
    "kind": {
        "filler": "口头禅",
        "interruption": "抢话",
        "dead_air": "静默",
        "paraphrase": "复述确认",
        "paraphrase_due": "应复述",
        "agitation": "情绪激动",
        "hold": "等待音",
        "noise": "噪音",
    },
}
"""Chinese for the values of some columns; values that are not listed stay as they are."""


def labels(table: str) -> dict[str, str]:
    """Chinese label of every column, ready for ``DataFrame.rename(columns=…)``.

    Parameters
    ----------
    table : str
        A result dataset, such as ``scores``.

    Raises
    ------
    InputError
        If there is no such dataset.

    Examples
    --------
    >>> labels("scores")["speech_rate"]
    '语速'
    """
    from pipeline.results.schemas import PARTITION, TABLES, check_table

    found = {column.name: column.zh for column in TABLES[check_table(table)]}
    return {**found, PARTITION.name: PARTITION.metadata[b"zh"].decode()}


def units(table: str) -> dict[str, str]:
    """Unit of every column that has one.

    Examples
    --------
    >>> units("scores")["agent_snr_db"], "agent_id" in units("scores")
    ('dB', False)
    """
    from pipeline.results.schemas import TABLES, check_table

    return {
        c.name: c.unit
        for c in TABLES[check_table(table)]
        if c.unit not in _DIMENSIONLESS and "|" not in c.unit and not c.unit.startswith(("list", "sha256"))
    }


def describe(table: str) -> pd.DataFrame:
    """All columns of a dataset as a table: Chinese label, unit, meaning, who may read it.

    Examples
    --------
    >>> describe("turns").loc["text", ["中文", "access"]].tolist()
    ['文本', 'transcript']
    """
    import pandas as pd

    from pipeline.results.schemas import TABLES, check_table

    rows = [(c.name, c.zh, c.unit, c.description, c.access) for c in TABLES[check_table(table)]]
    return pd.DataFrame(rows, columns=["column", "中文", "unit", "meaning", "access"]).set_index("column")


def in_chinese(frame: pd.DataFrame, table: str | None = None) -> pd.DataFrame:
    """Columns and known values in Chinese, for showing; calculate with the original.

    Parameters
    ----------
    frame : pandas.DataFrame
        From `pipeline.results.load`, or made from one.
    table : str, optional
        Whose labels; by default the dataset the frame was loaded from.

    Examples
    --------
    >>> import pandas as pd
    >>> in_chinese(pd.DataFrame({"verdict": ["fail"], "mine": [1]}), "verdicts")
        判定  mine
    0  不通过     1
    """
    name = table or frame.attrs.get("table")
    shown = frame.copy()
    for column, chinese in VALUES_ZH.items():
        if column in shown.columns:
            shown[column] = shown[column].map(lambda value, zh=chinese: zh.get(value, value))
    return shown.rename(columns=labels(name) if name else {})
