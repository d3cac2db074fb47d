"""Scores of sample paths against what happened.

Everywhere `paths` has the shape (*, n, horizon, channels) and `truth` (*, horizon, channels), where *
are the windows. Missing truths (NaN) are left out of every score.

A score is a ratio of two sums over windows. Its parts, one numerator and one denominator a window, give
the pooled score and, by drawing windows with replacement, its interval.

References: Gneiting & Raftery (2007), "Strictly proper scoring rules, prediction, and
estimation"; Rasul et al. (2021), "Autoregressive denoising diffusion models for multivariate
probabilistic time series forecasting"; Hamill (2001), "Interpretation of rank histograms"; Fortin
et al. (2014), "Why should ensemble spread match the RMSE of the ensemble mean?"; Hyndman &
Koehler (2006), "Another look at measures of forecast accuracy".
"""

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pandas as pd

DECILES = tuple(k / 10 for k in range(1, 10))  # GluonTS' default for mean_wQuantileLoss
TWENTIETHS = tuple(k / 20 for k in range(1, 20))  # TimeGrad's levels for CRPS-sum

Parts = tuple[np.ndarray, np.ndarray]  # numerator and denominator of each window, both (windows,)


def wql_parts(paths: np.ndarray, truth: np.ndarray, levels: Iterable[float] = DECILES) -> Parts:
    """GluonTS' mean_wQuantileLoss, pooled over windows, steps and channels.

    The mean over q of 2 Σ |(f_q − y)(1[y ≤ f_q] − q)| / Σ |y|;
    f_q is the path of the nearest rank, not interpolated.
    """
    paths, truth = _flat(paths, truth)
    ordered, levels = np.sort(paths, axis=1), tuple(levels)
    loss = np.zeros(len(truth))
    for q in levels:
        forecast = ordered[:, round((paths.shape[1] - 1) * q)]
        loss += _total(2 * np.abs((forecast - truth) * ((truth <= forecast) - q)))
    return loss / len(levels), _total(np.abs(truth))


def crps_sum_parts(paths: np.ndarray, truth: np.ndarray) -> Parts:
    """CRPS-sum as TimeGrad reports it: wQL of the sum over channels, at the quantiles .05, .10, .. .95."""
    return wql_parts(np.sum(paths, -1, keepdims=True), np.sum(truth, -1, keepdims=True), TWENTIETHS)


def crps_parts(paths: np.ndarray, truth: np.ndarray) -> Parts:
    """Mean CRPS in the units of the data, fair: unbiased for what infinitely many paths would score.

    A single path is taken for a point forecast and scores its absolute error.
    """
    import scoringrules

    paths, truth = _flat(paths, truth)
    if paths.shape[1] == 1:
        return _total(np.abs(paths[:, 0] - truth)), _count(truth)
    # "pwm" is the same number as "fair", without the n² differences of paths
    scores = scoringrules.crps_ensemble(truth, paths, m_axis=1, estimator="pwm", backend="numpy")
    return _total(np.asarray(scores)), _count(truth)


def energy_parts(paths: np.ndarray, truth: np.ndarray) -> Parts:
    """Mean energy score of a window, its steps and channels as one vector; fair, in the units of the data."""
    from scipy.spatial.distance import pdist

    paths, truth = _flat(paths, truth)
    n = paths.shape[1]
    scores = np.zeros(len(truth))
    for w, (ensemble, y) in enumerate(zip(paths, truth, strict=True)):
        points = ensemble[:, np.isfinite(y)]
        spread = pdist(points).sum() / (n * (n - 1)) if n > 1 else 0.0
        scores[w] = np.linalg.norm(points - y[np.isfinite(y)], axis=1).mean() - spread
    return scores, np.ones(len(truth))


def coverage_parts(paths: np.ndarray, truth: np.ndarray, level: float) -> Parts:
    """The share of truths inside the central `level` interval of the paths.

    The ends are the paths of rank p (n + 1): whatever their number, calibrated paths then hold the truth
    with probability `level`. The usual quantiles of 100 paths would hold it 1.6 % less often at 80 %.
    """
    paths, truth = _flat(paths, truth)
    low, high = np.quantile(paths, ((1 - level) / 2, (1 + level) / 2), axis=1, method="weibull")
    return _total((low <= truth) & (truth <= high)), _count(truth)


def spread_skill_parts(paths: np.ndarray, truth: np.ndarray) -> Parts:
    """Variance of the paths, with the (n + 1)/n of a finite ensemble, over the squared error of their mean.

    The root of the ratio is 1 for a calibrated forecast, below 1 for one that is too sure.
    """
    paths, truth = _flat(paths, truth)
    n = paths.shape[1]
    variance = paths.var(axis=1, ddof=1) if n > 1 else np.zeros_like(truth)
    error = np.square(paths.mean(axis=1) - truth)
    return _total(np.where(np.isfinite(truth), variance, 0.0)) * (n + 1) / n, _total(error)


