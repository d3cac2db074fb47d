"""Any source as a table: loading it, and taking its stamps, items and values apart."""

import csv
import gzip
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch

from domains.timeseries.data import stamps
from zoo.errors import DataError, MissingExtraError

STAMP_NAMES = ("timestamp", "datetime", "date", "time", "ds", "year")
ITEM_NAMES = ("item_id", "unique_id", "series_id")


def load(source: Any) -> tuple[pd.DataFrame, str]:
    """Any source as a frame, and what to call it in messages."""
    if isinstance(source, str | Path):
        return _file(Path(source).expanduser()), str(source)
    if isinstance(source, pd.DataFrame):
        return source, "the DataFrame"
    if isinstance(source, pd.Series):
        return source.to_frame("value" if source.name is None else source.name), "the Series"
    if isinstance(source, torch.Tensor):
        source = source.detach().cpu().numpy()
    try:
        array = np.asarray(source)
    except ValueError as error:
        raise DataError(
            "rows of different lengths: for several series pass a dict, {'a': [...], 'b': [...]}"
        ) from error
    if array.ndim not in (1, 2):
        raise DataError(
            f"cannot read {type(source).__name__} of shape {array.shape}: pass a path, DataFrame or numbers "
            "of shape (T,) or (T, channels); several series as a dict from name to values"
        )
    array = array[:, None] if array.ndim == 1 else array
    names = ["value"] if array.shape[1] == 1 else [str(c) for c in range(array.shape[1])]
    return pd.DataFrame(array, columns=names), "the array"


def _file(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    kind = path.suffixes[-2:][0] if path.suffix == ".gz" else path.suffix
    try:
        if kind in (".parquet", ".pq"):
            try:
                return pd.read_parquet(path)
            except ImportError:  # pandas brings no reader of its own
                raise MissingExtraError("pyarrow", "timeseries") from None
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig") as lines:
            head = lines.readline()
        separator = max(",;\t|", key=head.count)
        header = next(csv.reader([head], delimiter=separator), [])
        if not header:
            raise DataError(f"{path}: the file is empty")
        if _looks_like_data(header):
            raise DataError(
                f"{path}: the first line is data ({head.strip()[:60]!r}), not names; put a line such as "
                "'timestamp,a,b' above it"
            )
        return pd.read_csv(path, sep=separator, encoding="utf-8-sig", low_memory=False)
    except (UnicodeDecodeError, pd.errors.ParserError, OSError) as error:
        raise DataError(
            f"{path}: cannot be read as {kind.lstrip('.') or 'text'}: {str(error).strip()}"
        ) from error


def _looks_like_data(header: list[str]) -> bool:
    """Whether the first line of a file holds dates, decimals, or integers other than 0, 1, 2, ..."""
    cells = [cell.strip() for cell in header if cell.strip()]
    if any(re.match(r"\d{4}-\d\d?(-|$)|\d\d?[/.]\d\d?[/.]\d|[+-]?\d*\.\d+(e|$)", cell) for cell in cells):
        return True
    integers = all(re.fullmatch(r"[+-]?\d+", cell) for cell in cells)
    return integers and [int(cell) for cell in cells] != list(range(len(cells)))


def _pick(frame: pd.DataFrame, column: str, option: str, where: str) -> pd.Series:
    if column not in frame.columns:
        raise DataError(
            f"{where}: no column {column!r} for {option}=; there are {', '.join(map(str, frame.columns))}"
        )
    return cast(pd.Series, frame[column])


def take_stamps(frame: pd.DataFrame, timestamp: str | None, where: str) -> tuple[pd.DataFrame, pd.Index]:
    """Take the stamps out of a frame; without any, the rows are counted (an empty index stands for that)."""
    if not frame.columns.is_unique:
        name = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"{where}: two columns are called {name!r}; rename one")
    if isinstance(frame.index, pd.MultiIndex) or (timestamp is not None and frame.index.name == timestamp):
        frame = frame.reset_index()
    if timestamp is None and isinstance(frame.index, pd.DatetimeIndex | pd.PeriodIndex):
        return frame, _complete(stamps.parse(frame.index, f"{where}, index"), f"{where}, index")
    column = timestamp if timestamp is not None else _stamp_column(frame)
    if column is not None:
        place = f"{where}, column {column!r}"
        index = _complete(stamps.parse(_pick(frame, column, "timestamp", where), place), place)
        return frame.drop(columns=column), index
    if not pd.api.types.is_numeric_dtype(frame.index.dtype):
        return frame, _complete(stamps.parse(frame.index, f"{where}, index"), f"{where}, index")
    return frame, pd.RangeIndex(0)


