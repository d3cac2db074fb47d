"""All measures of sampled chains, real ones and simple constructions, in one table."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from domains.proteins.chain import Backbone
from domains.proteins.evaluation import metrics, similarity

RESAMPLES = 500
MEDIANS = ("radius of gyration, ratio",)
KINDS = ("theta-tau", "phi-psi")


class Cell(NamedTuple):
    """A measure of a set of chains, and its interval: bootstrap over chains, 95 %; "" where there is none."""

    value: float
    interval: str


Column = dict[str, Cell]  # a cell a measure


def table(columns: Mapping[str, Column]) -> pd.DataFrame:
    """A row a measure; for each column one of values and one of intervals."""
    rows: dict[str, dict[str, str | float]] = {}
    for name, column in columns.items():
        for measure, cell in column.items():
            rows.setdefault(measure, {}).update({name: cell.value, f"{name}, interval": cell.interval})
    return pd.DataFrame.from_dict(rows, orient="index").reset_index(names="measure")


def histograms(chains: Sequence[Backbone]) -> dict[str, np.ndarray]:
    """How often real chains have each pair of angles, (36, 36), by kind."""
    return {kind: metrics.histogram(chains, kind).sum(0) for kind in KINDS}


def measured(chains: Sequence[Backbone], angles: Mapping[str, np.ndarray], seed: int = 0) -> Column:
    """Every measure of some chains.

    Args:
        chains: two or more, or the intervals mean nothing.
        angles: `histograms` of real chains, none of these.
        seed: of the resampling.

    Raises:
        MissingExtraError: without pydssp.
    """
    draws = _draws(len(chains), seed)
    found: dict[str, np.ndarray] = {}
    each = [metrics.of(chain) for chain in chains]
    for name in each[0]:
        values = np.array([one[name] for one in each])[draws]
        found[name] = np.median(values, 1) if name in MEDIANS else values.mean(1)
    turns = np.array([metrics.handed(chain) for chain in chains])[draws].sum(1)
    with np.errstate(invalid="ignore"):  # where there is no helix at all
        found["right-handed turns"] = turns[:, 0] / turns.sum(1)
    counts = np.stack([np.bincount(draw, minlength=len(chains)) for draw in draws])
    for kind in KINDS:
        own = metrics.histogram(chains, kind)
        summed = (counts @ own.reshape(len(chains), -1)).reshape(len(draws), *own.shape[1:])
        values = np.array([metrics.divergence(one, angles[kind]) for one in summed])
        # a resample has chains twice, and so a rougher histogram, which is further from any other
        values[1:] += values[0] - values[1:].mean()
        found[f"{kind} divergence, bits"] = values
    parts = [metrics.lengths_angles(chain) for chain in chains]
    for name in parts[0]:
        sums = np.array([[len(one[name]), one[name].sum(), np.square(one[name]).sum()] for one in parts])
        total, first, second = (counts @ sums).T
        found[f"{name}, mean"] = first / total
        found[f"{name}, spread"] = np.sqrt((second / total - (first / total) ** 2).clip(0))
    return {name: _cell(values) for name, values in found.items()}


def mean(values: Sequence[float], seed: int = 0) -> Cell:
    """The mean of a value for each chain, NaN for none."""
    there = np.array([value for value in values if np.isfinite(value)])
    return _cell(there[_draws(len(there), seed)].mean(1)) if len(there) else Cell(float("nan"), "")


def folds(chains: Sequence[Backbone], known: Sequence[Backbone], seed: int = 0) -> Column:
    """Measures by TM-score: how many folds there are, and how near the nearest known one is.

    Raises:
        MissingExtraError: without tmtools.
    """
    highest = similarity.nearest(chains, known)
    # a resample has chains twice, which are alike: no interval
    return {
        "folds per chain": Cell(similarity.diversity(chains), ""),
        "TM-score to the nearest real chain, median": _cell(np.median(highest[_draws(len(chains), seed)], 1)),
    }


def _draws(count: int, seed: int) -> np.ndarray:
    """Rows of chains, (1 + RESAMPLES, count): all of them first, then resamples."""
    again = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    return np.concatenate([np.arange(count)[None], again])


def _cell(values: np.ndarray) -> Cell:
    """Of a measure of all chains, and of its resamples behind."""
    there = values[1:][np.isfinite(values[1:])]
    if not len(there):
        return Cell(float(values[0]), "")
    low, high = np.quantile(there, (0.025, 0.975))
    return Cell(float(values[0]), f"{low:.3g} to {high:.3g}")
