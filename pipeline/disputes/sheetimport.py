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
        What is wrong with the other rows, ``row 7: …``.

    Raises
    ------
    InputError
        The file is no such workbook.
    """
    page = _open(data)
    head = [str(cell.value or "").strip() for cell in page[1]]
    missing = [name for name in NAMES if name not in head]
    if missing:
        raise InputError(
            f"row 1: column {'、'.join(missing)} is missing; fill in the workbook that "
            "`zhijian review export` writes"
        )
    place = {name: head.index(name) for name in NAMES}
    problems: list[str] = []
    rows: list[tuple[int, dict[str, Any]]] = []
    for number, cells in enumerate(page.iter_rows(min_row=2), start=2):
        values: dict[str, Any] = {}
        for name, at in place.items():
            cell = cells[at] if at < len(cells) else None
            value = None if cell is None else cell.value
            if isinstance(value, str) and (cell is not None and cell.data_type == "f"):
                problems.append(f"row {number}: column {name} holds a formula; write the value itself")
                value = None
            values[name] = value
        if _text(values["人工判定"]):
            rows.append((number, values))
        if number > MAX_ROWS:
            raise InputError(f"more than {MAX_ROWS} rows; split the sheet")
    machine = _machine(store, {_text(values["通话编号"]) for _, values in rows})
    decisions: list[Decision] = []
    for number, values in rows:
        made = _decision(number, values, machine, reviewer, problems)
        if made is not None:
            decisions.append(made)
    return decisions, problems


def _row_number(problem: str) -> int:
    number = problem.removeprefix("row ").split(":", 1)[0]
    return int(number) if number.isdigit() else 0


def _decision(
    number: int,
    values: Mapping[str, Any],
    machine: Mapping[tuple[str, int, str], str],
    reviewer: str | None,
    problems: list[str],
) -> Decision | None:
    where = f"row {number}"
    call_id, rule_id = _text(values["通话编号"]), _text(values["规则编号"])
    try:
        version = int(_text(values["评分版本"]))
    except ValueError:
        found = _text(values["评分版本"])
        problems.append(f"{where}: 评分版本 is {found!r}; expected the number that was exported")
        return None
    chosen = _text(values["人工判定"])
    verdict = VERDICT_OF.get(chosen)
    faults: list[str] = []
    if verdict is None:
        faults.append(f"人工判定 {chosen!r} is unknown; expected one of: {'、'.join(VERDICT_OF)}")
    said = machine.get((call_id, version, rule_id))
    shown = VERDICT_OF.get(_text(values["机器判定"]))
    if said is not None and shown != said:
        faults.append(
            f"机器判定 says {_text(values['机器判定'])!r}, stored is {VERDICT_ZH[said]!r}; "
            "the white columns were changed or belong to another row"
        )
    problems.extend(f"{where}: {fault}" for fault in faults)
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
        raise InputError(f"the workbook has {len(data)} bytes; expected {MAX_BYTES} at most")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > MAX_UNPACKED:
            raise InputError(f"the workbook unpacks to {unpacked} bytes; expected {MAX_UNPACKED} at most")
        book = load_workbook(io.BytesIO(data), data_only=False)
    except (zipfile.BadZipFile, InvalidFileException, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"this is no readable .xlsx workbook ({type(error).__name__}); save it as .xlsx and try again"
        ) from error
    if TITLE not in book.sheetnames:
        raise InputError(f"the workbook has no sheet {TITLE}; found: {'、'.join(book.sheetnames)}")
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
