"""Time stamps: reading them, the regular grid they lie on, its season, and how it goes on."""

import re
import warnings
from typing import cast

import numpy as np
import pandas as pd
from pandas.tseries.frequencies import to_offset
from pandas.tseries.offsets import BaseOffset

from zoo.errors import DataError

# pandas dropped these names; people and older files still write them.
RENAMED = {"H": "h", "T": "min", "S": "s", "L": "ms", "M": "ME", "Q": "QE", "A": "YE", "Y": "YE"}
MONTHS = {
    pd.offsets.MonthEnd: 1,
    pd.offsets.MonthBegin: 1,
    pd.offsets.BusinessMonthEnd: 1,
    pd.offsets.BusinessMonthBegin: 1,
    pd.offsets.QuarterEnd: 3,
    pd.offsets.QuarterBegin: 3,
    pd.offsets.BQuarterEnd: 3,
    pd.offsets.BQuarterBegin: 3,
    pd.offsets.YearEnd: 12,
    pd.offsets.YearBegin: 12,
    pd.offsets.BYearEnd: 12,
    pd.offsets.BYearBegin: 12,
}
SPARSE = 50  # a grid with fewer than one stamp in 50 cells is none
EPOCHS = {"s": 1e8, "ms": 1e11, "us": 1e14, "ns": 1e17}  # 1973 in each unit; 2286 is 100 times as far


def parse(column: pd.Series | pd.Index, where: str) -> pd.DatetimeIndex | pd.Index:
    """Read stamps; a missing one becomes NaT.

    Dates, periods (as their starts) and text are understood, text as ISO or month/day/year or
    day/month/year, whichever fits all rows. So are whole numbers: years in a column so named, YYYYMMDD,
    seconds to nanoseconds since 1970, else plain counts, which are returned as an integer index.

    Raises:
        DataError: a value is no date, UTC offsets differ, or month and day cannot be told apart.
    """
    if isinstance(column.dtype, pd.PeriodDtype):
        return pd.PeriodIndex(column).to_timestamp()
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return pd.DatetimeIndex(column)
    if pd.api.types.is_numeric_dtype(column.dtype):
        return _from_numbers(np.asarray(column, dtype=float), "year" in str(column.name).lower(), where)
    return _from_text(pd.Series(np.asarray(column, dtype=object)), where)


def _from_numbers(values: np.ndarray, years: bool, where: str) -> pd.DatetimeIndex | pd.Index:
    bad = ~np.isfinite(values) | (values != np.round(values))
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{where}: the stamp {values[row]} in data row {row + 1} is neither a date nor a whole number"
        )
    low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
    whole = pd.Index(values.astype(np.int64))
    if years and low >= 1500 and high <= 2500:
        return pd.DatetimeIndex(pd.to_datetime(whole.astype(str) + "-01-01"))
    if low >= 19000101 and high <= 22001231:
        return _from_text(pd.Series(whole.astype(str)), where)
    for unit, start in EPOCHS.items():
        if low >= start and high < 100 * start:
            return pd.DatetimeIndex(pd.to_datetime(whole, unit=unit))
    return whole


def _from_text(text: pd.Series, where: str) -> pd.DatetimeIndex:
    def attempt(**how: str | bool) -> pd.Series:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about guessed formats: the result is checked below
            return pd.to_datetime(text, errors="coerce", **how)  # type: ignore[call-overload]

    try:
        parsed = attempt()
        if text.head(1).astype(str).str.match(r"\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}").any():
            parsed = _month_or_day(parsed, attempt(dayfirst=True), where)
        elif (parsed.isna() & text.notna()).any():
            parsed = attempt(format="ISO8601")  # some with a time of day, some without
    except DataError:
        raise
    except ValueError as error:
        raise DataError(
            f"{where}: the stamps have different UTC offsets; convert: pd.to_datetime(stamps, utc=True)"
        ) from error
    bad = (parsed.isna() & text.notna()).to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{where}: {text.iloc[row]!r} in data row {row + 1} is no date; write 2024-01-31 13:00"
        )
    return pd.DatetimeIndex(parsed)


def _month_or_day(month_first: pd.Series, day_first: pd.Series, where: str) -> pd.Series:
    """Of the two readings of 01/02/2024 the one that reads more rows, else the one of more even steps."""

    def unevenness(stamps: pd.Series) -> float:
        steps = stamps.drop_duplicates().diff().dropna().dt.total_seconds()
        return np.inf if (steps <= 0).any() else steps.max() / steps.min()

    if month_first.isna().sum() != day_first.isna().sum():
        return min(month_first, day_first, key=lambda stamps: stamps.isna().sum())
    if month_first.equals(day_first):
        return month_first
    scores = unevenness(month_first), unevenness(day_first)
    if not max(scores) > 2 * min(scores):
        raise DataError(
            f"{where}: month and day cannot be told apart in these stamps; write dates as 2024-01-31"
        )
    return month_first if scores[0] < scores[1] else day_first


def offset(freq: str) -> BaseOffset:
    """The pandas offset named "h", "15min", "D", "B", "W", "MS", "QE", "YE" (or by the older H, T, M, Q, A).

    A week is 7 days from wherever the stamps start.
    """
    try:
        current = re.sub("[A-Za-z]+", lambda name: RENAMED.get(name[0], name[0]), freq, count=1)
        named = to_offset(current)
    except ValueError as error:
        raise DataError(
            f"freq={freq!r} is no frequency: use h, 15min, D, B, W, MS, ME, QS, YS or the like"
        ) from error
    return pd.offsets.Day(7 * named.n) if isinstance(named, pd.offsets.Week) else named


