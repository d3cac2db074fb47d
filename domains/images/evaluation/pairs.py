"""All pairs of the rows of two arrays (N, D) and (M, D), some rows at a time."""

from collections.abc import Iterator

import numpy as np

BLOCK = 2**22  # entries of a matrix of pairs that is held at once


def blocks(rows: int, columns: int) -> Iterator[slice]:
    """Slices of the rows of a matrix of this shape, each of about `BLOCK` entries."""
    height = max(1, BLOCK // columns)
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows))


def cubic(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The kernel (x·y/D + 1)³, (N, M)."""
    base = a @ b.T / a.shape[1] + 1
    return base * base * base


def squared(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared distances, (N, M)."""
    distances = a @ (-2 * b.T)
    distances += np.square(a).sum(axis=1)[:, None]
    distances += np.square(b).sum(axis=1)
    return distances


def nearest(x: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other rows of each row, in order: their indices and squared distances, both (N, depth)."""
    found = []
    for rows in blocks(len(x), len(x)):
        distances = squared(x[rows], x)
        np.fill_diagonal(distances[:, rows], np.inf)
        chosen = np.argpartition(distances, depth - 1, axis=1)[:, :depth]
        values = np.take_along_axis(distances, chosen, axis=1)
        order = values.argsort(axis=1)
        found.append((np.take_along_axis(chosen, order, axis=1), np.take_along_axis(values, order, axis=1)))
    return np.concatenate([i for i, _ in found]), np.concatenate([v for _, v in found])
