"""The review sheet: an Excel workbook that QA staff fill in.

One row is one rule of one call. White columns say what the machine decided and where to listen; the
yellow ones are for people. `pipeline.disputes.sheetimport` is its way back.

Table of contents: `SheetRow`, `sheet_rows`, `write_sheet`.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from pipeline.errors import InputError
from pipeline.privacy import CallMask, safe_cell
from pipeline.report.terminal import ROLE_ZH, VERDICT_ZH, clock, reason_zh
from pipeline.results.masks import NEEDED, call_masks
from pipeline.results.store import Store

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

    from pipeline.disputes.sampling import Sample
    from pipeline.records import VerdictKind

TITLE = "复核"
OPTIONS = "选项"
HELP = "说明"
MAX_ROWS = 100_000
VERDICT_OF = {name: cast("VerdictKind", kind) for kind, name in VERDICT_ZH.items()}
COLUMNS: tuple[tuple[str, int, bool], ...] = (
    ("通话编号", 18, False),
    ("评分版本", 9, False),
    ("工号", 10, False),
    ("规则编号", 30, False),
    ("项目", 22, False),
    ("条款", 12, False),
    ("机器判定", 10, False),
    ("置信度", 8, False),
    ("机器理由", 48, False),
    ("在哪里听", 20, False),
    ("原话", 48, False),
    ("抽样编号", 20, False),
    ("人工判定", 12, True),
    ("说明", 40, True),
    ("复核人", 14, True),
)
NAMES = tuple(name for name, _, _ in COLUMNS)
_HELP = (
    "一行是一通通话的一条规则。只填黄色的三列：人工判定（下拉选择）、说明、复核人。",
    "人工判定留空的行不会导入。与机器判定相同即为“维持”，不同即为“改判”，改判必须写说明。",
    "“在哪里听”是录音中的时间（分:秒）。个人信息已遮盖。",
    "不要改动白色的列；改动过的行会被拒收，并指出行号。任何一行有错，整张表都不会导入。",
    "导入：zhijian review import 本文件 --results RESULTS",
)


@dataclass(frozen=True, slots=True)
class SheetRow:
    """One row to be reviewed."""

    call_id: str
    version: int
    agent_id: str | None
    rule_id: str
    name_zh: str
    clause: str
    verdict: VerdictKind
    confidence: float
    reason: str
    listen: str
    quotes: str
    sample_id: str | None


def sheet_rows(
    store: Store,
    *,
    sample: Sample | None = None,
    call_ids: Collection[str] | None = None,
    dates: Collection[str | None] | None = None,
    verdicts: Collection[str] | None = None,
    rules: Collection[str] | None = None,
) -> list[SheetRow]:
    """Collect the rows of a sheet: a sample's units, or the latest verdicts of some calls.

    Parameters
    ----------
    store : Store
    sample : Sample, optional
        Exactly its units; the other choices are then passed over.
    call_ids, dates, verdicts, rules : collections of str, optional
        Only these; ``dates`` like ``2026-03-10``.

    Returns
    -------
    list of SheetRow
        By call, then rule, so that a call is listened to once. Personal data masked.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted: set[tuple[str, int, str]] | None = None
    if sample is not None:
        wanted = {(unit.call_id, unit.version, unit.rule_id) for unit in sample.units}
        call_ids = {unit.call_id for unit in sample.units}
        dates = verdicts = rules = None
    if call_ids is not None:  # a sample's calls lie on few of an archive's days: only these are read
        days = _days(store, call_ids)
        dates = days if dates is None else days & set(dates)
    latest = sample is None
    table = store.read("verdicts", dates=dates, call_ids=call_ids, latest=latest)
    for name, kept in (("verdict", verdicts), ("rule_id", rules)):
        if kept is not None:
            table = table.filter(pc.is_in(table[name], value_set=pa.array(sorted(kept), pa.string())))
    if wanted is None and table.num_rows > MAX_ROWS:
        raise InputError(
            f"{table.num_rows} rows; a sheet holds {MAX_ROWS}, choose fewer days, calls or rules"
        )
    chosen = [
        row
        for row in table.to_pylist()
        if wanted is None or (row["call_id"], row["version"], row["rule_id"]) in wanted
    ]
    ids = {row["call_id"] for row in chosen}
    agents = {
        row["call_id"]: row["agent_id"]
        for row in store.read(
            "scores", columns=("call_id", "agent_id"), dates=dates, call_ids=ids
        ).to_pylist()
    }
    turns = store.read("turns", columns=NEEDED["turns"], dates=dates, call_ids=ids, latest=False)
    masks = call_masks(turns)
    found = [
        _row(row, masks.get((row["call_id"], row["version"])), agents.get(row["call_id"]), sample)
        for row in chosen
    ]
    return sorted(found, key=lambda row: (row.call_id, row.rule_id))


