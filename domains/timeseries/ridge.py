"""Ridge regression of the next steps of a series on its last ones, in units of the window: (y − last)/std.

It serves twice: as the local model that the network is given, and as a floor that it must beat.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

LAGS = 336
PENALTIES = (1e-3, 1e-1, 1.0, 10.0)  # in units of the mean eigenvalue of the Gram matrix
RECENT = 8000  # newest steps that a fit to one history looks at


def linear(values: np.ndarray, period: int = 1) -> np.ndarray:
    """Linear interpolation in time; the ends repeat the nearest value, a channel without values becomes 0."""
    steps = np.arange(len(values))
    filled = np.zeros(values.shape)
    for c, known in enumerate(np.isfinite(values).T):
        if known.any():
            filled[:, c] = np.interp(steps, steps[known], values[known, c])
    return filled


class Selected(NamedTuple):
    """Ridge weights (lags, horizon), and mean absolute errors of held-out windows: its own and those of 0."""

    weights: np.ndarray
    error: float
    naive: float


def select_ridge(series: Sequence[np.ndarray], horizon: int, lags: int) -> Selected:
    """One ridge for every channel of every series (T, channels) that is long enough, and how good it is.

    PENALTIES are compared on the last quarter of each series' windows, after a fit on those before.
    """
    early, late = [], []
    for values in series:
        if len(values) < lags + horizon + 4:
            continue
        past, future = windows_of(linear(values), lags, horizon)
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


def units_of(past: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Last value and standard deviation of windows (*, lags), both (*, 1); a constant window has scale 1."""
    last, scale = past[..., -1:], past.std(axis=-1, keepdims=True)
    return last, np.where(scale > 1e-9 * np.abs(last), scale, 1.0)


def windows_of(values: np.ndarray, lags: int, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Every past and future of (T, channels) values, in units of the past: (channels, windows, ·)."""
    windows = sliding_window_view(values, lags + horizon, axis=0).swapaxes(0, 1)
    last, scale = units_of(windows[..., :lags])
    windows = (windows - last) / scale
    return windows[..., :lags], windows[..., lags:]


def _solve(gram: np.ndarray, cross: np.ndarray, penalty: float) -> np.ndarray:
    # 1e-12 keeps the system regular where every window is constant.
    return np.linalg.solve(gram + (penalty * np.trace(gram) / len(gram) + 1e-12) * np.eye(len(gram)), cross)
