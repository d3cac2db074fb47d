"""Floors: simple forecasts and imputations that a model must beat to be worth its weight.

Every forecaster is `(history, horizon, n, seed, period) -> paths`: history (T, channels), oldest first, NaN where
missing; paths (n, horizon, channels), joint over steps and channels wherever the method draws anything.
Every imputer is `(values, period) -> values`: (T, channels) with the NaN filled.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Forecaster = Callable[[np.ndarray, int, int, int, int], np.ndarray]

PENALTIES = (1e-3, 1e-1, 1.0, 10.0)  # of the mean eigenvalue of the Gram matrix
RESIDUALS = 1500  # newest windows whose residuals make the paths of ridge


def linear(values: np.ndarray, period: int = 1) -> np.ndarray:
    """Linear interpolation in time; the ends repeat the nearest value. A channel without any value becomes 0."""
    steps = np.arange(len(values))
    filled = np.zeros(values.shape)
    for c, known in enumerate(np.isfinite(values).T):
        if known.any():
            filled[:, c] = np.interp(steps, steps[known], values[known, c])
    return filled


def seasonal(values: np.ndarray, period: int) -> np.ndarray:
    """Linear interpolation of what is left after the mean of each phase of the season is taken out."""
    if len(values) < 2 * period:
        return linear(values)
    filled = linear(values)
    profile = np.stack([filled[phase::period].mean(0) for phase in range(period)])
    profile = profile[np.arange(len(values)) % period]
    return profile + linear(values - profile)


def seasonal_naive(history: np.ndarray, horizon: int, n: int = 100, seed: int = 0, period: int = 1) -> np.ndarray:
    """The last season, repeated: n equal paths."""
    season = linear(history)[-period:]
    return np.repeat(season[np.arange(horizon) % len(season)][None], n, axis=0)


def random_walk(history: np.ndarray, horizon: int, n: int = 100, seed: int = 0, period: int = 1) -> np.ndarray:
    """The last value plus steps of the history drawn with replacement, all channels of one step together."""
    filled = linear(history)
    steps = np.diff(filled, axis=0) if len(filled) > 1 else np.zeros((1, filled.shape[1]))
    draws = np.random.default_rng(seed).integers(len(steps), size=(n, horizon))
    return filled[-1] + steps[draws].cumsum(axis=1)


@dataclass(frozen=True)
class Ridge:
    """Ridge regression of the next steps on the last ones, both in units of the window: (y - last) / std.

    `weights` has the shape (channels, lags, horizon), or (1, lags, horizon) if all channels share them. A path is the
    point forecast plus the residuals of one window of the history, the same window in every channel.
    """

    weights: np.ndarray

    def __call__(self, history: np.ndarray, horizon: int, n: int = 100, seed: int = 0, period: int = 1) -> np.ndarray:
        _, lags, trained = self.weights.shape
        filled = linear(history)
        if horizon > trained:
            raise ValueError(f"this ridge was fitted for horizons up to {trained}, not {horizon}: fit it for {horizon}")
        if len(filled) < lags + horizon:
            raise ValueError(f"ridge on {lags} lags needs a history of {lags + horizon} steps or more, got {len(filled)}")
        weights = self.weights[..., :horizon]
        past, future = _windows(filled[-(lags + horizon + RESIDUALS) :], lags, horizon)  # (channels, windows, ·)
        residuals = future - past @ weights
        last, scale = _units(filled[-lags:].T)  # (channels, 1)
        point = ((filled[-lags:].T - last) / scale)[:, None] @ weights  # (channels, 1, horizon)
        draws = np.random.default_rng(seed).integers(residuals.shape[1], size=n)
        return (last[:, None] + scale[:, None] * (point + residuals[:, draws])).transpose(1, 2, 0)


def fit_ridge(series: Sequence[np.ndarray], horizon: int, lags: int = 336) -> Ridge:
    """One ridge shared by every channel of every series (T, channels) that is long enough.

    The penalty is the best of PENALTIES on the last quarter of each series' windows, after a fit on those before.
    """
    early, late = [], []
    for values in series:
        if len(values) < lags + horizon + 4:
            continue
        past, future = _windows(linear(values), lags, horizon)
        cut = 3 * past.shape[1] // 4
        before = max(cut - horizon, cut // 2)  # no target of the fit lies in the held-out part, if there is room
        early.append((past[:, :before].reshape(-1, lags), future[:, :before].reshape(-1, horizon)))
        late.append((past[:, cut:].reshape(-1, lags), future[:, cut:].reshape(-1, horizon)))
    if not early:
        raise ValueError(f"ridge on {lags} lags needs a series of {lags + horizon + 4} steps or more")
    x, y = (np.concatenate(part) for part in zip(*early, strict=True))
    held_x, held_y = (np.concatenate(part) for part in zip(*late, strict=True))
    solutions = [_solve(x.T @ x, x.T @ y, penalty) for penalty in PENALTIES]
    best = int(np.argmin([np.square(held_y - held_x @ weights).mean() for weights in solutions]))
    gram, cross = x.T @ x + held_x.T @ held_x, x.T @ y + held_x.T @ held_y
    return Ridge(_solve(gram, cross, PENALTIES[best])[None])


def ridge(history: np.ndarray, horizon: int, n: int = 100, seed: int = 0, period: int = 1) -> np.ndarray:
    """Ridge on up to 336 lags, fitted to each channel of this history; a random walk where it is too short to fit."""
    lags = min(336, (len(history) - horizon) // 2)
    if lags < 4:
        return random_walk(history, horizon, n, seed, period)
    fits = [fit_ridge([history[:, c : c + 1]], horizon, lags) for c in range(history.shape[1])]
    return Ridge(np.concatenate([fit.weights for fit in fits]))(history, horizon, n, seed, period)


FLOORS: dict[str, Forecaster] = {"seasonal naive": seasonal_naive, "random walk": random_walk, "ridge": ridge}


def _units(past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Last value and standard deviation of windows (*, lags), both (*, 1); a constant window has scale 1."""
    last, scale = past[..., -1:], past.std(axis=-1, keepdims=True)
    return last, np.where(scale > 1e-9 * np.abs(last), scale, 1.0)


def _windows(values: np.ndarray, lags: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Every (past, future) pair of (T, channels) values, in units of its past: (channels, windows, lags | horizon)."""
    windows = sliding_window_view(values, lags + horizon, axis=0).swapaxes(0, 1)
    last, scale = _units(windows[..., :lags])
    windows = (windows - last) / scale
    return windows[..., :lags], windows[..., lags:]


def _solve(gram: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    # 1e-12 keeps the system regular where every window is constant.
    return np.linalg.solve(gram + (penalty * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram)), cross)
