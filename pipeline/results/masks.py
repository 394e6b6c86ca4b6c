"""Masks over whole result tables, by column: what `load` and SQL show of what was said.

Conventions
-----------
A call's turns tell what a number elsewhere in it is, so the masks of any dataset are made from the words of
the same call and version (`pipeline.privacy.CallMask`). Texts without enough digits are never looked at in
Python: Arrow counts them first.

Table of contents: `SAID`, `NEEDED`, `masked`, `call_masks`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.results.schemas import TABLES

if TYPE_CHECKING:
    import numpy as np

    from pipeline.privacy import CallMask

_OPEN_TEXTS: Mapping[str, tuple[str, ...]] = {"scores": ("reason",)}
"""Texts that people typed into columns that need no key."""
SAID: Mapping[str, tuple[str, ...]] = {
    table: names
    for table, columns in TABLES.items()
    if (names := tuple(c.name for c in columns if c.access != "open") + _OPEN_TEXTS.get(table, ()))
}
"""Columns that may hold personal numbers, by dataset."""
NEEDED: Mapping[str, tuple[str, ...]] = {
    "turns": ("call_id", "version", "turn", "role", "text"),
    "verdicts": ("call_id", "version"),
    "events": ("call_id", "version"),
    "hearings": ("call_id", "version"),
    "reviews": ("call_id", "version"),
}
"""Columns that masking reads beside those that it masks."""

_LISTS: Mapping[str, str] = {"words": "text", "evidence": "quote", "phrases": "spelling"}
"""Columns of lists, and the field in which their texts stand."""

Key = tuple[str, int]
TurnsOf = Callable[[Collection[str]], pa.Table]


def masked(table: str, found: pa.Table, turns_of: TurnsOf) -> pa.Table:
    """Mask every personal number in a table.

    Parameters
    ----------
    table : str
        Dataset that the rows are of.
    found : pyarrow.Table
        With the columns `NEEDED` if it has any of `SAID`. All turns of its calls, if it is ``turns``.
    turns_of : callable
        Gives the turns (`NEEDED`) of some calls, in all versions; asked only about calls with digits.

    Returns
    -------
    pyarrow.Table
        The same rows (those of ``turns`` in order) and columns.
    """
    names = [name for name in SAID.get(table, ()) if name in found.column_names]
    if not names or not found.num_rows:
        return found
    if table == "turns":
        return _turns(found, names)
    hide = _by_call(table, found, names, turns_of)
    for name in names:
        column = found[name].combine_chunks()
        if name in _LISTS:
            column = _in_lists(column, _LISTS[name], hide)
        elif name == "call_record":
            column = pa.array([_record(text) for text in column.to_pylist()], column.type)
        else:
            quoted = name == "text"
            texts = column.to_pylist()
            for row, mask in hide.items():
                if texts[row]:
                    texts[row] = mask.quoted(texts[row]) if quoted else mask.text(texts[row])
            column = pa.array(texts, column.type)
        found = found.set_column(found.column_names.index(name), found.schema.field(name), column)
    return found


def _record(text: str | None) -> str | None:
    from pipeline.privacy import mask_record

    if not text:
        return text
    return json.dumps(mask_record(json.loads(text)), ensure_ascii=False, sort_keys=True)


def _by_call(table: str, found: pa.Table, names: Sequence[str], turns_of: TurnsOf) -> dict[int, CallMask]:
    """Rows that may hold a number, each with the masks of its call."""
    import numpy as np

    from pipeline.privacy import CallMask

    digits = sum(
        _digits(found[name].combine_chunks(), _LISTS.get(name, "")) for name in names if name != "call_record"
    )
    rows = [] if isinstance(digits, int) else np.flatnonzero(digits >= _FEWEST).tolist()
    if not rows:
        return {}
    if table not in NEEDED:
        bare = CallMask([])
        return dict.fromkeys(rows, bare)
    chosen = found.select(["call_id", "version"]).take(rows)
    keys: list[Key] = list(zip(chosen["call_id"].to_pylist(), chosen["version"].to_pylist(), strict=True))
    masks = call_masks(turns_of({call_id for call_id, _ in keys}), frozenset(keys))
    bare = CallMask([])
    return {row: masks.get(key, bare) for row, key in zip(rows, keys, strict=True)}


def call_masks(turns: pa.Table, wanted: frozenset[Key] | None = None) -> dict[Key, CallMask]:
    """Make the masks of calls from rows of ``turns`` (columns `NEEDED`)."""
    from pipeline.privacy import CallMask

    turns = _ordered(turns)
    texts, roles = turns["text"].to_pylist(), turns["role"].to_pylist()
    return {
        key: CallMask([text or "" for text in texts[start:end]], roles[start:end])
        for key, start, end in _calls(turns)
        if wanted is None or key in wanted
    }


def _turns(found: pa.Table, names: Sequence[str]) -> pa.Table:
    import numpy as np

    from pipeline.privacy import CallMask

    found = _ordered(found)
    columns = {name: found[name].combine_chunks() for name in names}
    digits = {name: _digits(column, _LISTS.get(name, "")) for name, column in columns.items()}
    total = np.concatenate([[0], np.cumsum(sum(digits.values()))])
    texts, roles = columns["text"].to_pylist(), found["role"].to_pylist()
    others = {name: columns[name].to_pylist() for name in names if name not in ("text", "words")}
    words = _Lists(columns["words"], "text") if "words" in columns else None
    for _, start, end in _calls(found):
        if total[end] - total[start] < _FEWEST:
            continue
        said = [text or "" for text in texts[start:end]]
        mask = CallMask(said, roles[start:end])
        for row in range(start, end):
            if not (digits["text"][row] or any(counts[row] for counts in digits.values())):
                continue
            place = row - start
            if said[place]:
                texts[row] = mask.turns[place].text
            for values in others.values():
                if values[row]:
                    values[row] = mask.of_turn(place, values[row])
            if words is not None and digits["words"][row]:
                words.mask(row, partial(mask.words, place))
    masked_columns = {"text": texts, **others}
    for name in names:
        column = words.column() if words and name == "words" else pa.array(masked_columns[name], pa.string())
        found = found.set_column(found.column_names.index(name), found.schema.field(name), column)
    return found


_FEWEST = 2
"""Digits in a call below which it holds no number (三个八)."""


def _ordered(turns: pa.Table) -> pa.Table:
    return turns.sort_by([("call_id", "ascending"), ("version", "ascending"), ("turn", "ascending")])


def _calls(turns: pa.Table) -> Iterator[tuple[Key, int, int]]:
    """Key, first row and row after the last of every call in ordered turns."""
    import numpy as np

    if not turns.num_rows:
        return
    ids = turns["call_id"].combine_chunks().dictionary_encode()
    codes, versions = ids.indices.to_numpy(zero_copy_only=False), turns["version"].to_numpy()
    starts = np.flatnonzero((np.diff(codes) != 0) | (np.diff(versions) != 0)) + 1
    names = ids.dictionary.to_pylist()
    bounds = [0, *starts.tolist(), turns.num_rows]
    for start, end in pairwise(bounds):
        yield (names[codes[start]], int(versions[start])), start, end


def _digits(column: pa.Array, field: str = "") -> np.ndarray:
    """How many characters of each row can stand for a digit; ``field`` holds the text if rows are lists."""
    import numpy as np

    from pipeline.privacy.lexicon import load_privacy_lexicon

    pattern = load_privacy_lexicon().digit_like_re2
    if pa.types.is_list(column.type):
        counts = _digits(column.flatten().field(field))
        ends = np.cumsum(pc.fill_null(column.value_lengths(), 0).to_numpy(zero_copy_only=False))
        total = np.concatenate([[0], np.cumsum(counts)])
        return np.asarray(total[ends] - total[np.concatenate([[0], ends[:-1]])])
    counted = pc.fill_null(pc.count_substring_regex(column, pattern), 0)
    return np.asarray(counted.to_numpy(zero_copy_only=False))


class _Lists:
    """A column of lists of records of which some texts are replaced."""

    def __init__(self, column: pa.ListArray, field: str) -> None:
        import numpy as np

        self._column, self._field = column, field
        self._flat = column.flatten()
        self._texts = self._flat.field(field)
        lengths = pc.fill_null(column.value_lengths(), 0).to_numpy(zero_copy_only=False)
        self._bounds = np.concatenate([[0], np.cumsum(lengths)])
        self._new: dict[int, str] = {}

    def mask(self, row: int, hide: Callable[[list[str]], Sequence[str]]) -> None:
        """Put masked texts in a row, as many as it has."""
        start, end = int(self._bounds[row]), int(self._bounds[row + 1])
        said = [text or "" for text in self._texts.slice(start, end - start).to_pylist()]
        for place, (before, after) in enumerate(zip(said, hide(said), strict=True)):
            if before != after:
                self._new[start + place] = after

    def column(self) -> pa.ListArray:
        """Build the column with what was replaced."""
        import numpy as np

        if not self._new:
            return self._column
        chosen = np.zeros(len(self._texts), dtype=bool)
        places = sorted(self._new)
        chosen[places] = True
        fresh = pa.array([self._new[place] for place in places], self._texts.type)
        texts = pc.replace_with_mask(self._texts, pa.array(chosen), fresh)
        struct = self._column.type.value_type
        parts = [texts if f.name == self._field else self._flat.field(f.name) for f in struct]
        values = pa.StructArray.from_arrays(parts, fields=list(struct))
        offsets = pa.array(self._bounds, pa.int32())
        return pa.ListArray.from_arrays(offsets, values, type=self._column.type, mask=self._column.is_null())


def _in_lists(column: pa.ListArray, field: str, masks: Mapping[int, CallMask]) -> pa.ListArray:
    lists = _Lists(column, field)
    for row, mask in masks.items():
        lists.mask(row, partial(_quoted, mask))
    return lists.column()


def _quoted(mask: CallMask, texts: Sequence[str]) -> list[str]:
    return [mask.quoted(text) for text in texts]
