"""Intervals from random halves of a set.

The mean over half of n rows, drawn without replacement, spreads around that over all n as the latter does
around its expectation: the variance is σ² (1/(n/2) − 1/n) = σ²/n (Politis, Romano & Wolf 1999, "Subsampling",
section 2.3). Scores are such means to first order. A bootstrap would draw rows twice, which biases a Fréchet
distance and breaks what looks at pairs and neighbours. The halves' own bias goes out with their mean.
"""

import math

import numpy as np

from zoo.errors import OptionError


def draw(n: int, resamples: int, seed: int) -> np.ndarray:
    """Which of n rows count, bool (1 + resamples, n): all of them, then random halves.

    Raises:
        OptionError: if there are too few halves for an interval; none is allowed.
    """
    if resamples < 2 and resamples != 0:
        raise OptionError(f"an interval needs 2 resamples or more, not {resamples}; 0 for no interval")
    order = np.tile(np.arange(n), (resamples, 1))
    return np.concatenate(
        [np.ones((1, n), bool), np.random.default_rng(seed).permuted(order, axis=1) < n // 2]
    )


def mean(draws: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean of `values` (n,) in each of `draws` (R, n): (R,)."""
    return draws @ values.astype(float) / draws.sum(axis=1)


def interval(
    scores: np.ndarray, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float, float]:
    """Score of all rows and its 95 % interval, inside what the score can be, from the scores of `draw`.

    The interval of no halves is NaN.
    """
    value, parts = float(scores[0]), scores[1:]
    if not len(parts):
        return value, math.nan, math.nan
    low, high = value + np.quantile(parts, (0.025, 0.975)) - parts.mean()
    return value, float(max(low, least)), float(min(high, most))
