"""Labels of any kind as indices into class names: the same ones in every split."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from zoo.errors import DataError

WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})(\.0+)?")  # 007 is a name

Label = int | str | None


def encode(
    columns: Mapping[str, Sequence[object] | np.ndarray], names: tuple[str, ...], where: str
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Encodes the labels of all splits.

    Args:
        columns: by split, one label for each image: a whole number, a name, or None, NaN, "" or -1 for none.
        names: of the classes, if the source gives them; numbers then are indices into them.
        where: the source, for messages.

    Returns:
        by split, indices `(N,)` int64, -1 for none; and the class names, in order: numbers by size, text by
        alphabet.

    Raises:
        DataError: if something is no label, or out of the range of `names`.
    """
    cells = {
        key: [_cell(cell, index, where) for index, cell in enumerate(_plain(column))]
        for key, column in columns.items()
    }
    every = {cell for column in cells.values() for cell in column}
    meanings = {cell: cell for cell in every}
    if all(WHOLE.fullmatch(cell) for cell in every if isinstance(cell, str)):
        meanings = {cell: None if cell is None else int(str(cell).partition(".")[0]) for cell in every}
    elif not names:
        meanings = {cell: None if cell is None else str(cell) for cell in every}
    codes, names = _named(names) if names else _ranked(set(meanings.values()), where)
    for cell, meaning in meanings.items():
        if meaning not in codes:
            raise DataError(
                f"{where}: label {cell!r} is out of range: there are {len(names)} classes, numbered from 0, "
                f"{names[0]!r} to {names[-1]!r}"
            )
    table = {cell: codes[meaning] for cell, meaning in meanings.items()}
    return {key: np.array([table[cell] for cell in column], np.int64) for key, column in cells.items()}, names


def _named(names: tuple[str, ...]) -> tuple[dict[Label, int], tuple[str, ...]]:
    codes: dict[Label, int] = {None: -1, -1: -1}
    codes.update((name, index) for index, name in enumerate(names))
    codes.update((index, index) for index in range(len(names)))
    return codes, names


def _ranked(every: set[Label], where: str) -> tuple[dict[Label, int], tuple[str, ...]]:
    """Classes made of the labels that there are: all numbers or all text."""
    texts = sorted(value for value in every if isinstance(value, str))
    numbers = sorted(value for value in every if isinstance(value, int) and value != -1)
    if -1 in every and numbers and numbers[0] != 0:
        raise DataError(f"{where}: -1 among the labels stands for none; number the classes from 0")
    codes: dict[Label, int] = {None: -1, -1: -1}
    codes.update((value, index) for index, value in enumerate(texts or numbers))
    return codes, tuple(str(value) for value in texts or numbers)


def _plain(column: Sequence[object] | np.ndarray) -> Sequence[object]:
    """Python's own numbers, which are quicker to walk through."""
    return column.tolist() if isinstance(column, np.ndarray) else column


def _cell(cell: object, index: int, where: str) -> Label:
    if isinstance(cell, np.generic):
        cell = cell.item()
    if isinstance(cell, bytes):
        cell = cell.decode(errors="replace")
    if cell is None or cell is pd.NA or (isinstance(cell, float) and cell != cell):
        return None
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float) and cell.is_integer():
        return int(cell)
    if not isinstance(cell, int):
        raise DataError(
            f"{where}: {str(cell)[:40]!r}, the label of image {index + 1}, is no class: give each image one "
            "whole number or name"
        )
    return cell
