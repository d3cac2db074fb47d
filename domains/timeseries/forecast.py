"""What a forecast is: joint sample paths with stamps, and all that can be read off them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from domains.timeseries.data import TimeSeries
from zoo.errors import DataError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVELS = (0.1, 0.5, 0.9)


@dataclass(frozen=True, eq=False)
class Forecast:
    """Sample paths of what comes after `history`, or of what may fill its gaps.

    A path is one possible course of all steps and channels together: sums over steps, maxima,
    differences between channels and the like are taken path by path and then summarised.

    Attributes:
        paths: (n, horizon, channels).
        index: the stamps of the horizon.
        history: the series that was given.
        seed: path i is a function of (seed, i) and the history.
    """

    paths: np.ndarray
    index: pd.DatetimeIndex | pd.RangeIndex
    history: TimeSeries
    seed: int = 0

    def __post_init__(self) -> None:
        if self.paths.shape[1:] != (len(self.index), len(self.history.names)):
            shape = len(self.index), len(self.history.names)
            raise DataError(f"paths {self.paths.shape} do not fit the stamps and channels {shape}")

    @property
    def names(self) -> tuple[str, ...]:
        return self.history.names

    @property
    def item(self) -> str | None:
        return self.history.item

    @property
    def mean(self) -> np.ndarray:
        """(horizon, channels)."""
        return self.paths.mean(axis=0)

    @property
    def median(self) -> np.ndarray:
        """(horizon, channels)."""
        return np.median(self.paths, axis=0)

    def quantile(self, q: float | Sequence[float]) -> np.ndarray:
        """Quantiles over the paths, interpolated.

        Returns:
            (horizon, channels) for one level, (levels, horizon, channels) for several.

        Raises:
            DataError: a level is not within 0 and 1.
        """
        if np.any((np.asarray(q) < 0) | (np.asarray(q) > 1)):
            raise DataError(f"quantile {q} is impossible: levels lie between 0 and 1")
        return np.quantile(self.paths, q, axis=0)

    def to_frame(self, quantiles: Sequence[float] = LEVELS) -> pd.DataFrame:
        """One row a stamp and channel: [item_id,] timestamp, channel, mean, and q0.1 and the like."""
        levels = zip(quantiles, self.quantile(list(quantiles)), strict=True)
        return self._tidy({"mean": self.mean} | {f"q{q:g}": level for q, level in levels})

    def paths_frame(self) -> pd.DataFrame:
        """One row a stamp and channel: [item_id,] timestamp, channel, and path0, path1, ..."""
        return self._tidy({f"path{i}": path for i, path in enumerate(self.paths)})

    def _tidy(self, columns: dict[str, np.ndarray]) -> pd.DataFrame:
        """Columns (horizon, channels) beside their stamps and channels."""
        item = {} if self.item is None else {"item_id": self.item}
        keys = {
            "timestamp": self.index.repeat(len(self.names)),
            "channel": np.tile(np.asarray(self.names, dtype=object), len(self.index)),
        }
        return pd.DataFrame(item | keys | {name: values.ravel() for name, values in columns.items()})

    def plot(self, path: str | Path | None = None, truth: Any = None) -> "Figure":
        """A fan chart of the history, the intervals and a few paths.

        Args:
            path: where to write it (.png, .svg, .pdf).
            truth: what happened, (horizon, channels) or (horizon,), to draw over it.

        Raises:
            DataError: the truth is of another length or number of channels.
        """
        from domains.timeseries.plots import fan_chart

        if truth is None:
            return fan_chart([self], path)
        happened = np.asarray(truth, float)
        if happened.size != self.mean.size:
            raise DataError(f"truth {happened.shape} does not fit a forecast of {self.mean.shape}")
        return fan_chart([self], path, truth=happened.reshape(self.mean.shape))


@dataclass(frozen=True, eq=False)
class Forecasts(Mapping[str, Forecast]):
    """The forecasts of several series, by item: `forecasts["a"].mean`.

    Every item has the same noise, so that it is forecast as if it were alone: paths of different items must
    not be added up."""

    by_item: dict[str, Forecast]

    def __getitem__(self, item: str) -> Forecast:
        return self.by_item[item]

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_item)

    def __len__(self) -> int:
        return len(self.by_item)

    def to_frame(self, quantiles: Sequence[float] = LEVELS) -> pd.DataFrame:
        """The frames of all items, one below the other."""
        return pd.concat([one.to_frame(quantiles) for one in self.values()], ignore_index=True)

    def paths_frame(self) -> pd.DataFrame:
        """The paths of all items, one below the other."""
        return pd.concat([one.paths_frame() for one in self.values()], ignore_index=True)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """A fan chart for each of the first items; written to `path` if given."""
        from domains.timeseries.plots import fan_chart

        return fan_chart(list(self.values()), path)