def _complete(index: pd.Index, where: str) -> pd.Index:
    if index.hasnans:
        raise DataError(
            f"{where}: no stamp in data row {int(index.isna().argmax()) + 1}; fill it in or drop the row"
        )
    return index


def _stamp_column(frame: pd.DataFrame) -> str | None:
    for column, dtype in frame.dtypes.items():
        if pd.api.types.is_datetime64_any_dtype(dtype) or isinstance(dtype, pd.PeriodDtype):
            return column
    for column in frame.columns:
        if str(column).strip().lower() in STAMP_NAMES:
            return column
    for column, dtype in frame.dtypes.items():
        if not pd.api.types.is_numeric_dtype(dtype) and str(column).lower() not in ITEM_NAMES:
            first = cast(pd.Series, frame[column]).dropna().head(1)
            if not re.search(r"\d", str(first.to_list())):  # "Mon" and "May" would read as dates
                continue
            try:
                stamps.parse(first, "")
            except DataError:
                continue
            return column
    return None


def take_items(
    frame: pd.DataFrame, item_id: str | None, where: str
) -> tuple[pd.DataFrame, dict[str | None, Any]]:
    """Take the item column out of a frame; the rows of each item, in order of first appearance."""
    column = item_id
    if column is None:
        column = next((name for name in frame.columns if str(name).lower() in ITEM_NAMES), None)
    if column is None:
        return frame, {None: slice(None)}
    codes, items = pd.factorize(_pick(frame, column, "item_id", where))
    if (codes < 0).any():
        row = int((codes < 0).argmax()) + 1
        raise DataError(f"{where}, column {column!r}: no item in data row {row}; fill it in or drop the row")
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.cumsum(np.bincount(codes))[:-1])
    return frame.drop(columns=column), {str(item): rows for item, rows in zip(items, groups, strict=True)}


def take_values(frame: pd.DataFrame, target: str | Sequence[str] | None, where: str) -> pd.DataFrame:
    """The columns of values, all numbers."""
    if target is not None:
        names = [target] if isinstance(target, str) else list(target)
        frame = pd.DataFrame({name: _pick(frame, name, "target", where) for name in names})
    elif "Unnamed: 0" in frame and frame["Unnamed: 0"].equals(
        pd.Series(range(len(frame)), index=frame.index)
    ):
        frame = frame.drop(columns="Unnamed: 0")  # row numbers that to_csv() wrote
    if frame.columns.empty:
        raise DataError(f"{where}: no column of values beside the stamps and items")
    columns = {name: _numbers(column, f"{where}, column {name!r}") for name, column in frame.items()}
    return pd.DataFrame(columns)


def _numbers(column: pd.Series, where: str) -> np.ndarray:
    numeric = pd.api.types.is_numeric_dtype(column.dtype) and column.dtype.kind != "c"
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        raise DataError(f"{where}: these are dates, not values; choose the columns of values with target=")
    numbers = column if numeric else cast(pd.Series, pd.to_numeric(column, errors="coerce"))
    values = numbers.to_numpy(dtype=np.float64, na_value=np.nan)
    bad = np.isinf(values) | (np.isnan(values) & column.notna().to_numpy())
    if bad.any():
        row = int(bad.argmax())
        value = column.iloc[row]
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+,\d+", value):
            advice = "write decimals with a point: pd.read_csv(file, decimal=',')"
        elif np.isnan(values).all():
            advice = "if it tells series apart pass item_id=, else choose the columns of values with target="
        else:
            advice = "replace it by a number, or leave it empty where it is missing"
        raise DataError(f"{where}: {str(value)!r} in data row {row + 1} is no finite number; {advice}")
    if np.isnan(values).all():
        raise DataError(f"{where}: no value at all; leave it out with target=")
    return values
