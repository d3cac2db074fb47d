"""Pictures of forecasts: every function returns a Figure, and writes it if given a path."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib.dates
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from domains.timeseries.evaluation.metrics import coverage_parts, pit
from zoo.errors import OptionError

if TYPE_CHECKING:
    from domains.timeseries.forecast import Forecast

INK, BLUE, RED = "#2b2b2b", "#1f6fb4", "#c8442b"
BANDS = {0.95: "#dfeaf5", 0.8: "#bbd3e9", 0.5: "#8ab4d9"}  # central intervals, the widest first
PANELS = 6


def fan_chart(
    forecasts: Sequence["Forecast"],
    path: str | Path | None = None,
    *,
    truth: np.ndarray | None = None,
    paths: int = 5,
    past: float = 3.0,
) -> Figure:
    """History, median, central 50, 80 and 95 % intervals and a few paths; a panel a channel and item.

    Args:
        forecasts: of one or several series; the first PANELS channels are drawn.
        path: the picture to write.
        truth: what happened, (horizon, channels), drawn over a single forecast.
        paths: how many sample paths to draw.
        past: how much of the history to show, in horizons (at least 48 steps).
    """
    panels = [(forecast, c) for forecast in forecasts for c in range(len(forecast.names))][:PANELS]
    figure = Figure(figsize=(9, 1.2 + 2.4 * len(panels)) if len(panels) > 1 else (9, 4), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, (forecast, c) in zip(axes, panels, strict=True):
        _fan(axis, forecast, c, paths, past)
        if truth is not None:
            axis.plot(forecast.index, truth[:, c], color=RED, linewidth=1.3, label="what happened")
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside upper left", frameon=False, ncols=8, fontsize=8.5
    )
    return _written(figure, path)


def _fan(axis: Axes, forecast: "Forecast", c: int, paths: int, past: float) -> None:
    history = forecast.history[-max(int(past * len(forecast.index)), 48) :]
    # The fan starts at the last observation, so that no gap is drawn between past and future.
    joint = np.flatnonzero(np.isfinite(history.values[:, c]))[-1:]
    if forecast.index[0] in history.index:  # gaps are filled, nothing is appended
        joint = joint[:0]
    future = history.index[joint].append(forecast.index)

    def joined(values: np.ndarray) -> np.ndarray:
        return np.concatenate([history.values[joint, c], values])

    for level, tint in BANDS.items():
        low, high = forecast.quantile([(1 - level) / 2, (1 + level) / 2])[..., c]
        label = f"{level:.0%} interval"
        axis.fill_between(future, joined(low), joined(high), color=tint, linewidth=0, label=label)
    for i, one in enumerate(forecast.paths[:paths, :, c]):
        label = "sample paths" if i == 0 else None
        axis.plot(future, joined(one), color=BLUE, linewidth=0.7, alpha=0.55, label=label)
    axis.plot(future, joined(forecast.median[:, c]), color=BLUE, linewidth=1.8, label="median")
    axis.plot(history.index, history.values[:, c], color=INK, linewidth=1.3, label="history")
    name = forecast.names[c] if forecast.item is None else f"{forecast.item}: {forecast.names[c]}"
    axis.set_title(name, loc="right", fontsize=10, color=INK)
    axis.margins(x=0.01)
    if isinstance(forecast.index, pd.DatetimeIndex):
        locator = matplotlib.dates.AutoDateLocator(tz=forecast.index.tz)
        axis.xaxis.set_major_locator(locator)
        axis.xaxis.set_major_formatter(matplotlib.dates.ConciseDateFormatter(locator, tz=forecast.index.tz))
    _plain(axis)


def rank_histogram(
    paths: np.ndarray, truth: np.ndarray, path: str | Path | None = None, *, bins: int = 20
) -> Figure:
    """Histogram of where the truth falls among the paths (PIT): flat if calibrated, a U if too sure.

    Args:
        paths: (*, n, horizon, channels).
        truth: (*, horizon, channels).
    """
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axis = figure.subplots()
    values = pit(paths, truth)
    axis.hist(
        values,
        bins=bins,
        range=(0, 1),
        weights=np.full(len(values), bins / len(values)),
        color=BLUE,
        alpha=0.75,
        rwidth=0.94,
    )
    axis.axhline(1, color=INK, linewidth=1, linestyle="--")
    axis.set(xlabel="rank of the truth among the paths", ylabel="density", xlim=(0, 1))
    _plain(axis)
    return _written(figure, path)


def coverage_chart(paths: np.ndarray, truth: np.ndarray, path: str | Path | None = None) -> Figure:
    """How often intervals hold the truth against how often they should: below the line if too sure."""
    figure = Figure(figsize=(4, 3.8), layout="constrained")
    axis = figure.subplots()
    levels = np.linspace(0.05, 0.95, 19)
    shares = [np.divide(*(part.sum() for part in coverage_parts(paths, truth, level))) for level in levels]
    axis.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--")
    axis.plot(levels, shares, color=BLUE, linewidth=1.8, marker="o", markersize=4)
    axis.set(xlabel="nominal coverage", ylabel="observed coverage", xlim=(0, 1), ylim=(0, 1), aspect="equal")
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    _plain(axis)
    return _written(figure, path)


def _plain(axis: Axes) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=9, colors=INK)


def _written(figure: Figure, path: str | Path | None) -> Figure:
    if path is not None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        try:
            figure.savefig(path, dpi=150)
        except ValueError as error:
            raise OptionError(f"{path}: {error}") from error
    return figure