def months(freq: BaseOffset) -> int | None:
    """How many months a monthly, quarterly or yearly offset spans; None for any other."""
    if type(freq) is pd.DateOffset:
        return freq.n * freq.kwds.get("months", 0) or None
    return next((freq.n * span for kind, span in MONTHS.items() if isinstance(freq, kind)), None)


def season(freq: BaseOffset | None) -> int:
    """Steps in a season: an hour of seconds, a day of minutes or hours, a week of days, else a year."""
    if freq is None:
        return 1
    if span := months(freq):
        return 12 // span if 12 % span == 0 else 1
    if isinstance(freq, pd.offsets.BusinessDay):
        return 5 if freq.n == 1 else 1
    step = round(_length(freq), 6)
    if step >= 86400:
        return {1.0: 7, 7.0: 52}.get(step / 86400, 1)
    whole = 86400 if step >= 60 else 3600
    return round(whole / step) if whole % step == 0 else 1


def infer(index: pd.DatetimeIndex) -> BaseOffset | None:
    """The step of sorted, distinct stamps, whatever their gaps; None for fewer than two stamps.

    Whole months and business days are recognised; else it is the commonest step.
    """
    if len(index) < 2:
        return None
    wall = index.tz_localize(None)
    calendar = np.diff(wall.year * 12 + wall.month)
    if calendar.min() > 0 and (monthly := _monthly(wall, int(np.gcd.reduce(calendar)))) is not None:
        return monthly
    step = _commonest(wall)
    if step.value % pd.Timedelta(days=1).value:
        # hours go on evenly through a change of clocks; days keep to the clock
        return to_offset(_commonest(index))
    if step.days == 1 and np.max(wall.day_of_week) < 5 and (at(wall, -1) - at(wall, 0)).days > 4:
        return pd.offsets.BusinessDay()
    return pd.offsets.Day(step.days)


def regular(index: pd.DatetimeIndex, freq: BaseOffset, where: str) -> tuple[pd.DatetimeIndex, BaseOffset]:
    """The grid without gaps from the first to the last of the stamps (sorted, distinct), and its step.

    Months, quarters and years take their day from the stamps: first or last (business) day, or any one.

    Raises:
        DataError: a stamp lies off the grid, or the grid would be nearly empty.
    """
    first, last = at(index, 0), at(index, -1)
    if span := months(freq):
        freq = _monthly(index.tz_localize(None), span) or freq
        cells = ((last.year - first.year) * 12 + last.month - first.month) // span
    else:
        cells = int((last - first).total_seconds() / _length(freq)) + 1
    if cells > SPARSE * len(index):
        raise DataError(
            f"{where}: {len(index)} stamps fill hardly any of {cells} steps of {freq.freqstr}; "
            "resample the data to a regular step first"
        )
    grid = after(first, cells, freq).insert(0, first)
    grid = cast(pd.DatetimeIndex, grid[: np.count_nonzero(grid <= last)])
    off = grid.get_indexer(index) < 0
    if off.any():
        raise DataError(
            f"{where}: the stamp {index[int(off.argmax())]} is off the {freq.freqstr} grid from {first} on; "
            f"resample first, e.g. frame.resample({freq.freqstr!r}).mean(), or pass the right freq="
        )
    return grid, freq


def counted(index: pd.Index, where: str) -> pd.RangeIndex:
    """The grid from the first to the last of whole numbers (sorted, distinct), by their commonest step."""
    steps, counts = np.unique(np.diff(index), return_counts=True)
    step = int(steps[counts.argmax()]) if len(steps) else 1
    grid = pd.RangeIndex(index[0], index[-1] + step, step)
    off = grid.get_indexer(index) < 0
    if off.any() or len(grid) > SPARSE * len(index):
        raise DataError(
            f"{where}: the stamp {index[int(off.argmax())]} does not fit steps of {step} from {index[0]} on"
        )
    return grid


def after(stamp: pd.Timestamp, count: int, freq: BaseOffset) -> pd.DatetimeIndex:
    """The `count` stamps that follow. Hours go on evenly when the clocks change; days keep to the clock."""
    if type(freq) is pd.DateOffset:  # each from the first: a February would turn 31 into 28 for good
        return pd.DatetimeIndex([stamp + step * freq for step in range(1, count + 1)])
    return pd.date_range(stamp, periods=count + 1, freq=freq)[1:]


def at(index: pd.Index, place: int) -> pd.Timestamp:
    """One stamp of an index of dates, with the type that pandas leaves open."""
    return cast(pd.Timestamp, index[place])


def _monthly(wall: pd.DatetimeIndex, span: int) -> BaseOffset | None:
    """The offset of `span` months on whose day all the stamps lie, if there is one."""
    if (wall - wall.normalize()).nunique() > 1:
        return None
    if wall.is_month_end.all():
        return pd.offsets.MonthEnd(span)
    if (wall.day == wall.day[0]).all():
        return pd.offsets.MonthBegin(span) if wall.day[0] == 1 else pd.DateOffset(months=span)
    for business in (pd.offsets.BusinessMonthEnd, pd.offsets.BusinessMonthBegin):
        if all(business().is_on_offset(stamp) for stamp in wall):
            return business(span)
    return None


def _commonest(index: pd.DatetimeIndex) -> pd.Timedelta:
    steps, counts = np.unique(np.diff(index.asi8), return_counts=True)
    return cast(pd.Timedelta, pd.Timedelta(int(steps[counts.argmax()]), unit=index.unit))


def _length(freq: BaseOffset) -> float:
    """Seconds of a step of hours, days or business days."""
    days = isinstance(freq, pd.offsets.Day | pd.offsets.BusinessDay)
    return 86400.0 * freq.n if days else pd.Timedelta(freq).total_seconds()
