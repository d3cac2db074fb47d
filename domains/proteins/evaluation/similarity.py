"""How alike folds are: TM-scores (Zhang & Skolnick 2004), through tmtools."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from domains.proteins.chain import Backbone
from zoo.errors import MissingExtraError

ALIKE = 0.6  # TM-score of chains that count as one fold


def library() -> Any:
    """tmtools.

    Raises:
        MissingExtraError: without it.
    """
    try:
        import tmtools
    except ImportError as error:
        raise MissingExtraError("tmtools", "tm") from error
    return tmtools


def tm_score(a: Backbone, b: Backbone) -> float:
    """TM-score of the best alignment, by the length of the shorter chain; 1 for the same fold.

    Raises:
        MissingExtraError: without tmtools.
    """
    found = library().tm_align(a.ca.astype(float), b.ca.astype(float), a.sequence, b.sequence)
    return float(max(found.tm_norm_chain1, found.tm_norm_chain2))


def diversity(chains: Sequence[Backbone]) -> float:
    """Folds, by single linkage at a TM-score of 0.6, per chain: 1 if no two are alike."""
    from scipy.sparse.csgraph import connected_components

    alike = np.eye(len(chains), dtype=bool)
    for i, one in enumerate(chains):
        for j in range(i):
            alike[i, j] = tm_score(one, chains[j]) >= ALIKE
    return connected_components(alike, directed=False)[0] / len(chains)


def nearest(chains: Sequence[Backbone], known: Sequence[Backbone]) -> np.ndarray:
    """The highest TM-score of each chain to one that is known, (chains,): low if it is a new fold."""
    return np.array([max(tm_score(one, other) for other in known) for one in chains])
