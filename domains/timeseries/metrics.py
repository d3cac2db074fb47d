"""Scores of sample paths against what happened.

Everywhere `paths` has the shape (*, n, horizon, channels) and `truth` (*, horizon, channels), where * are the windows.
Missing truths (NaN) are left out of every score.

Each score is a ratio of two sums over windows, so its parts (one numerator and one denominator a window) give the
pooled score and, by resampling windows, its interval:

    score = f( sum_w numerator_w / sum_w denominator_w ),  f = sqrt for the spread-skill ratio, the identity otherwise.

References: Gneiting & Raftery (2007), "Strictly proper scoring rules, prediction, and estimation";
Hamill (2001), "Interpretation of rank histograms"; Fortin et al. (2014), "Why should ensemble spread match the RMSE
of the ensemble mean?"; Hyndman & Koehler (2006), "Another look at measures of forecast accuracy".
"""

from collections.abc import Callable, Iterable

import numpy as np

DECILES = tuple(k / 10 for k in range(1, 10))  # GluonTS' default for mean_wQuantileLoss
TWENTIETHS = tuple(k / 20 for k in range(1, 20))  # TimeGrad's levels for CRPS-sum

Parts = tuple[np.ndarray, np.ndarray]  # numerator and denominator of each window, both with shape (windows,)


def nearest_rank(paths: np.ndarray, levels: Iterable[float]) -> np.ndarray:
    """Quantiles over the paths as GluonTS' SampleForecast takes them: the sample whose rank is nearest, no interpolation.

    Returns an array with shape (levels, *, horizon, channels).
    """
    ordered = np.sort(paths, axis=-3)
    ranks = np.round((paths.shape[-3] - 1) * np.asarray(tuple(levels))).astype(int)
    return np.moveaxis(ordered[..., ranks, :, :], -3, 0)


def _flat(paths: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bring to (windows, n, horizon, channels) and (windows, horizon, channels)."""
    paths, truth = np.asarray(paths, float), np.asarray(truth, float)
    if paths.ndim < 3 or paths.shape[:-3] + paths.shape[-2:] != truth.shape:
        raise ValueError(
            f"paths {paths.shape} do not fit truth {truth.shape}: they must be (*, n, horizon, channels) and "
            "(*, horizon, channels)"
        )
    return paths.reshape(-1, *paths.shape[-3:]), truth.reshape(-1, *truth.shape[-2:])


def _total(values: np.ndarray) -> np.ndarray:
    return np.nansum(values, axis=(-2, -1))


def _count(truth: np.ndarray) -> np.ndarray:
    return np.isfinite(truth).sum(axis=(-2, -1)).astype(float)


def wql_parts(paths: np.ndarray, truth: np.ndarray, levels: Iterable[float] = DECILES) -> Parts:
    paths, truth = _flat(paths, truth)
    levels = tuple(levels)
    loss = np.zeros(len(truth))
    for q, forecast in zip(levels, nearest_rank(paths, levels), strict=True):
        loss += _total(2 * np.abs((forecast - truth) * ((truth <= forecast) - q)))
    return loss / len(levels), _total(np.abs(truth))


def crps_sum_parts(paths: np.ndarray, truth: np.ndarray) -> Parts:
    paths, truth = _flat(paths, truth)
    return wql_parts(paths.sum(-1, keepdims=True), truth.sum(-1, keepdims=True), TWENTIETHS)


def crps_parts(paths: np.ndarray, truth: np.ndarray, fair: bool = True) -> Parts:
    import scoringrules

    paths, truth = _flat(paths, truth)
    fair = fair and paths.shape[1] > 1  # one path: the absolute error
    scores = scoringrules.crps_ensemble(truth, paths, m_axis=1, estimator="fair" if fair else "nrg", backend="numpy")
    return _total(np.asarray(scores)), _count(truth)


def coverage_parts(paths: np.ndarray, truth: np.ndarray, level: float = 0.8) -> Parts:
    paths, truth = _flat(paths, truth)
    low, high = np.quantile(paths, ((1 - level) / 2, (1 + level) / 2), axis=1)
    return ((low <= truth) & (truth <= high)).sum(axis=(-2, -1)).astype(float), _count(truth)


def mae_parts(paths: np.ndarray, truth: np.ndarray) -> Parts:
    paths, truth = _flat(paths, truth)
    return _total(np.abs(np.median(paths, axis=1) - truth)), _count(truth)


def _ratio(parts: Parts) -> float:
    numerator, denominator = parts
    return float(numerator.sum() / denominator.sum())


def wql(paths: np.ndarray, truth: np.ndarray, levels: Iterable[float] = DECILES) -> float:
    """Weighted quantile loss: GluonTS' mean_wQuantileLoss, pooled over windows, steps and channels.

    mean over q of  2 sum |(f_q - y) (1[y <= f_q] - q)| / sum |y|,  with f_q the sample of nearest rank.
    """
    return _ratio(wql_parts(paths, truth, levels))


def crps_sum(paths: np.ndarray, truth: np.ndarray) -> float:
    """CRPS-sum: wQL of the sum over channels, at the quantiles .05 .. .95 (Rasul et al. 2021, TimeGrad)."""
    return _ratio(crps_sum_parts(paths, truth))


def coverage(paths: np.ndarray, truth: np.ndarray, level: float = 0.8) -> float:
    """The share of truths inside the central `level` interval of the paths."""
    return _ratio(coverage_parts(paths, truth, level))


def interval(
    parts: Parts, *, level: float = 0.95, resamples: int = 1000, seed: int = 0, transform: Callable = float
) -> tuple[float, float]:
    """Bootstrap interval of a pooled score: windows drawn with replacement, percentiles of the recomputed score."""
    numerator, denominator = parts
    draws = np.random.default_rng(seed).integers(len(numerator), size=(resamples, len(numerator)))
    scores = numerator[draws].sum(1) / denominator[draws].sum(1)
    low, high = np.quantile(scores, ((1 - level) / 2, (1 + level) / 2))
    return transform(low), transform(high)
