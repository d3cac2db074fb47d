"""How the channels of one series depend on each other.

The network reads one channel at a time. Channels are tied together in two places, both estimated from
the history of the series itself, so that a checkpoint serves any number of channels:

- The noise of the channels at one step is correlated as their innovations are. Sampling maps noise to
  data one to one and the noise of each channel alone stays white, so that every channel keeps its own
  forecast distribution while paths are drawn jointly: a Gaussian copula.
- What other channels are known to do where one is unknown (known future values; neighbours of a gap)
  enters through a ridge regression on them, wherever it explains held-out history better than nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from domains.timeseries.ridge import linear
from zoo.engine.noise import Members

SHRINKAGE = 20.0  # steps of independence that a correlation is averaged with
CLIP = 4.0  # innovations beyond this many standard deviations count as this many
NEAR = 2  # steps over which a neighbour's missing value is interpolated
PENALTY = 1e-3  # of the regression, relative to the number of steps


def correlation(history: np.ndarray, period: int = 1) -> np.ndarray:
    """Correlation (C, C) of the channels' innovations, positive definite.

    Innovations are the steps of the history (T, C) after the mean step of each phase is taken out.
    """
    steps = np.diff(linear(history), axis=0)
    channels = history.shape[1]
    if len(steps) < 4 or channels == 1:
        return np.eye(channels)
    if 1 < period <= len(steps) // 3:
        phase = np.arange(len(steps)) % period
        steps = steps - np.stack([steps[phase == p].mean(0) for p in range(period)])[phase]
    moved = np.isfinite(history[1:]) & np.isfinite(history[:-1])
    steps = np.where(moved, steps - steps.mean(0), 0.0)
    std = steps.std(0)
    steps = np.clip(steps / np.where(std > 0, std, 1.0), -CLIP, CLIP)
    norm = np.sqrt((steps**2).sum(0))
    product = norm[:, None] * norm
    found = steps.T @ steps / np.where(product > 0, product, 1.0)  # a channel at rest goes with none
    weight = len(steps) / (len(steps) + SHRINKAGE)
    found = weight * found
    np.fill_diagonal(found, 1.0)
    return found


class ChannelNoise:
    """Noise of several items, item after item, mixed over channels.

    Args:
        members: the streams of each item, equally many.
        factors: (items, C, C), Cholesky factors of the channels' correlations.
    """

    def __init__(self, members: Sequence[Members], factors: Tensor):
        self.members, self.factors = members, factors

    def __len__(self) -> int:
        return sum(len(one) for one in self.members)

    def normal(self, shape: Sequence[int]) -> Tensor:
        """Unit noise `(items · n, C, steps)`, correlated across channels and white along steps."""
        white = torch.stack([one.normal(shape) for one in self.members])
        return torch.einsum("bcd,bnds->bncs", self.factors.to(white), white).flatten(0, 1)


def regress(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Ridge slopes (X, Y) of y (T, Y) on x (T, X), NaN where missing; the level is left to the forecaster.

    Fitted on the first three quarters of the steps; fitted again on all of them for those channels of y
    whose steps it explains in the last quarter. The slopes of other channels are 0.
    """
    weights = np.zeros((x.shape[1], y.shape[1]))
    for c in range(y.shape[1]):
        both = np.isfinite(x).all(1) & np.isfinite(y[:, c])
        xs, ys = x[both], y[both, c]
        cut = 3 * len(ys) // 4
        if cut < x.shape[1] + 8:
            continue
        before = _ridge(xs[:cut], ys[:cut])
        left = np.diff(ys[cut:] - xs[cut:] @ before)
        if (left**2).mean() < 0.9 * (np.diff(ys[cut:]) ** 2).mean():
            weights[:, c] = _ridge(xs, ys)
    return weights


def _ridge(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    centred, scale = x - x.mean(0), x.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    z = centred / scale
    gram = z.T @ z + PENALTY * len(z) * np.eye(z.shape[1])
    return np.linalg.solve(gram, z.T @ (y - y.mean())) / scale


def apply(x: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """x (T, X) times slopes (X, Y): NaN where x is missing, but 0 for a channel that has no slope at all."""
    return np.where((slopes != 0).any(0), x @ slopes, 0.0)


def told_by_neighbours(values: np.ndarray) -> np.ndarray:
    """What a regression on all other channels says about each channel, (T, C): NaN where it says nothing.

    It says nothing about a channel whose steps the others do not explain, nor at a step that lies more
    than NEAR steps from what is known of another channel.
    """
    told = np.full(values.shape, np.nan)
    if not np.isnan(values).any():
        return told
    near = linear(values)
    for c, known in enumerate(np.isfinite(values).T):
        steps = np.arange(len(values))
        at = np.searchsorted(steps[known], steps)
        before, after = steps[known][np.maximum(at - 1, 0)], steps[known][np.minimum(at, known.sum() - 1)]
        distance = np.minimum(np.abs(steps - before), np.abs(after - steps))
        near[distance > NEAR, c] = np.nan
    for c in range(values.shape[1]):
        others = np.delete(near, c, axis=1)
        slopes = regress(others, values[:, [c]])
        if slopes.any():
            told[:, c] = (others @ slopes)[:, 0]
    return told
