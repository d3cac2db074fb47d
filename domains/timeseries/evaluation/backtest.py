"""Backtests: a model and the floors on the same windows of history and truth, scored side by side."""

from collections.abc import Callable, Sequence
from typing import Protocol as Interface

import numpy as np
import pandas as pd

from domains.timeseries.data import TimeSeries
from domains.timeseries.evaluation import baselines, metrics
from domains.timeseries.evaluation.protocols import PROTOCOLS, TESTS, Folder, Protocol, rolling
from zoo.errors import DataError

Forecaster = Callable[[list[np.ndarray], int, int, int], np.ndarray]
"""(histories, horizon, n, seed) -> (windows, n, horizon, channels): every window at once."""


class Forecasts(Interface):
    """What is asked of a model here."""

    def forecast_arrays(
        self, histories: Sequence[np.ndarray], horizon: int, n: int = 100, seed: int = 0, period: int = 1
    ) -> np.ndarray:
        """Histories (T, channels) to paths (windows, n, horizon, channels)."""
        ...


def each(forecaster: baselines.Forecaster, period: int) -> Forecaster:
    """A forecaster of one history as a forecaster of many, each with a seed of its own."""

    def batched(histories: list[np.ndarray], horizon: int, n: int, seed: int) -> np.ndarray:
        seeds = np.random.SeedSequence(seed).generate_state(len(histories)).tolist()
        pairs = zip(histories, seeds, strict=True)
        return np.stack([forecaster(history, horizon, n, own, period) for history, own in pairs])

    return batched


def floors(protocol: Protocol) -> dict[str, Forecaster]:
    """The floors by name, fitted to the history of each window.

    Where the protocol has training series, "pooled ridge" joins them, fitted to these once.
    """
    fits = dict(baselines.FLOORS)
    if protocol.train:
        fits["pooled ridge"] = baselines.fit_ridge(protocol.train, protocol.horizon)
    return {name: each(floor, protocol.period) for name, floor in fits.items()}


def evaluate_protocol(
    model: Forecasts | None, protocol: Protocol, n: int = 100, seed: int = 0
) -> pd.DataFrame:
    """Scores of a model and of the floors; without a model of the floors alone.

    Returns:
        One row a forecaster and score, with the columns protocol, forecaster, score, value, low, high:
        the score pooled over windows, and its 95 % bootstrap interval over windows.
    """
    forecasters = floors(protocol)
    if model is not None:

        def forecast(histories: list[np.ndarray], horizon: int, n: int, seed: int) -> np.ndarray:
            return model.forecast_arrays(histories, horizon, n, seed, protocol.period)

        forecasters = {"model": forecast} | forecasters
    tables = {}
    for name, forecaster in forecasters.items():
        paths = forecaster(protocol.histories, protocol.horizon, n, seed)
        tables[name] = metrics.score(paths, protocol.truth, protocol.scale)
    table = pd.concat(tables, names=["forecaster", "score"]).reset_index()
    table.insert(0, "protocol", protocol.name)
    return table


def protocols(folder: Folder = None) -> dict[str, Protocol]:
    """The test protocols of the literature, by name; see `protocols.py`."""
    return {name: PROTOCOLS[name](folder) for name in TESTS}


def backtest(
    model: Forecasts | None,
    data: Sequence[TimeSeries],
    horizon: int,
    windows: int = 10,
    n: int = 100,
    seed: int = 0,
) -> pd.DataFrame:
    """Forecasts the last `windows` stretches of `horizon` steps of every series from what came before each.

    Returns:
        One row a forecaster and score: forecaster, score, value, low, high; see `evaluate_protocol`.

    Raises:
        DataError: a series is too short to leave a history before its first window.
    """
    if len({len(series.names) for series in data}) > 1:
        raise DataError("the series have different numbers of channels: backtest them one by one")
    made = []
    for series in data:
        first = len(series) - windows * horizon
        if first < 2:
            raise DataError(
                f"{series.item or 'the series'} has {len(series)} steps; {windows} windows of {horizon} "
                f"steps need {windows * horizon + 2} or more; ask for fewer windows or a shorter horizon"
            )
        made += rolling(series.item or "series", series.values, horizon, range(first, len(series), horizon))
    protocol = Protocol("backtest", data[0].period, tuple(made))
    return evaluate_protocol(model, protocol, n, seed).drop(columns="protocol")
