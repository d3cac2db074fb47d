"""Floors: simple forecasts and imputations that a model must beat to be worth its weight.

Every forecaster is `(history, horizon, n, seed, period) -> paths`: history (T, channels), oldest first,
NaN where missing; paths (n, horizon, channels), joint over steps and channels wherever the method draws
anything. Every imputer is `(values, period) -> values`: (T, channels), with the missing ones filled in.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Forecaster = Callable[[np.ndarray, int, int, int, int], np.ndarray]
Imputer = Callable[[np.ndarray, int], np.ndarray]

LAGS = 336
PENALTIES = (1e-3, 1e-1, 1.0, 10.0)  # in units of the mean eigenvalue of the Gram matrix
RECENT = 8000  # newest steps that a fit to one history looks at
RESIDUALS = 1500  # newest windows whose residuals make the paths


def linear(values: np.ndarray, period: int = 1) -> np.ndarray:
    """Linear interpolation in time; the ends repeat the nearest value, a channel without values becomes 0."""
    steps = np.arange(len(values))
    filled = np.zeros(values.shape)
    for c, known in enumerate(np.isfinite(values).T):
        if known.any():
            filled[:, c] = np.interp(steps, steps[known], values[known, c])
    return filled


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
        past, future = _windows(filled[-(lags + horizon + RESIDUALS) :], lags, horizon)
        residuals = future - past @ weights  # (channels, windows, horizon)
        newest = filled[-lags:].T
        last, scale = _units(newest)
        point = ((newest - last) / scale)[:, None] @ weights  # (channels, 1, horizon)
        draws = np.random.default_rng(seed).integers(residuals.shape[1], size=n)
        return (last[:, None] + scale[:, None] * (point + residuals[:, draws])).transpose(1, 2, 0)


class Selected(NamedTuple):
    """Ridge weights (lags, horizon), and mean absolute errors of held-out windows: its own and those of 0."""

    weights: np.ndarray
    error: float
    naive: float


def fit_ridge(series: Sequence[np.ndarray], horizon: int, lags: int = LAGS) -> Ridge:
    """One ridge shared by every channel of every series (T, channels) that is long enough.

    See `select_ridge` for the penalty.
    """
    return Ridge(select_ridge(series, horizon, lags).weights[None])


def select_ridge(series: Sequence[np.ndarray], horizon: int, lags: int) -> Selected:
    """The weights of `fit_ridge`, and how good they are.

    PENALTIES are compared on the last quarter of each series' windows, after a fit on those before.
    """
    early, late = [], []
    for values in series:
        if len(values) < lags + horizon + 4:
            continue
        past, future = _windows(linear(values), lags, horizon)
        cut = 3 * past.shape[1] // 4
        # if there is room, no target of the fit lies in the held-out part
        before = max(cut - horizon, cut // 2)
        early.append((past[:, :before].reshape(-1, lags), future[:, :before].reshape(-1, horizon)))
        late.append((past[:, cut:].reshape(-1, lags), future[:, cut:].reshape(-1, horizon)))
    if not early:
        raise ValueError(f"ridge on {lags} lags needs a series of {lags + horizon + 4} steps or more")
    x, y = (np.concatenate(part) for part in zip(*early, strict=True))
    held_x, held_y = (np.concatenate(part) for part in zip(*late, strict=True))
    gram, cross = x.T @ x, x.T @ y
    residuals = [held_y - held_x @ _solve(gram, cross, penalty) for penalty in PENALTIES]
    best = int(np.argmin([np.square(left).mean() for left in residuals]))
    weights = _solve(gram + held_x.T @ held_x, cross + held_x.T @ held_y, PENALTIES[best])
    return Selected(weights, float(np.abs(residuals[best]).mean()), float(np.abs(held_y).mean()))


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


def _units(past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Last value and standard deviation of windows (*, lags), both (*, 1); a constant window has scale 1."""
    last, scale = past[..., -1:], past.std(axis=-1, keepdims=True)
    return last, np.where(scale > 1e-9 * np.abs(last), scale, 1.0)


def _windows(values: np.ndarray, lags: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Every past and future of (T, channels) values, in units of the past: (channels, windows, ·)."""
    windows = sliding_window_view(values, lags + horizon, axis=0).swapaxes(0, 1)
    last, scale = _units(windows[..., :lags])
    windows = (windows - last) / scale
    return windows[..., :lags], windows[..., lags:]


def _solve(gram: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    # 1e-12 keeps the system regular where every window is constant.
    return np.linalg.solve(gram + (penalty * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram)), cross)
