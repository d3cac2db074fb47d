"""Floors: simple forecasts and imputations that a model must beat to be worth its weight.

Every forecaster is `(history, horizon, n, seed, period) -> paths`: history (T, channels), oldest first,
NaN where missing; paths (n, horizon, channels), joint over steps and channels wherever the method draws
anything. Every imputer is `(values, period) -> values`: (T, channels), with the missing ones filled in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from domains.timeseries.ridge import LAGS, RECENT, linear, select_ridge, units_of, windows_of

Forecaster = Callable[[np.ndarray, int, int, int, int], np.ndarray]
Imputer = Callable[[np.ndarray, int], np.ndarray]

RESIDUALS = 1500  # newest windows whose residuals make the paths


def seasonal(values: np.ndarray, period: int) -> np.ndarray:
    """Linear interpolation from season to season: between the same hour of the days before and after."""
    filled = linear(values)
    for phase in range(period):
        own = values[phase::period]
        filled[phase::period] = np.where(np.isfinite(own).any(axis=0), linear(own), filled[phase::period])
    return filled


def deseasonalised(values: np.ndarray, period: int) -> np.ndarray:
    """Linear interpolation of what is left when each phase's mean distance from its season is taken out."""
    from scipy.ndimage import uniform_filter1d

    filled = linear(values)
    around = filled - uniform_filter1d(filled, period, axis=0, mode="nearest")
    profile = np.stack([around[phase::period].mean(axis=0) for phase in range(min(period, len(values)))])
    profile = profile[np.arange(len(values)) % period]
    return np.where(np.isfinite(values), values, profile + linear(values - profile))


def seasonal_naive(history: np.ndarray, horizon: int, n: int, seed: int, period: int) -> np.ndarray:
    """The last season, repeated: n equal paths."""
    season = linear(history)[-period:]
    return np.repeat(season[np.arange(horizon) % len(season)][None], n, axis=0)


def random_walk(history: np.ndarray, horizon: int, n: int, seed: int, period: int) -> np.ndarray:
    """The last value plus steps of the history drawn with replacement, those of all channels together."""
    filled = linear(history)
    steps = np.diff(filled, axis=0) if len(filled) > 1 else np.zeros_like(filled)
    draws = np.random.default_rng(seed).integers(len(steps), size=(n, horizon))
    return filled[-1] + steps[draws].cumsum(axis=1)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of the next steps on the last ones, both in units of the window: (y − last)/std.

    A path is the point forecast plus the residuals of one window of the history, one for all channels.

    Attributes:
        weights: (channels, lags, horizon), or (1, lags, horizon) if the channels share them.
    """

    weights: np.ndarray

    def __call__(self, history: np.ndarray, horizon: int, n: int, seed: int, period: int) -> np.ndarray:
        _, lags, longest = self.weights.shape
        if horizon > longest or len(history) < lags + horizon:
            raise ValueError(
                f"this ridge forecasts up to {longest} steps from {lags + horizon} or more, "
                f"not {horizon} from {len(history)}"
            )
        weights, filled = self.weights[..., :horizon], linear(history)
        past, future = windows_of(filled[-(lags + horizon + RESIDUALS) :], lags, horizon)
        residuals = future - past @ weights  # (channels, windows, horizon)
        newest = filled[-lags:].T
        last, scale = units_of(newest)
        point = ((newest - last) / scale)[:, None] @ weights  # (channels, 1, horizon)
        draws = np.random.default_rng(seed).integers(residuals.shape[1], size=n)
        return (last[:, None] + scale[:, None] * (point + residuals[:, draws])).transpose(1, 2, 0)


def fit_ridge(series: Sequence[np.ndarray], horizon: int, lags: int = LAGS) -> Ridge:
    """One ridge shared by every channel of every series (T, channels) that is long enough.

    See `select_ridge` for the penalty.
    """
    return Ridge(select_ridge(series, horizon, lags).weights[None])


def ridge(history: np.ndarray, horizon: int, n: int, seed: int, period: int) -> np.ndarray:
    """Ridge on up to LAGS steps, fitted to each channel of this history; a random walk if it is too short."""
    lags = min(LAGS, (len(history) - horizon) // 2)
    if lags < 4:
        return random_walk(history, horizon, n, seed, period)
    recent = linear(history)[-RECENT:]
    fits = [fit_ridge([recent[:, [c]]], horizon, lags) for c in range(recent.shape[1])]
    return Ridge(np.concatenate([fit.weights for fit in fits]))(recent, horizon, n, seed, period)


FLOORS: dict[str, Forecaster] = {
    "seasonal naive": seasonal_naive,
    "random walk": random_walk,
    "ridge": ridge,
}
IMPUTERS: dict[str, Imputer] = {"linear": linear, "seasonal": seasonal, "deseasonalised": deseasonalised}
