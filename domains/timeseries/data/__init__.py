"""Reading users' data: from files, frames, arrays and lists to series on a regular grid.

    read("my.csv")                                   # wide: stamps, then one column a channel
    read(frame, item_id="shop", target="sales")      # long: one row for each item and stamp
    read({"a": [1, 2, 3], "b": [4, 5, 6]})           # several series by name

Missing values stay missing (NaN), and missing stamps become rows of NaN. Nothing is guessed about
sentinels such as -9999: replace them by NaN first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from pandas.tseries.offsets import BaseOffset

from domains.timeseries.data import stamps
from domains.timeseries.data.table import load, take_items, take_stamps, take_values
from zoo.errors import DataError, OptionError


@dataclass(frozen=True, eq=False)
class TimeSeries:
    """One series, univariate or multivariate, on a regular grid.

    Attributes:
        values: (T, channels) float64, NaN where missing.
        index: T stamps, a DatetimeIndex, or a RangeIndex where the data came without stamps.
        names: one name for each channel.
        item: which series this is, where the data held several.
        freq: the step between stamps; None where it is unknown: no stamps, or a single one.
    """

    values: np.ndarray
    index: pd.DatetimeIndex | pd.RangeIndex
    names: tuple[str, ...]
    item: str | None = None
    freq: BaseOffset | None = None

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.index), len(self.names)):
            shape = len(self.index), len(self.names)
            raise DataError(f"values {self.values.shape} do not fit the stamps and channel names {shape}")

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, steps: slice) -> "TimeSeries":
        """The steps of a slice, such as series[-100:]."""
        return replace(self, values=self.values[steps], index=self.index[steps])

    @property
    def period(self) -> int:
        """Steps in the season that the frequency suggests: 24 for hours, 12 for months; 1 if unknown."""
        return stamps.season(self.freq)

    def to_frame(self) -> pd.DataFrame:
        """One column a channel, indexed by stamp."""
        return pd.DataFrame(self.values, index=self.index, columns=list(self.names))


def read(
    source: Any,
    *,
    freq: str | None = None,
    timestamp: str | None = None,
    target: str | Sequence[str] | None = None,
    item_id: str | None = None,
) -> list[TimeSeries]:
    """Read one or several series.

    Rows may come in any order. Identical rows count once; two different rows for one stamp are an error.
    So are stamps off the regular grid, infinite values, text among numbers, columns without any value.

    Args:
        source: path of a CSV (also .gz, .tsv, .txt) or parquet file; DataFrame; Series; NumPy array or
            tensor (T,) or (T, channels); list of numbers or of rows; TimeSeries or a list of them; or a
            dict from item to any of these.
        freq: step between stamps as a pandas alias ("h", "15min", "D", "B", "W", "MS", ...); else taken
            from the stamps.
        timestamp: column of the stamps; else the index, a column with the usual name, or the first that
            reads as dates.
        target: column or columns with the values; else every column that is left.
        item_id: column that tells series apart; else item_id, unique_id or series_id, if there is one.

    Returns:
        The series in order of first appearance, sorted in time, on a regular grid.

    Raises:
        DataError: with the file, row and column of what cannot be used, and what to do.
    """
    if isinstance(source, TimeSeries):
        return [source]
    if isinstance(source, list) and source and all(isinstance(one, TimeSeries) for one in source):
        return source
    if isinstance(source, Mapping):
        if not source:
            raise DataError("an empty dict: no series to read")
        parts = {key: read(one, freq=freq, timestamp=timestamp, target=target) for key, one in source.items()}
        return [
            replace(series, item=str(key) if len(part) == 1 else f"{key}/{series.item}")
            for key, part in parts.items()
            for series in part
        ]
    frame, where = load(source)
    if frame.empty:
        raise DataError(f"{where}: no rows of data")
    frame, index = take_stamps(frame, timestamp, where)
    frame, items = take_items(frame, item_id, where)
    values = take_values(frame, target, where)
    names = tuple(str(name) for name in values.columns)
    step = stamps.offset(freq) if freq is not None else None
    array = values.to_numpy()
    series = []
    for item, rows in items.items():
        place = where if item is None else f"{where}, item {item!r}"
        series.append(_series(array[rows], index[rows] if len(index) else index, names, item, step, place))
    known = [one.freq for one in series if one.freq is not None]
    common = max(set(known), key=known.count, default=None)  # for items with a single stamp
    return [one if one.freq is not None else replace(one, freq=common) for one in series]


def future_index(series: TimeSeries, horizon: int) -> pd.DatetimeIndex | pd.RangeIndex:
    """The `horizon` stamps that follow the series.

    Raises:
        DataError: the step is unknown, because the series has a single stamp and came without freq=.
    """
    if isinstance(series.index, pd.RangeIndex):
        step = series.index.step
        return pd.RangeIndex(series.index[-1] + step, series.index[-1] + (horizon + 1) * step, step)
    if series.freq is None:
        raise DataError(f"one stamp ({series.index[0]}) does not tell the step to the next: pass freq=")
    return stamps.after(stamps.at(series.index, -1), horizon, series.freq)


def split(
    series: TimeSeries, train: float | str = 0.7, validation: float | str = 0.15
) -> tuple[TimeSeries, TimeSeries, TimeSeries]:
    """Cut into training, validation and test steps, in this order, with nothing shared.

    Args:
        train, validation: where each part ends: a share of the steps (0.7 and 0.15 leave 0.15 for the
            test), or the first stamp that no longer belongs to the part.
    """

    def end(cut: float | str, before: int) -> int:
        if isinstance(cut, str):
            if not isinstance(series.index, pd.DatetimeIndex):
                raise OptionError(
                    f"cannot cut at {cut!r}: the series has no dates; pass a share of its steps"
                )
            return int(np.count_nonzero(series.index < pd.Timestamp(cut, tz=series.index.tz)))
        if not 0 <= cut <= 1:
            raise OptionError(
                f"a part of {cut} of the steps is impossible: pass a share from 0 to 1, or a date"
            )
        return before + round(cut * len(series))

    first = end(train, 0)
    second = end(validation, first)
    if not 0 < first <= second <= len(series):
        raise OptionError(
            f"the parts would end at steps {first} and {second} of {len(series)}: they must be in order"
        )
    return series[:first], series[first:second], series[second:]


def _series(
    values: np.ndarray,
    index: pd.Index,
    names: tuple[str, ...],
    item: str | None,
    freq: BaseOffset | None,
    where: str,
) -> TimeSeries:
    """Sort, drop repeated rows, and fill the gaps of the grid with NaN."""
    if len(index) == 0:
        return TimeSeries(values, pd.RangeIndex(len(values)), names, item, freq)
    if not index.is_monotonic_increasing:
        order = index.argsort(kind="stable")
        values, index = values[order], index[order]
    if not index.is_unique:
        again = index.duplicated()
        same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
        conflict = again[1:] & ~same.all(axis=1)
        if conflict.any():
            raise DataError(
                f"{where}: two different rows for {index[1:][conflict][0]}; average them with "
                "frame.groupby(stamps).mean(), or pass item_id= if they belong to different series, "
                "or give the stamps in UTC if the clocks changed"
            )
        values, index = values[~again], index[~again]
    if isinstance(index, pd.DatetimeIndex):
        freq = freq if freq is not None else stamps.infer(index)
        if freq is None:
            return TimeSeries(values, index, names, item)
        grid, freq = stamps.regular(index, freq, where)
    else:
        grid = stamps.counted(index, where)
    if len(grid) > len(index):
        filled = np.full((len(grid), len(names)), np.nan)
        filled[grid.get_indexer(index)] = values
        values = filled
    return TimeSeries(values, grid, names, item, freq)