def mae_parts(paths: np.ndarray, truth: np.ndarray, scale: np.ndarray | None = None) -> Parts:
    """Mean absolute error of the median; MASE with `scale` (windows, channels) from `seasonal_error`."""
    paths, truth = _flat(paths, truth)
    error = np.abs(np.median(paths, axis=1) - truth) / (1.0 if scale is None else scale[:, None])
    return _total(error), _count(error)


def seasonal_error(history: np.ndarray, period: int) -> np.ndarray:
    """MASE's unit: mean absolute error of the seasonal naive forecast inside a history (T, channels).

    NaN if it is 0. Where the history is no longer than a season, the period is 1.
    """
    period = period if len(history) > period else 1
    with np.errstate(invalid="ignore"):
        errors = np.abs(history[period:] - history[:-period])
    count = np.isfinite(errors).sum(axis=0)
    mean = np.nansum(errors, axis=0) / np.maximum(count, 1)
    return np.where(mean > 0, mean, np.nan)


def pit(paths: np.ndarray, truth: np.ndarray, seed: int = 0) -> np.ndarray:
    """Where each truth falls among its paths, in [0, 1], without the missing ones: uniform if calibrated.

    (rank + u)/(n + 1) with u uniform and the rank drawn at random among paths equal to the truth.
    """
    paths, truth = _flat(paths, truth)
    rng = np.random.default_rng(seed)
    below, equal = _counts(paths, truth)
    values = (below + rng.integers(equal + 1) + rng.random(truth.shape)) / (paths.shape[1] + 1)
    return values[np.isfinite(truth)]


def pit_parts(paths: np.ndarray, truth: np.ndarray) -> Parts:
    """Mean of `pit` over its draws: 0.5 if the forecast is unbiased, less if it is too high."""
    paths, truth = _flat(paths, truth)
    below, equal = _counts(paths, truth)
    values = (below + equal / 2 + 0.5) / (paths.shape[1] + 1)
    return _total(np.where(np.isfinite(truth), values, np.nan)), _count(truth)


def _counts(paths: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many paths lie below the truth, and how many are equal to it."""
    return (paths < truth[:, None]).sum(axis=1), (paths == truth[:, None]).sum(axis=1)


SCORES: dict[str, Callable[[np.ndarray, np.ndarray], Parts]] = {
    "wQL": wql_parts,
    "CRPS": crps_parts,
    "CRPS-sum": crps_sum_parts,
    "energy": energy_parts,
    "coverage 50": partial(coverage_parts, level=0.50),
    "coverage 80": partial(coverage_parts, level=0.80),
    "coverage 95": partial(coverage_parts, level=0.95),
    "PIT mean": pit_parts,
    "spread-skill": spread_skill_parts,
    "MAE": mae_parts,
}


def score(
    paths: np.ndarray,
    truth: np.ndarray,
    scale: np.ndarray | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """All scores, pooled over windows.

    Args:
        paths: (windows, n, horizon, channels).
        truth: (windows, horizon, channels), NaN where unknown.
        scale: (windows, channels) from `seasonal_error`; adds MASE.
        resamples: draws of the windows, with replacement, behind the intervals.
        seed: of these draws.

    Returns:
        One row a score, with columns value, low, high: the pooled score and its 95 % bootstrap interval.
    """
    parts = {name: function(paths, truth) for name, function in SCORES.items()}
    if scale is not None:
        parts["MASE"] = mae_parts(paths, truth, scale)
    draws = np.random.default_rng(seed).integers(len(truth), size=(resamples, len(truth)))
    table = {}
    for name, (top, bottom) in parts.items():
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.array(
                [
                    top.sum() / bottom.sum(),
                    *np.quantile(top[draws].sum(1) / bottom[draws].sum(1), (0.025, 0.975)),
                ]
            )
        table[name] = np.sqrt(values) if name == "spread-skill" else values
    return pd.DataFrame.from_dict(table, orient="index", columns=["value", "low", "high"])


def wql(paths: np.ndarray, truth: np.ndarray) -> float:
    """Weighted quantile loss; see `wql_parts`."""
    top, bottom = wql_parts(paths, truth)
    return float(top.sum() / bottom.sum())


def _flat(paths: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring to (windows, n, horizon, channels) and (windows, horizon, channels)."""
    paths, truth = np.asarray(paths, float), np.asarray(truth, float)
    if paths.ndim < 3 or paths.shape[:-3] + paths.shape[-2:] != truth.shape:
        raise ValueError(
            f"paths {paths.shape} do not fit truth {truth.shape}: expected (*, n, horizon, channels) and "
            "(*, horizon, channels)"
        )
    return paths.reshape(-1, *paths.shape[-3:]), truth.reshape(-1, *truth.shape[-2:])


def _total(values: np.ndarray) -> np.ndarray:
    return np.nansum(values, axis=(-2, -1)).astype(float)


def _count(truth: np.ndarray) -> np.ndarray:
    return np.isfinite(truth).sum(axis=(-2, -1)).astype(float)
