"""Scores of generated images against real ones, in the features of a classifier.

Features are floating-point arrays (N, D), images uint8 pixels (N, C, H, W). Nothing is subsampled: all pairs
of images count, block by block. Fréchet distance, precision, recall and C2ST depend on the number of images:
compare them at equal n only, and with the floor, which is what as many real images score.

Every measure is computed for all generated images and for random halves of them, whose spread gives the
interval (see `halves`). The classifier is taken as given, and the real images too, except by C2ST.

References: Heusel et al. (2017), "GANs trained by a two time-scale update rule converge to a local Nash
equilibrium"; Bińkowski et al. (2018), "Demystifying MMD GANs"; Kynkäänniemi et al. (2019), "Improved
precision and recall metric for assessing generative models"; Lopez-Paz & Oquab (2017), "Revisiting classifier
two-sample tests".
"""

from functools import cached_property

import numpy as np
import pandas as pd

from domains.images.evaluation import halves, pairs, two_sample
from domains.images.evaluation.classifier import Classifier, check_pixels
from zoo.errors import DataError

NEIGHBOURS = 5  # k of precision and recall
BOUNDS = {"Fréchet distance": (0, np.inf), "KID": (-np.inf, np.inf)}  # of all others 0 and 1
FEWEST = 20  # images: their halves still have neighbours


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet distance between the Gaussians of the same moments (Heusel et al. 2017, equation 6).

    |μa − μb|² + tr(A + B − 2 (B^½ A B^½)^½). Sets of one distribution still score about 1/N + 1/M times a
    constant.

    Args:
        a, b: features (N, D) and (M, D), also where N or M is below D.

    Raises:
        DataError: if they are no such arrays of finite numbers, of at least two images each.
    """
    a, b = _checked(a, b)
    return float(_frechet(a, _Reference(b), np.ones((1, len(a)), bool))[0])


def kid(a: np.ndarray, b: np.ndarray) -> float:
    """Squared maximum mean discrepancy under the kernel (x·y/D + 1)³ (Bińkowski et al. 2018, section 4).

    Unbiased, hence negative at times; over all pairs, not a mean over small subsets. Arguments and errors
    are those of `frechet`.
    """
    a, b = _checked(a, b)
    return float(_kid(a, _Reference(b), np.ones((1, len(a)), bool))[0])


def precision_recall(real: np.ndarray, fake: np.ndarray, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Improved precision and recall (Kynkäänniemi et al. 2019, equations 1, 2).

    Precision is the share of `fake` that lies inside a ball around an image of `real` that reaches to the
    k-th neighbour of the latter in `real`; recall is the same with the roles exchanged.

    Args:
        real, fake: features (N, D) and (M, D).
        k: which neighbour the balls reach to.

    Raises:
        DataError: as `frechet`, or if a set has `k` images or fewer.
    """
    real, fake = _checked(real, fake)
    if not 1 <= k < min(len(real), len(fake)):
        raise DataError(f"{k} is no number of neighbours that {len(real)} and {len(fake)} images have")
    reference, whole = _Reference(real, k), np.ones((1, len(fake)), bool)
    return float(_precision(fake, reference, whole)[0]), float(_recall(fake, reference, whole)[0])


def c2st(real: np.ndarray, fake: np.ndarray, seed: int = 0) -> float:
    """Held-out accuracy of a classifier that tells `fake` from `real` (Lopez-Paz & Oquab 2017).

    Logistic regression on the features and their squares, five-fold; each set has half the weight, whatever
    the numbers. 0.5: it cannot tell them apart. Images that are in both sets pull it below.

    Args:
        real, fake: features (N, D) and (M, D), of at least five images each.
        seed: of the folds.

    Raises:
        DataError: as `frechet`.
    """
    real, fake = _checked(real, fake, fewest=two_sample.FOLDS)
    return float(_c2st(fake, _Reference(real), np.ones((1, len(fake)), bool), seed)[0])


