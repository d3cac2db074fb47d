"""The real data sets, and the windows on which forecasts and imputations of them are scored.

Test windows are those of the literature. Validation windows end before the first test window of their
data set; settings are chosen on these alone. Files lie below a folder given by argument or by ZOO_DATA.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from domains.timeseries.evaluation.metrics import seasonal_error
from zoo.errors import DataError, OptionError

Folder = str | Path | None

# ends of the splits of 12, 4 and 4 months of 30 days
ETT_TRAIN, ETT_VALIDATION, ETT_TEST = 8640, 11520, 14400
ETT_ROWS = 17420
EXCHANGE_TRAIN, EXCHANGE_ROWS = 6071, 7588
EXCHANGE_VALIDATION = EXCHANGE_TRAIN - 20 * 30  # where the validation windows start
M4_HORIZON = 48


class Window(NamedTuple):
    """`history` (T, channels) and the `truth` (horizon, channels) that followed, of the series `item`."""

    item: str
    history: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True, eq=False)
class Protocol:
    """Windows of one horizon.

    Attributes:
        name: of the protocol.
        period: length of the season in steps.
        windows: what is forecast.
        train: series (T, channels) that end before the first window, for what is fitted once.
    """

    name: str
    period: int
    windows: tuple[Window, ...]
    train: tuple[np.ndarray, ...] = ()

    @property
    def horizon(self) -> int:
        return len(self.windows[0].truth)

    @property
    def histories(self) -> list[np.ndarray]:
        return [window.history for window in self.windows]

    @property
    def truth(self) -> np.ndarray:
        """(windows, horizon, channels)."""
        return np.stack([window.truth for window in self.windows])

    @property
    def scale(self) -> np.ndarray:
        """Error of the seasonal naive forecast within each history, MASE's unit: (windows, channels)."""
        return np.stack([seasonal_error(history, self.period) for history in self.histories])


def rolling(item: str, values: np.ndarray, horizon: int, starts: Sequence[int]) -> list[Window]:
    """One window for each start; all that came before it is its history. `values` is (T, channels)."""
    return [Window(item, values[:start], values[start : start + horizon]) for start in starts]


def data_folder(folder: Folder = None) -> Path:
    """The folder of the time series: "timeseries" below `folder`, else below the variable ZOO_DATA.

    Raises:
        DataError: neither is given, or there is no such folder.
    """
    folder = folder or os.environ.get("ZOO_DATA")
    if not folder:
        raise DataError("no data folder: set ZOO_DATA to the folder that holds timeseries/")
    root = Path(folder) / "timeseries"
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; ZOO_DATA must name the folder that holds timeseries/")
    return root


def load_ett(name: str, folder: Folder = None) -> np.ndarray:
    """The series "etth1" or "etth2": (17420, 7), hourly (Zhou et al. 2021)."""
    path = data_folder(folder) / name / f"ETT{name[3:]}.csv"
    return pd.read_csv(path, index_col="date").to_numpy(float)


def load_exchange(folder: Folder = None) -> np.ndarray:
    """Exchange rates of 8 countries: (7588, 8), business days (Lai et al. 2018)."""
    path = data_folder(folder) / "exchange_rate" / "exchange_rate.txt.gz"
    return pd.read_csv(path, header=None).to_numpy(float)


class M4Series(NamedTuple):
    """`train` (700 .. 960, 1) and the `test` (48, 1) that followed it."""

    item: str
    train: np.ndarray
    test: np.ndarray


def load_m4_hourly(folder: Folder = None) -> list[M4Series]:
    """M4 hourly: 414 series (Makridakis et al. 2020)."""
    root = data_folder(folder) / "m4_hourly"
    train = pd.read_csv(root / "Hourly-train.csv.gz", index_col=0).to_numpy(float)
    test = pd.read_csv(root / "Hourly-test.csv.gz", index_col=0)
    return [
        M4Series(str(item), row[np.isfinite(row), None], future[:, None])
        for item, row, future in zip(test.index, train, test.to_numpy(float), strict=True)
    ]


