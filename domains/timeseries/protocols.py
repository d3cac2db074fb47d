"""The real data sets and the windows on which forecasts of them are scored.

A protocol is a list of windows; each holds a history and the truth that followed it. Test protocols are those of the
literature; every one has a validation twin whose windows end before the first test window starts, and settings are
chosen on these alone.

The files lie under a folder given by argument or by the environment variable ZOO_DATA.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

Batched = Callable[[list[np.ndarray], int, int, int], np.ndarray]  # (histories, horizon, n, seed) -> (windows, n, h, C)


@dataclass(frozen=True)
class Window:
    """`history` (T, channels) and the `truth` (horizon, channels) that followed it, of the series called `item`."""

    item: str
    history: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class Protocol:
    """Windows of one data set with one horizon; `period` is the length of its season in steps."""

    name: str
    freq: str
    period: int
    windows: tuple[Window, ...]

    @property
    def horizon(self) -> int:
        return len(self.windows[0].truth)

    @property
    def truth(self) -> np.ndarray:
        """What happened, with shape (windows, horizon, channels)."""
        return np.stack([window.truth for window in self.windows])

    def forecast(self, forecaster: Batched, n: int = 100, seed: int = 0) -> np.ndarray:
        """Paths with shape (windows, n, horizon, channels); the forecaster gets every history at once."""
        return np.asarray(forecaster([window.history for window in self.windows], self.horizon, n, seed))


def data_folder(folder: str | Path | None = None) -> Path:
    """The folder of the real data: the argument, else ZOO_DATA."""
    folder = folder or os.environ.get("ZOO_DATA")
    if not folder:
        raise FileNotFoundError("no data folder: pass folder=... or set ZOO_DATA to the folder that holds timeseries/")
    root = Path(folder)
    if not (root / "timeseries").is_dir():
        raise FileNotFoundError(f"{root} has no folder timeseries/: ZOO_DATA must name the folder that holds it")
    return root / "timeseries"


ETT_TRAIN, ETT_VALIDATION, ETT_TEST = 8640, 11520, 14400  # ends of the splits: 12, 4 and 4 months of 30 days
EXCHANGE_TRAIN = 6071
M4_HORIZON = 48


def load_ett(name: str, folder: str | Path | None = None) -> np.ndarray:
    """ETTh1 or ETTh2: (17420, 7) hourly values (Zhou et al. 2021)."""
    return pd.read_csv(data_folder(folder) / name / f"{name[:3].upper()}{name[3:]}.csv").iloc[:, 1:].to_numpy(float)


def load_exchange(folder: str | Path | None = None) -> np.ndarray:
    """Exchange rates of 8 countries: (7588, 8), business days (Lai et al. 2018)."""
    return pd.read_csv(data_folder(folder) / "exchange_rate/exchange_rate.txt.gz", header=None).to_numpy(float)


def load_m4_hourly(folder: str | Path | None = None) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """M4 hourly: 414 triples of id, training values (700 .. 960,) and test values (48,) (Makridakis et al. 2020)."""
    root = data_folder(folder) / "m4_hourly"
    train = pd.read_csv(root / "Hourly-train.csv.gz", index_col=0)
    test = pd.read_csv(root / "Hourly-test.csv.gz", index_col=0)
    return [(str(key), row.dropna().to_numpy(float), test.loc[key].to_numpy(float)) for key, row in train.iterrows()]


def rolling(item: str, values: np.ndarray, horizon: int, starts: range) -> list[Window]:
    """One window for each start: all that came before it is its history. `values` (T, channels)."""
    return [Window(item, values[:start], values[start : start + horizon]) for start in starts]


def _ett(name: str, starts: range, folder: str | Path | None) -> Protocol:
    windows = [w for item in ("etth1", "etth2") for w in rolling(item, load_ett(item, folder), 24, starts)]
    return Protocol(name, "h", 24, tuple(windows))


def ett_last(folder: str | Path | None = None) -> Protocol:
    """ETTh-14: the last 24 hours of the 14 series of both files (Chronos, benchmark II)."""
    return _ett("ett-last", range(17420 - 24, 17420, 24), folder)


def ett_long(folder: str | Path | None = None) -> Protocol:
    """The last 720 hours of both files as 30 windows of 24 hours."""
    return _ett("ett-long", range(17420 - 720, 17420, 24), folder)


def ett_validation(folder: str | Path | None = None) -> Protocol:
    """Windows of 24 hours every 55 hours of rows 8640 .. 11520 (every hour of the day is a start)."""
    return _ett("ett-validation", range(ETT_TRAIN, ETT_VALIDATION - 23, 55), folder)


def m4(folder: str | Path | None = None) -> Protocol:
    """M4 hourly: the 48 test steps of each of the 414 series."""
    windows = [Window(key, train[:, None], test[:, None]) for key, train, test in load_m4_hourly(folder)]
    return Protocol("m4", "h", 24, tuple(windows))


def m4_validation(folder: str | Path | None = None) -> Protocol:
    """The last 48 steps of each training series, forecast from what came before."""
    series = load_m4_hourly(folder)
    windows = [Window(key, train[:-M4_HORIZON, None], train[-M4_HORIZON:, None]) for key, train, _ in series]
    return Protocol("m4-validation", "h", 24, tuple(windows))


def _exchange(name: str, starts: range, folder: str | Path | None) -> Protocol:
    return Protocol(name, "B", 5, tuple(rolling("exchange", load_exchange(folder), 30, starts)))


def exchange(folder: str | Path | None = None) -> Protocol:
    """GluonTS: 5 rolling windows of 30 days after the 6,071 training days."""
    return _exchange("exchange", range(EXCHANGE_TRAIN, EXCHANGE_TRAIN + 150, 30), folder)


def exchange_last(folder: str | Path | None = None) -> Protocol:
    """The last 30 days (Chronos, benchmark II)."""
    return _exchange("exchange-last", range(7588 - 30, 7588, 30), folder)


def exchange_validation(folder: str | Path | None = None) -> Protocol:
    """20 rolling windows of 30 days that end at row 6,071."""
    return _exchange("exchange-validation", range(EXCHANGE_TRAIN - 600, EXCHANGE_TRAIN, 30), folder)


PROTOCOLS: dict[str, Callable[[str | Path | None], Protocol]] = {
    "ett-validation": ett_validation,
    "m4-validation": m4_validation,
    "exchange-validation": exchange_validation,
    "ett-last": ett_last,
    "ett-long": ett_long,
    "m4": m4,
    "exchange": exchange,
    "exchange-last": exchange_last,
}