def class_accuracy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Share of images that a classifier takes for what they were asked to be.

    Args:
        probabilities: (N, classes).
        labels: (N,), integers from 0 to less than `classes`.

    Raises:
        DataError: if shapes or labels are anything else.
    """
    return float(_recognised(probabilities, labels).mean())


def score(
    fake: np.ndarray,
    real: np.ndarray,
    floor: np.ndarray,
    classifier: Classifier,
    labels: np.ndarray | None = None,
    *,
    floor_labels: np.ndarray | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """All scores of generated images, in a table.

    Args:
        fake: generated images, uint8 (n, C, H, W).
        real: those they are compared with, uint8 (N, C, H, W).
        floor: other real images, uint8, at least n; a random n of them are scored as `fake` is, as many of
            each class if all classes are told.
        classifier: in whose features; see `classifier.load`.
        labels: (n,), what class each of `fake` was to be; adds the row "class accuracy".
        floor_labels: the classes of `floor`, for the floor of that row.
        resamples: halves of `fake` behind the intervals; 0 leaves these out (NaN).
        seed: of the halves, of the images of `floor`, of the folds.

    Returns:
        One row a score, with columns value; low and high, its 95 % interval over other n images of the same
        model; floor, the value of `floor`; n.

    Raises:
        DataError: if pixels or labels are anything else, or there are fewer than 20 images of a kind.
        OptionError: if `resamples` is 1 or negative.
    """
    for pixels in (fake, real, floor):
        check_pixels(pixels)
    n, counts = len(fake), f"{len(fake)} images, {len(real)} real ones and {len(floor)} as floor"
    if min(n, len(real)) < FEWEST or len(floor) < n:
        raise DataError(
            f"{counts}: {FEWEST} of each are needed, and as many for the floor as there are to score"
        )
    if not fake.shape[1:] == real.shape[1:] == floor.shape[1:]:
        raise DataError(f"{counts} are {fake.shape[1:]}, {real.shape[1:]} and {floor.shape[1:]}, not alike")
    if floor_labels is not None and len(floor_labels) != len(floor):
        raise DataError(f"{len(floor_labels)} floor_labels for {len(floor)} images")
    chosen = np.random.default_rng(seed).permutation(len(floor))
    if labels is not None and floor_labels is not None:
        chosen = in_proportion(chosen, floor_labels, labels)
    chosen = chosen[:n]
    draws = halves.draw(n, resamples, seed)
    made, held = classifier.features(fake), classifier.features(floor[chosen])
    classes, known = {}, np.array([np.nan])
    if labels is not None:
        classes = {"class accuracy": halves.mean(draws, _recognised(classifier.judge(made), labels))}
        if floor_labels is not None:
            known = halves.mean(draws[:1], _recognised(classifier.judge(held), floor_labels[chosen]))
    reference = _Reference(classifier.features(real))
    values = _measures(made, reference, draws, seed) | classes
    floors = _measures(held, reference, draws[:1], seed) | {"class accuracy": known}
    table = {
        name: [*halves.interval(drawn, *BOUNDS.get(name, (0, 1))), floors[name][0], n]
        for name, drawn in values.items()
    }
    frame = pd.DataFrame.from_dict(table, orient="index", columns=["value", "low", "high", "floor", "n"])
    return frame.astype({"n": int})


def in_proportion(order: np.ndarray, labels: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The first indices in an order whose labels are as many of each class as those wanted.

    >>> in_proportion(np.array([3, 2, 1, 0]), np.array([0, 0, 1, 1]), np.array([0, 1, 1])).tolist()
    [1, 3, 2]

    Raises:
        DataError: if there are not as many.
    """
    parts = []
    for label, count in zip(*np.unique(wanted, return_counts=True), strict=True):
        part = order[labels[order] == label][:count]
        if len(part) < count:
            raise DataError(f"{len(part)} real images of class {label} as floor, but {count} to score")
        parts.append(part)
    return np.concatenate(parts)


class _Reference:
    """Features of the real images, and what every comparison with them needs, computed once."""

    def __init__(self, features: np.ndarray, k: int = NEIGHBOURS) -> None:
        self.features, self.k = features.astype(float), k

    @cached_property
    def gaussian(self) -> tuple[np.ndarray, float, np.ndarray]:
        """Mean, trace of the covariance, root of the covariance."""
        mean, covariance = _moments(self.features)
        values, vectors = np.linalg.eigh(covariance)
        return mean, covariance.trace(), vectors * np.sqrt(values.clip(0)) @ vectors.T

    @cached_property
    def kernel(self) -> float:
        """Mean of the kernel over pairs of different images."""
        x, total = self.features, 0.0
        for rows in pairs.blocks(len(x), len(x)):
            own, later = pairs.cubic(x[rows], x[rows]), pairs.cubic(x[rows], x[rows.stop :])
            total += own.sum() - own.trace() + 2 * later.sum()
        return total / (len(x) * (len(x) - 1))

    @cached_property
    def reach(self) -> np.ndarray:
        """Squared distance of each image to its k-th neighbour, (N,)."""
        return pairs.nearest(self.features, self.k)[1][:, -1]


def _measures(features: np.ndarray, real: _Reference, draws: np.ndarray, seed: int) -> dict[str, np.ndarray]:
    """Every measure of every draw."""
    fake = features.astype(float)
    return {
        "Fréchet distance": _frechet(fake, real, draws),
        "KID": _kid(fake, real, draws),
        "precision": _precision(fake, real, draws),
        "recall": _recall(fake, real, draws),
        "C2ST": _c2st(fake, real, draws, seed),
    }


