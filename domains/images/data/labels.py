"""Labels of any kind as indices into class names: the same ones in every split."""

import re
from typing import Any

import numpy as np

from domains.images.data.parts import Found, is_missing
from zoo.errors import DataError

WHOLE = re.compile(r"-?(0|[1-9]\d{0,18})(\.0+)?")  # 007 is a name


def encode(found: Found) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The labels of all splits as numbers.

    A label is a whole number or a name; None, NaN, "" and -1 are none. If the source gives the names of the
    classes, numbers are indices into them.

    Returns:
        by split, indices `(N,)` int64, -1 for none; and the class names, in order: numbers by size, text by
        alphabet.

    Raises:
        DataError: if something is no label, or out of the range of the names.
    """
    where, names = found.where, found.classes
    cells = {
        key: [_cell(cell, index, where) for index, cell in enumerate(part.labels)]
        for key, part in found.parts.items()
    }
    every = {cell for column in cells.values() for cell in column if cell is not None}
    meanings: dict[int | str, Any] = {cell: cell if names else str(cell) for cell in every}
    if all(WHOLE.fullmatch(str(cell)) for cell in every):
        meanings = {cell: int(str(cell).partition(".")[0]) for cell in every}
    values = names or sorted(set(meanings.values()) - {-1})
    if not names and -1 in meanings.values() and values and values[0] != 0:
        raise DataError(f"{where}: -1 among the labels stands for none; number the classes from 0")
    known = {name: index for index, name in enumerate(values)} | {-1: -1}
    if names:
        known |= {index: index for index in range(len(names))}
    for cell, meaning in meanings.items():
        if meaning not in known:
            raise DataError(
                f"{where}: label {cell!r} is out of range: there are {len(names)} classes, numbered from 0, "
                f"{names[0]!r} to {names[-1]!r}"
            )
    codes = {cell: known[meaning] for cell, meaning in meanings.items()} | {None: -1}
    coded = {key: np.array([codes[cell] for cell in column], np.int64) for key, column in cells.items()}
    return coded, tuple(map(str, values))


def _cell(cell: Any, index: int, where: str) -> int | str | None:
    """A label as a number or text; None for none."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, bytes):
        cell = cell.decode(errors="replace")
    if is_missing(cell):
        return None
    if isinstance(cell, str | bool):
        return str(cell).strip() or None
    if isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer()):
        return int(cell)
    raise DataError(
        f"{where}: {str(cell)[:40]!r}, the label of image {index + 1}, is no class: give each image one "
        "whole number or name"
    )