def write_sheet(rows: Sequence[SheetRow], *, reviewer: str = "") -> bytes:
    """Write the workbook.

    Parameters
    ----------
    rows : sequence of SheetRow
    reviewer : str
        Filled into every row's last column; may be empty.

    Returns
    -------
    bytes
        An ``.xlsx`` file: frozen header, drop-downs, no cell that an office program would run.
    """
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font, PatternFill, Protection
    from openpyxl.utils import quote_sheetname
    from openpyxl.worksheet.datavalidation import DataValidation

    if len(rows) > MAX_ROWS:
        raise InputError(f"{len(rows)} rows; a sheet holds {MAX_ROWS}, choose fewer calls or rules")
    book = Workbook()
    page: Worksheet = book.active
    page.title = TITLE
    head, fill = PatternFill("solid", fgColor="1B3A57"), PatternFill("solid", fgColor="FFF6CC")
    wrap = Alignment(wrap_text=True, vertical="top")
    for place, (name, width, _) in enumerate(COLUMNS, start=1):
        cell = page.cell(1, place, name)
        cell.font, cell.fill = Font(bold=True, color="FFFFFF"), head
        cell.alignment = Alignment(vertical="center", wrap_text=True)
        page.column_dimensions[cell.column_letter].width = width
    for number, row in enumerate(rows, start=2):
        values: tuple[str | float, ...] = (
            row.call_id, row.version, row.agent_id or "", row.rule_id, row.name_zh, row.clause,
            VERDICT_ZH[row.verdict], round(row.confidence, 2), row.reason, row.listen, row.quotes,
            row.sample_id or "", "", "", reviewer,
        )  # fmt: skip
        for place, value in enumerate(values, start=1):
            cell = page.cell(number, place)
            _put(cell, value)
            cell.alignment = wrap
            if COLUMNS[place - 1][2]:
                cell.fill = fill
                cell.protection = Protection(locked=False)
    page.freeze_panes = "B2"
    # Against slips, not against people: no password. Widths and filters stay free.
    page.protection.sheet = True
    page.protection.autoFilter = page.protection.formatColumns = page.protection.formatRows = False
    last = max(len(rows) + 1, 2)
    page.auto_filter.ref = f"A1:{page.cell(1, len(COLUMNS)).column_letter}{last}"
    options = book.create_sheet(OPTIONS)
    for number, name in enumerate(VERDICT_OF, start=1):
        options.cell(number, 1, name)
    options.sheet_state = "hidden"
    rule = DataValidation(
        type="list",
        formula1=f"{quote_sheetname(OPTIONS)}!$A$1:$A${len(VERDICT_OF)}",
        allow_blank=True,
        showErrorMessage=True,
    )
    rule.errorTitle, rule.error = "人工判定", "请从下拉列表中选择：" + "、".join(VERDICT_OF)
    column = page.cell(1, NAMES.index("人工判定") + 1).column_letter
    rule.add(f"{column}2:{column}{last}")
    page.add_data_validation(rule)
    notes = book.create_sheet(HELP)
    for number, line in enumerate(_HELP, start=1):
        notes.cell(number, 1, line)
    notes.column_dimensions["A"].width = 100
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _put(cell: Any, value: str | float) -> None:
    """Write a value; text is text, whatever it looks like."""
    if isinstance(value, str):
        cell.value = safe_cell(value)
        cell.data_type = "s"
    else:
        cell.value = value


def _days(store: Store, call_ids: Collection[str]) -> set[str | None]:
    """Partitions in which any version of these calls lies."""
    table = store.read("scores", columns=("call_date",), call_ids=call_ids, latest=False)
    return {None if day is None else day.isoformat() for day in table["call_date"].to_pylist()}


def _row(
    row: Mapping[str, Any], mask: CallMask | None, agent_id: str | None, sample: Sample | None
) -> SheetRow:
    mask = mask or CallMask([])
    spans = row["evidence"]
    return SheetRow(
        call_id=row["call_id"],
        version=row["version"],
        agent_id=agent_id,
        rule_id=row["rule_id"],
        name_zh=row["name_zh"],
        clause=row["clause"],
        verdict=row["verdict"],
        confidence=row["confidence"],
        reason=mask.text(reason_zh(row["reason"])),
        listen="、".join(_span(span) for span in spans),
        quotes="\n".join(
            f"{clock(span['start_s'])} {ROLE_ZH.get(span['role'] or '', '')} {mask.quoted(span['quote'])}"
            for span in spans
        ),
        sample_id=sample.sample_id if sample is not None else None,
    )


def _span(span: Mapping[str, Any]) -> str:
    if span["end_s"] <= span["start_s"]:
        return clock(span["start_s"])
    return f"{clock(span['start_s'])}–{clock(span['end_s'])}"