# The measures below take `fake` (n, D) and `draws` (R, n), bool: which images count. They return (R,).


def _frechet(fake: np.ndarray, real: _Reference, draws: np.ndarray) -> np.ndarray:
    real_mean, real_trace, root = real.gaussian
    values = []
    for chosen in draws:
        mean, covariance = _moments(fake[chosen])
        # The product of covariances is not symmetric and its root may turn out complex; this one has the
        # same eigenvalues.
        roots = np.sqrt(np.linalg.eigvalsh(root @ covariance @ root).clip(0)).sum()
        values.append(np.square(mean - real_mean).sum() + real_trace + covariance.trace() - 2 * roots)
    return np.array(values).clip(0)


def _kid(fake: np.ndarray, real: _Reference, draws: np.ndarray) -> np.ndarray:
    weights, count = draws.astype(float), draws.sum(axis=1)
    within, across = np.zeros(len(draws)), np.zeros(len(draws))
    for rows in pairs.blocks(len(fake), len(fake)):
        kernel = pairs.cubic(fake[rows], fake)
        np.fill_diagonal(kernel[:, rows], 0)
        within += np.einsum("rn,rn->r", weights[:, rows] @ kernel, weights)
    for rows in pairs.blocks(len(fake), len(real.features)):
        across += weights[:, rows] @ pairs.cubic(fake[rows], real.features).mean(axis=1)
    return within / (count * (count - 1)) + real.kernel - 2 * across / count


def _precision(fake: np.ndarray, real: _Reference, draws: np.ndarray) -> np.ndarray:
    inside = [
        (pairs.squared(fake[rows], real.features) <= real.reach).any(axis=1)
        for rows in pairs.blocks(len(fake), len(real.features))
    ]
    return halves.mean(draws, np.concatenate(inside))


def _recall(fake: np.ndarray, real: _Reference, draws: np.ndarray) -> np.ndarray:
    # The k-th neighbour inside a draw is among the first `depth` of all but for one draw in 10⁹.
    depth = min(len(fake) - 1, real.k if draws.all() else 12 * real.k + 20)
    neighbours, distances = pairs.nearest(fake, depth)
    reach = np.full(draws.shape, -np.inf)  # an image that is not drawn covers nothing
    for drawn, chosen in zip(reach, draws, strict=True):
        which = (chosen[neighbours].cumsum(axis=1) < real.k).sum(axis=1).clip(max=depth - 1)
        drawn[chosen] = np.take_along_axis(distances, which[:, None], axis=1)[chosen, 0]
    covered, farthest = np.zeros(len(draws)), distances[:, -1]
    for rows in pairs.blocks(len(real.features), len(fake)):
        squared = pairs.squared(real.features[rows], fake)
        image, ball = np.nonzero(squared <= farthest)  # few pairs, so the draws cost little
        squared = squared[image, ball]
        for draw, drawn in enumerate(reach):
            inside = np.zeros(rows.stop - rows.start, bool)
            inside[image[squared <= drawn[ball]]] = True
            covered[draw] += inside.sum()
    return covered / len(real.features)


def _c2st(fake: np.ndarray, real: _Reference, draws: np.ndarray, seed: int) -> np.ndarray:
    told, told_real = two_sample.recognised(fake, real.features, seed)
    # Half of what is judged are real images, so the interval is too narrow unless they are drawn as well.
    draws_real = halves.draw(len(told_real), len(draws) - 1, seed + 1)
    return (halves.mean(draws, told) + halves.mean(draws_real, told_real)) / 2


def _recognised(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the most probable class of each image is its label: (N,)."""
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or labels.dtype.kind not in "iu":
        raise DataError(
            f"probabilities {probabilities.shape} and labels {labels.shape}, {labels.dtype}: (N, classes) "
            "and (N,) integers are wanted"
        )
    if not len(labels) or labels.min() < 0 or labels.max() >= probabilities.shape[1]:
        raise DataError(f"labels must be from 0 to {probabilities.shape[1] - 1}, one for each of the images")
    return probabilities.argmax(axis=1) == labels


def _checked(*sets: np.ndarray, fewest: int = 2) -> list[np.ndarray]:
    """The features in double precision."""
    for x in sets:
        if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.ndim != 2:
            kind = f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else type(x).__name__
            raise DataError(f"features are {kind}; floating-point (N, D) is wanted: see Classifier.features")
        if len(x) < fewest or x.shape[1] != sets[0].shape[1] or not np.isfinite(x).all():
            shapes = " and ".join(str(y.shape) for y in sets)
            raise DataError(f"features {shapes}: one width is needed, {fewest} images, finite numbers")
    return [x.astype(float) for x in sets]


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    mean = x.mean(axis=0)
    centred = x - mean
    return mean, centred.T @ centred / (len(x) - 1)
