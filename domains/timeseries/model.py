"""The verbs of a time-series model: forecast, impute, sample, backtest."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from domains.timeseries.completion import continued, drawer, filled
from domains.timeseries.data import TimeSeries, future_index, read
from domains.timeseries.evaluation.backtest import backtest
from domains.timeseries.forecast import Forecast, Forecasts
from domains.timeseries.joint import apply, regress, told_by_neighbours
from domains.timeseries.local import Local, local_models
from domains.timeseries.window import CONTEXT
from zoo.errors import DataError, OptionError
from zoo.model import Model

NEAR_ZERO = 0.01  # standard deviations within which the lowest value of a non-negative channel is near 0
LARGEST = 1e300  # beyond it float64 has no room for the arithmetic


class TimeSeriesModel(Model):
    """Forecasts, fills gaps in, and invents time series; all as joint sample paths over time and channels."""

    def forecast(
        self,
        history: Any,
        horizon: int = 24,
        n: int = 100,
        *,
        known_future: Any = None,
        positive: bool | None = None,
        freq: str | None = None,
        timestamp: str | None = None,
        target: str | Sequence[str] | None = None,
        item_id: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        sampler: str | None = None,
        device: str | None = None,
    ) -> Any:
        """Draws joint sample paths of what comes after a history.

        Args:
            history: a file, frame, array, list or dict: see `domains.timeseries.data.read`. NaN are
                gaps; the network reads the last 512 steps, the local model up to 8,000.
            horizon: steps ahead.
            n: paths.
            known_future: values of some of the history's columns over the horizon, known in advance (a
                price, a holiday, a weather forecast): a frame, a file or a dict of columns. Where it has
                stamps, the rows of the horizon are taken by these; else it has `horizon` rows in time
                order. The other columns are forecast given them.
            positive: True: paths stay at or above 0. None: where the history has no negative value and
                comes near 0 or counts whole things.
            freq, timestamp, target, item_id: how to read the history: see `read`.
            seed: path i depends on (seed, i) and the history alone.
            steps, sampler, device: as in `sample`.

        Returns:
            A `Forecast`; a `Forecasts`, a mapping from item to Forecast, where the data hold several series.

        Raises:
            DataError: for a history that cannot be used, saying why, where and what to do.
            OptionError: for a horizon or n below 1.
        """
        _at_least_one(horizon=horizon, n=n)
        if device is not None:
            self.to(device)
        series = read(history, freq=freq, timestamp=timestamp, target=target, item_id=item_id)
        if known_future is not None and len(series) > 1:
            raise OptionError("known_future goes with a single series; forecast the items one by one")
        future = None if known_future is None else _future(known_future, series[0], horizon)
        return _by_item(
            [
                self._forecast(one, horizon, n, future, positive, seed=seed, steps=steps, sampler=sampler)
                for one in series
            ]
        )

    def _forecast(
        self,
        series: TimeSeries,
        horizon: int,
        n: int,
        future: np.ndarray | None,
        positive: bool | None,
        *,
        seed: int,
        steps: int | None,
        sampler: str | None,
    ) -> Forecast:
        values = _usable(series)
        silent = ~np.isfinite(values[-CONTEXT:]).any(0)
        if silent.any():
            name = series.names[int(silent.argmax())]
            raise DataError(
                f"channel {name!r} has no value in its last {CONTEXT} steps: fill it "
                "with model.impute, or leave it out"
            )
        floor = np.array([_positive(column) if positive is None else positive for column in values.T])
        if future is None:
            draw = drawer(self, series.period, steps=steps, sampler=sampler, positive=floor)
            local = local_models([values])
            paths = continued(draw, values.T[None], horizon, n, [seed], local, series.period)[0]
            return Forecast(paths.transpose(0, 2, 1), future_index(series, horizon), series, seed)
        given = np.isfinite(future).all(0)
        slopes = regress(values[:, given], values[:, ~given])
        explained = apply(values[:, given], slopes)
        draw = drawer(self, series.period, steps=steps, sampler=sampler)
        left = values[:, ~given] - explained
        rest = continued(draw, left.T[None], horizon, n, [seed], local_models([left]), series.period)[0]
        paths = np.repeat(future[None], n, 0)
        paths[..., ~given] = rest.transpose(0, 2, 1) + apply(future[:, given], slopes)
        paths[..., floor & ~given] = paths[..., floor & ~given].clip(min=0)
        return Forecast(paths, future_index(series, horizon), series, seed)

    def impute(
        self,
        data: Any,
        n: int = 50,
        *,
        positive: bool | None = None,
        freq: str | None = None,
        timestamp: str | None = None,
        target: str | Sequence[str] | None = None,
        item_id: str | None = None,
        seed: int = 0,
    ) -> Any:
        """Fills the gaps of the data (NaN and missing stamps) with the median of n completions.

        Args:
            data, positive, freq, timestamp, target, item_id: as in `forecast`.
            n, seed: of the completions.

        Returns:
            A frame without NaN, indexed by stamp, one column a channel; for several series, a dict of
            such frames by item.
        """
        made = self.completions(
            data,
            n,
            positive=positive,
            freq=freq,
            timestamp=timestamp,
            target=target,
            item_id=item_id,
            seed=seed,
        )
        if isinstance(made, Forecast):
            return _median_frame(made)
        return {item: _median_frame(one) for item, one in made.items()}

    def completions(
        self,
        data: Any,
        n: int = 50,
        *,
        positive: bool | None = None,
        freq: str | None = None,
        timestamp: str | None = None,
        target: str | Sequence[str] | None = None,
        item_id: str | None = None,
        seed: int = 0,
        steps: int | None = None,
        sampler: str | None = None,
    ) -> Any:
        """Joint sample paths of the whole series, equal to the data where they are known.

        Returns:
            A `Forecast` (or `Forecasts`) whose index is that of the data. `impute` is its median.
        """
        _at_least_one(n=n)
        made = []
        for series in read(data, freq=freq, timestamp=timestamp, target=target, item_id=item_id):
            values = _usable(series)
            floor = np.array([_positive(column) if positive is None else positive for column in values.T])
            draw = drawer(self, series.period, steps=steps, sampler=sampler)
            paths = filled(draw, values.T, n, seed, series.period).transpose(0, 2, 1)
            told = told_by_neighbours(values)
            if np.isfinite(told[np.isnan(values)]).any():
                rest = filled(draw, (values - told).T, n, seed, series.period).transpose(0, 2, 1)
                paths = np.where(np.isfinite(told), rest + told, paths)
            paths = np.where(floor, paths.clip(min=0), paths)
            paths = np.where(np.isfinite(values), values, paths)
            made.append(Forecast(paths, series.index, series, seed))
        return _by_item(made)

    def sample(
        self,
        n: int = 1,
        length: int = 64,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> np.ndarray:
        """Invents n series of one channel, without any history: `(n, length, 1)`.

        A pretrained model draws with mean 0 and standard deviation 1; one trained on other data, in the
        units of these.

        Args:
            n, length: how many, and of how many steps.
            steps, sampler: None for the model's own.
            guidance: must be None: there is no condition to guide by.
            seed: series i depends on (seed, i) alone.
            device: moves the model there first.
        """
        _at_least_one(n=n, length=length)
        if guidance is not None:
            raise OptionError("guidance needs a condition, and unconditional series have none")
        if device is not None:
            self.to(device)
        draw = drawer(self, 1, steps=steps, sampler=sampler)
        nothing = np.full((1, 1, 1), np.nan)
        return continued(draw, nothing, length, n, [seed], local_models([nothing[0]]))[0].transpose(0, 2, 1)

    def backtest(
        self,
        data: Any,
        horizon: int = 24,
        windows: int = 5,
        *,
        n: int = 100,
        seed: int = 0,
        freq: str | None = None,
        timestamp: str | None = None,
        target: str | Sequence[str] | None = None,
        item_id: str | None = None,
    ) -> pd.DataFrame:
        """Forecasts the last `windows` stretches of `horizon` steps of every series, and scores them.

        Each is forecast from what came before it, by the model and by the floors (seasonal naive,
        random walk, ridge).

        Returns:
            One row a forecaster and score, with columns value, low, high: the score and its 95 %
            bootstrap interval.

        Raises:
            DataError: a series is too short for that many windows.
        """
        _at_least_one(horizon=horizon, windows=windows, n=n)
        series = read(data, freq=freq, timestamp=timestamp, target=target, item_id=item_id)
        return backtest(self, series, horizon, windows, n, seed)

    def forecast_arrays(
        self,
        histories: Sequence[np.ndarray],
        horizon: int,
        n: int = 100,
        seed: int = 0,
        period: int = 1,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        local: Local | None = None,
    ) -> np.ndarray:
        """Forecasts many histories (T, channels), of as many channels each, at once.

        Args:
            histories: NaN are gaps.
            period: the season that the calendar tells, in steps; 1 if it tells none.
            horizon, n, seed, steps, sampler: as in `forecast`.
            local: their local models, where they are forecast more than once; None fits them here.

        Returns:
            Paths (histories, n, horizon, channels).
        """
        recent = np.full((len(histories), histories[0].shape[1], CONTEXT), np.nan)
        for row, history in zip(recent, histories, strict=True):
            row[:, CONTEXT - min(len(history), CONTEXT) :] = history[-CONTEXT:].T
        draw = drawer(self, period, steps=steps, sampler=sampler)
        # noise of its own for every window, so that the luck of the draw averages out over windows
        seeds = [(seed << 32) + i for i in range(len(histories))]
        local = local_models(histories) if local is None else local
        return continued(draw, recent, horizon, n, seeds, local, period).transpose(0, 1, 3, 2)


def _at_least_one(**counts: int) -> None:
    for name, value in counts.items():
        if value < 1:
            raise OptionError(f"{name} must be at least 1, not {value}")


def _usable(series: TimeSeries) -> np.ndarray:
    """The values, (T, C), which must hold something and leave room for arithmetic."""
    values = series.values
    empty = [
        name for name, column in zip(series.names, values.T, strict=True) if not np.isfinite(column).any()
    ]
    if empty:
        raise DataError(f"channel {empty[0]!r} has no value at all; leave it out")
    if np.nanmax(np.abs(values)) > LARGEST:
        raise DataError(f"values beyond {LARGEST:g} cannot be forecast; rescale them first")
    return values


def _positive(column: np.ndarray) -> bool:
    """Whether a channel looks as if it could not be negative."""
    seen = column[np.isfinite(column)]
    whole = (seen == np.round(seen)).all()
    return bool(seen.min() >= 0 and (whole or seen.min() <= NEAR_ZERO * seen.std()))


def _by_item(made: list[Forecast]) -> Forecast | Forecasts:
    """The only forecast, or all of them by item; series without a name are counted."""
    if len(made) == 1:
        return made[0]
    named = {one.item if one.item is not None else str(i): one for i, one in enumerate(made)}
    if len(named) < len(made):
        items = [str(one.item) for one in made]
        twice = next(item for item in items if items.count(item) > 1)
        raise DataError(f"two series are called {twice!r}; give every series a name of its own")
    return Forecasts(named)


def _future(known: Any, series: TimeSeries, horizon: int) -> np.ndarray:
    """Known future values as (horizon, channels), NaN for the channels to forecast."""
    table = pd.DataFrame(known) if isinstance(known, Mapping) else known
    (ahead, *others) = read(table, freq=None if series.freq is None else series.freq.freqstr)
    if others:
        raise DataError("known_future holds several items, but the history is a single series")
    columns = [name for name in series.names if name in ahead.names]
    if not columns:
        raise DataError(
            f"known_future has the columns {', '.join(ahead.names)}, but the history has "
            f"{', '.join(series.names)}: its past must be in the history under the same name"
        )
    if len(columns) == len(series.names):
        raise DataError("known_future holds every column of the history: nothing is left to forecast")
    stamps = future_index(series, horizon)
    frame = ahead.to_frame()[columns]
    if isinstance(ahead.index, pd.DatetimeIndex) and isinstance(stamps, pd.DatetimeIndex):
        frame = frame.reindex(stamps)
        missing = np.isnan(frame.to_numpy()).any(1)
        if missing.any():
            raise DataError(f"known_future has no value for {stamps[int(missing.argmax())]}")
    elif len(frame) != horizon:
        raise DataError(f"known_future has {len(frame)} rows, but the horizon is {horizon}")
    elif frame.isna().to_numpy().any():
        raise DataError("known_future has missing values; fill them first")
    future = np.full((horizon, len(series.names)), np.nan)
    future[:, [series.names.index(name) for name in columns]] = frame.to_numpy()
    return future


def _median_frame(made: Forecast) -> pd.DataFrame:
    return pd.DataFrame(made.median, index=made.index, columns=list(made.names))
