"""The filled review sheet comes back, whole or not at all.

Every row that cannot be entered is named with its row number, and then nothing is imported.

Table of contents: `import_sheet`, `read_sheet`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.disputes.reviews import Decision, Review, ReviewError, add_reviews
from pipeline.disputes.sheet import MAX_ROWS, NAMES, TITLE, VERDICT_OF
from pipeline.errors import InputError
from pipeline.report.terminal import VERDICT_ZH
from pipeline.results.store import Store

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

MAX_BYTES = 50 * 1024 * 1024
MAX_UNPACKED = 500 * 1024 * 1024


def import_sheet(
    store: Store, data: bytes, *, reviewer: str | None = None, check_only: bool = False
) -> tuple[int, list[Review]]:
    """Enter a filled sheet, all of it or nothing.

    Parameters
    ----------
    store : Store
        Opened for writing, unless ``check_only``.
    data : bytes
    reviewer : str, optional
        For rows that do not name one.
    check_only : bool

    Returns
    -------
    int, list of Review
        Rows that were filled in, and what was entered (what had been entered before is not again).

    Raises
    ------
    InputError
        The file is no such workbook.
    ReviewError
        Every row that cannot be entered, by its number.
    """
    decisions, problems = read_sheet(data, store, reviewer=reviewer)
    try:
        entered = add_reviews(store, decisions, check_only=check_only or bool(problems))
    except ReviewError as error:
        problems += error.problems
    if problems:
        raise ReviewError(sorted(problems, key=_row_number))
    return len(decisions), entered


def read_sheet(data: bytes, store: Store, *, reviewer: str | None = None) -> tuple[list[Decision], list[str]]:
    """Read a filled sheet into decisions; nothing is stored.

    Parameters
    ----------
    data : bytes
        An ``.xlsx`` file.
    store : Store
        What the machine said is compared with the sheet's white columns.
    reviewer : str, optional
        For rows whose last column is empty.

    Returns
    -------
    list of Decision
        Of the rows whose 人工判定 is filled in and can be read.
    list of str
        What is wrong with the other rows, ``第 7 行：…``.

    Raises
    ------
    InputError
        The file is no such workbook.
    """
    page = _open(data)
    head = [str(cell.value or "").strip() for cell in page[1]]
    missing = [name for name in NAMES if name not in head]
    if missing:
        raise InputError(f"第 1 行：缺少列 {'、'.join(missing)}；请填写由 zhijian review export 导出的表")
    place = {name: head.index(name) for name in NAMES}
    problems: list[str] = []
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, cells in enumerate(page.iter_rows(min_row=2), start=2):
        values: dict[str, Any] = {}
        for name, at in place.items():
            cell = cells[at] if at < len(cells) else None
            value = None if cell is None else cell.value
            if isinstance(value, str) and (cell is not None and cell.data_type == "f"):
                problems.append(f"第 {number} 行：“{name}”列是公式；请直接填内容")
                value = None
            values[name] = value
        if _text(values["人工判定"]):
            rows.append((number, values))
        if number > MAX_ROWS:
            raise InputError(f"超过 {MAX_ROWS} 行；请拆成几张表")
    machine = _machine(store, {_text(values["通话编号"]) for _, values in rows})
    decisions: list[Decision] = []
    for number, values in rows:
        made = _decision(number, values, machine, reviewer, problems)
        if made is not None:
            decisions.append(made)
    return decisions, problems


def _row_number(problem: str) -> int:
    number = problem.removeprefix("第 ").split(" 行", 1)[0]
    return int(number) if number.isdigit() else 0


def _decision(
    number: int,
    values: Mapping[str, Any],
    machine: Mapping[tuple[str, int, str], str],
    reviewer: str | None,
    problems: list[str],
) -> Decision | None:
    where = f"第 {number} 行"
    call_id, rule_id = _text(values["通话编号"]), _text(values["规则编号"])
    try:
        version = int(_text(values["评分版本"]))
    except ValueError:
        found = _text(values["评分版本"])
        problems.append(f"{where}：“评分版本”是“{found}”；应为导出时的数字")
        return None
    chosen = _text(values["人工判定"])
    verdict = VERDICT_OF.get(chosen)
    faults: list[str] = []
    if verdict is None:
        faults.append(f"“人工判定”填的是“{chosen}”；可选：{'、'.join(VERDICT_OF)}")
    said = machine.get((call_id, version, rule_id))
    shown = VERDICT_OF.get(_text(values["机器判定"]))
    if said is not None and shown != said:
        faults.append(
            f"“机器判定”是“{_text(values['机器判定'])}”，而库存的是“{VERDICT_ZH[said]}”；"
            "白色各列被改动过，或贴到了别的行"
        )
    problems.extend(f"{where}：{fault}" for fault in faults)
    if faults or verdict is None:
        return None
    return Decision(
        call_id=call_id,
        rule_id=rule_id,
        verdict=verdict,
        person=_text(values["复核人"]) or (reviewer or ""),
        comment=_text(values["说明"]),
        version=version,
        sample_id=_text(values["抽样编号"]) or None,
        source="excel",
        where=where,
    )


def _open(data: bytes) -> Worksheet:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    if len(data) > MAX_BYTES:
        raise InputError(f"表格有 {len(data)} 字节；最多 {MAX_BYTES}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED:
            raise InputError(f"表格解压后有 {unpacked} 字节；最多 {MAX_UNPACKED}")
        book = load_workbook(io.BytesIO(data), data_only=False)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, TypeError) as error:
        raise InputError(f"不是可读的 .xlsx 表格（{type(error).__name__}）；请另存为 .xlsx 再试") from error
    if TITLE not in book.sheetnames:
        raise InputError(f"没有名为“{TITLE}”的工作表；现有：{'、'.join(book.sheetnames)}")
    return book[TITLE]


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip().removeprefix("'")


def _machine(store: Store, call_ids: Iterable[str]) -> dict[tuple[str, int, str], str]:
    ids = {call_id for call_id in call_ids if call_id}
    if not ids:
        return {}
    table = store.read(
        "verdicts", columns=("call_id", "version", "rule_id", "verdict"), call_ids=ids, latest=False
    )
    return {(row["call_id"], row["version"], row["rule_id"]): row["verdict"] for row in table.to_pylist()}