def _ett(name: str, starts: Sequence[int], folder: Folder = None) -> Protocol:
    series = {item: load_ett(item, folder) for item in ("etth1", "etth2")}
    windows = [window for item, values in series.items() for window in rolling(item, values, 24, starts)]
    return Protocol(name, 24, tuple(windows), tuple(values[:ETT_TRAIN] for values in series.values()))


def _exchange(name: str, starts: Sequence[int], folder: Folder = None) -> Protocol:
    values = load_exchange(folder)
    train = values[: EXCHANGE_VALIDATION if starts[0] < EXCHANGE_TRAIN else EXCHANGE_TRAIN]
    return Protocol(name, 5, tuple(rolling("exchange", values, 30, starts)), (train,))


def _m4(name: str, folder: Folder = None) -> Protocol:
    windows = tuple(Window(*series) for series in load_m4_hourly(folder))
    return Protocol(name, 24, windows, tuple(window.history for window in windows))


def _m4_validation(name: str, folder: Folder = None) -> Protocol:
    series = [(item, train) for item, train, _ in load_m4_hourly(folder)]
    windows = tuple(Window(item, train[:-M4_HORIZON], train[-M4_HORIZON:]) for item, train in series)
    return Protocol(name, 24, windows, tuple(window.history for window in windows))


ETT_DAYS = range(ETT_ROWS - 30 * 24, ETT_ROWS, 24)
PROTOCOLS: dict[str, Callable[[Folder], Protocol]] = {
    # Chronos: the last 24 hours of the 14 series
    "ett": partial(_ett, "ett", ETT_DAYS[-1:]),
    # the last 30 days, each a window
    "ett-long": partial(_ett, "ett-long", ETT_DAYS),
    # every 55 hours, so that windows start at every hour of the day
    "ett-validation": partial(_ett, "ett-validation", range(ETT_TRAIN, ETT_VALIDATION - 23, 55)),
    # the same after the usual test split and before the last 30 days: eight months after the training rows
    "ett-late-validation": partial(_ett, "ett-late-validation", range(ETT_TEST, ETT_DAYS[0] - 23, 55)),
    # the 48 test steps of each of the 414 series
    "m4": partial(_m4, "m4"),
    # the 48 steps before them
    "m4-validation": partial(_m4_validation, "m4-validation"),
    # GluonTS: 5 rolling windows of 30 days after the training days
    "exchange": partial(_exchange, "exchange", range(EXCHANGE_TRAIN, EXCHANGE_TRAIN + 5 * 30, 30)),
    # Chronos: the last 30 days
    "exchange-last": partial(_exchange, "exchange-last", [EXCHANGE_ROWS - 30]),
    # 20 windows of 30 days, the last of the training days
    "exchange-validation": partial(
        _exchange, "exchange-validation", range(EXCHANGE_VALIDATION, EXCHANGE_TRAIN, 30)
    ),
}
TESTS = tuple(name for name in PROTOCOLS if not name.endswith("validation"))


class Imputation(NamedTuple):
    """`truth` (T, channels); `missing`, alike, is True where a value is hidden and has to be filled in."""

    truth: np.ndarray
    missing: np.ndarray
    period: int


def imputation(kind: str, folder: Folder = None, *, validation: bool = False, seed: int = 0) -> Imputation:
    """ETTh1 test rows (2880, 7) with a fifth of the values hidden, the same ones at every call.

    Args:
        kind: "points": each value of each channel on its own; "blocks": 24 hours at a random place in
            every 120, all channels together.
        folder: the data folder.
        validation: take the validation rows instead.
        seed: which values are hidden.
    """
    start, stop = (ETT_TRAIN, ETT_VALIDATION) if validation else (ETT_VALIDATION, ETT_TEST)
    truth = load_ett("etth1", folder)[start:stop]
    rng = np.random.default_rng(seed)
    if kind == "points":
        return Imputation(truth, rng.random(truth.shape) < 0.2, 24)
    if kind != "blocks":
        raise OptionError(f"kind {kind!r} is neither 'points' nor 'blocks'")
    missing = np.zeros(truth.shape, bool)
    for cell in range(0, len(truth), 120):
        first = cell + int(rng.integers(120 - 24 + 1))
        missing[first : first + 24] = True
    return Imputation(truth, missing, 24)
