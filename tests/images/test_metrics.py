"""Scores with answers known in closed form, or by brute force; the shipped classifiers; the floors."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from domains.images.evaluation import classifier, halves, inception, metrics
from domains.images.evaluation.classifier import SHIPPED, Network, restore
from domains.images.evaluation.metrics import (
    c2st,
    class_accuracy,
    frechet,
    kid,
    precision_recall,
)
from zoo.errors import CheckpointError, DataError, MissingExtraError, OptionError

FOLDER = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "images"
real_data = pytest.mark.skipif(
    not (FOLDER / "fashion_mnist").is_dir(),
    reason="no real data: set ZOO_DATA to the folder that holds images/",
)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def fashion() -> classifier.Classifier:
    return classifier.load("fashion-mnist")


def exact(rng: np.random.Generator, mean: np.ndarray, covariance: np.ndarray, n: int = 50) -> np.ndarray:
    """Rows with exactly these sample moments."""
    x = rng.normal(size=(n, len(mean)))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T @ np.linalg.cholesky(covariance).T + mean


def pictures(rng: np.random.Generator, n: int, noise: float = 0.0) -> np.ndarray:
    """Bright ellipses on black, (n, 1, 28, 28), with noise of this deviation on the scale from −1 to 1."""
    rows, columns = np.mgrid[:28, :28]
    centre, radius = rng.uniform(10, 18, (2, n, 1, 1)), rng.uniform(4, 12, (2, n, 1, 1))
    inside = ((rows - centre[0]) / radius[0]) ** 2 + ((columns - centre[1]) / radius[1]) ** 2 < 1
    grey = inside * rng.uniform(80, 255, (n, 1, 1)) + 127.5 * noise * rng.normal(size=inside.shape)
    return grey.clip(0, 255).astype(np.uint8)[:, None]


# Fréchet distance


def test_frechet_of_known_moments(rng):
    """Covariances that commute: |μ|² + Σ (√a − √b)²."""
    a = exact(rng, np.array([1.0, 2.0, 0.0]), np.diag([1.0, 4.0, 9.0]))
    b = exact(rng, np.array([0.0, 0.0, 0.0]), np.diag([4.0, 4.0, 1.0]))
    assert frechet(a, b) == pytest.approx(5 + 1 + 0 + 4)
    assert frechet(b, a) == pytest.approx(10)


def test_frechet_of_covariances_that_do_not_commute(rng):
    roots = rng.normal(size=(2, 4, 4))
    first, second = (root @ root.T + np.eye(4) for root in roots)
    a, b = exact(rng, np.ones(4), first), exact(rng, np.zeros(4), second)
    expected = 4 + np.trace(first + second - 2 * np.real(sqrtm(first @ second)))
    assert frechet(a, b) == pytest.approx(expected)


def test_frechet_where_images_are_fewer_than_features(rng):
    a = rng.normal(size=(10, 40))
    assert frechet(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet(a, a + 3) == pytest.approx(9 * 40)


# KID


def brute_kid(a: np.ndarray, b: np.ndarray) -> float:
    def mean(x: np.ndarray, y: np.ndarray) -> float:
        same = x is y
        values = [
            (p @ q / len(p) + 1) ** 3 for i, p in enumerate(x) for j, q in enumerate(y) if not same or i != j
        ]
        return float(np.mean(values))

    return mean(a, a) + mean(b, b) - 2 * mean(a, b)


def test_kid_is_the_double_sum(rng, monkeypatch):
    a, b = rng.normal(size=(13, 5)), rng.normal(size=(17, 5)) + 1
    assert kid(a, b) == pytest.approx(brute_kid(a, b))
    monkeypatch.setattr("domains.images.evaluation.pairs.BLOCK", 40)  # some rows at a time
    assert kid(a, b) == pytest.approx(brute_kid(a, b))


def test_kid_of_one_distribution_is_zero_on_average(rng):
    """With each image paired with itself as well it would be 2/n E[k(x, x) − k(x, y)] = 1.09 here."""
    values = [kid(*rng.normal(size=(2, 20, 3))) for _ in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / 20 < 0.1


# precision and recall


def brute_precision_recall(real: np.ndarray, fake: np.ndarray, k: int) -> tuple[float, float]:
    across = cdist(real, fake)
    reach, made_reach = (np.sort(cdist(x, x), axis=1)[:, k] for x in (real, fake))
    return (across <= reach[:, None]).any(axis=0).mean(), (across <= made_reach).any(axis=1).mean()


@pytest.mark.parametrize("k", [1, 5])
def test_precision_and_recall_by_brute_force(rng, monkeypatch, k):
    real, fake = rng.normal(size=(60, 3)), rng.normal(size=(45, 3)) * 0.7 + 0.5
    assert precision_recall(real, fake, k) == brute_precision_recall(real, fake, k)
    monkeypatch.setattr("domains.images.evaluation.pairs.BLOCK", 100)
    assert precision_recall(real, fake, k) == brute_precision_recall(real, fake, k)


def test_precision_and_recall_of_the_same_and_of_others(rng):
    x = rng.normal(size=(50, 4))
    assert precision_recall(x, x) == (1, 1)
    assert precision_recall(x, x + 100) == (0, 0)
    few = x[:1] + 1e-6 * rng.normal(size=(50, 4))  # one image again and again
    assert precision_recall(x, few) == (1, pytest.approx(0, abs=0.02))


def test_halves_score_as_the_sets_they_are(rng):
    """Recall and KID take the halves out of sums over all pairs."""
    real, fake = rng.normal(size=(50, 3)), rng.normal(size=(40, 3)) * 0.8
    reference, draws = metrics._Reference(real), halves.draw(40, 6, seed=1)
    precision, recall = np.transpose([brute_precision_recall(real, fake[chosen], 5) for chosen in draws])
    assert metrics._precision(fake, reference, draws) == pytest.approx(precision)
    assert metrics._recall(fake, reference, draws) == pytest.approx(recall)
    assert metrics._kid(fake, reference, draws) == pytest.approx(
        [kid(fake[chosen], real) for chosen in draws]
    )


# classifiers


def test_c2st_of_one_distribution_and_of_two(rng):
    a, b = rng.normal(size=(2, 600, 8))
    assert c2st(a, b) == pytest.approx(0.5, abs=0.05)
    assert c2st(a, b + 10) == 1
    assert c2st(a, b[:60] * 5) > 0.9  # of another spread alone, and in other numbers
    assert c2st(a[:, :1] * 0, b[:, :1] * 0) == 0.5


def test_c2st_finds_what_the_best_rule_finds(rng):
    """N(0, 1) against N(1, 1): told at Φ(1/2) = .6915."""
    a, b = rng.normal(size=(2, 4000, 1))
    assert c2st(a, b + 1) == pytest.approx(0.6915, abs=0.02)


def test_class_accuracy():
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.5, 0.5]])
    assert class_accuracy(probabilities, np.array([0, 1, 1, 0])) == 0.75
    with pytest.raises(DataError, match="from 0 to 1"):
        class_accuracy(probabilities, np.array([0, 1, 2, -1]))
    with pytest.raises(DataError, match="integers are wanted"):
        class_accuracy(probabilities, np.array([0.0, 1.0, 1.0, 0.0]))


def test_interval_of_a_share_is_the_binomial_one(rng):
    right = rng.random(2000) < 0.3
    value, low, high = halves.interval(halves.mean(halves.draw(2000, 2000, seed=0), right), 0, 1)
    assert value == right.mean()
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.3 * 0.7 / 2000), rel=0.1)


# the shipped classifiers


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_classifier(name, rng):
    loaded = classifier.load(name)
    x = rng.integers(256, size=(300, 1, 20, 24)).astype(np.uint8)
    features, probabilities = loaded.features(x), loaded.probabilities(x)
    assert features.shape == (300, 128) and features.dtype == np.float32
    assert probabilities.shape == (300, 10) and probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (loaded.predict(x) == probabilities.argmax(axis=1)).all()
    assert loaded.features(x[[7, 280]]) == pytest.approx(features[[7, 280]], abs=1e-4)  # whatever the batch
    assert (classifier.HERE / f"{name}.safetensors").stat().st_size <= 2_000_000


@pytest.mark.parametrize("place", [3, 100, -1])
def test_altered_weights_are_refused(tmp_path, place):
    data = bytearray((classifier.HERE / "fashion-mnist.safetensors").read_bytes())
    copy = tmp_path / "fashion-mnist.safetensors"
    copy.write_bytes(data)
    classifier.load("fashion-mnist", tmp_path)
    data[place] ^= 1
    copy.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"fashion-mnist\.safetensors: sha256 differs"):
        classifier.load("fashion-mnist", tmp_path)


def test_missing_or_foreign_weights_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="cannot be read"):
        classifier.load("mnist", tmp_path)
    with pytest.raises(OptionError, match="there are fashion-mnist, mnist"):
        classifier.load("imagenet")
    with pytest.raises(CheckpointError, match=r"tensor 'body\.0\.0\.weight' is F32 \[16, 3, 3, 3\]"):
        restore(save(Network(3, 10).state_dict()), 1, SHIPPED["mnist"].classes, where="colour")
    with pytest.raises(CheckpointError, match="not a valid safetensors file"):
        restore(b"rubbish", 1, SHIPPED["mnist"].classes, where="here")


def test_colour_and_small_images():
    torch.manual_seed(0)
    colour = restore(save(Network(3, 4).state_dict()), 3, tuple("abcd"), where="here")
    assert colour.features(np.zeros((2, 3, 16, 16), np.uint8)).shape == (2, 128)


@pytest.mark.parametrize(
    "pixels, message",
    [
        (np.zeros((2, 1, 28, 28)), "pixels are float64; a uint8 array"),
        ([[0]], "pixels are list"),
        (np.zeros((2, 28, 28), np.uint8), r"\(2, 28, 28\); \(N, C, H, W\) is wanted"),
        (np.zeros((0, 1, 28, 28), np.uint8), "N of at least 1"),
        (np.zeros((2, 3, 28, 28), np.uint8), r"takes \(N, 1, H, W\)"),
        (np.zeros((2, 1, 28, 15), np.uint8), "at least 16"),
    ],
)
def test_what_is_no_image_is_refused(fashion, pixels, message):
    with pytest.raises(DataError, match=message):
        fashion.features(pixels)


@pytest.mark.parametrize("measure", [frechet, kid, precision_recall, c2st])
def test_what_are_no_features_is_refused(measure):
    good, bad = np.eye(9), np.eye(9)
    bad[0, 0] = np.nan
    for wrong, message in [
        (np.zeros((9, 9), np.uint8), r"features are uint8 \(9, 9\); floating-point"),
        (np.zeros((9, 1, 3, 3)), r"floating-point \(N, D\) is wanted"),
        (good[:, :4], "one width is needed"),
        (good[:1], "images, finite numbers"),
        (bad, "finite numbers"),
    ]:
        with pytest.raises(DataError, match=message):
            measure(good, wrong)


def test_too_many_neighbours_are_refused():
    with pytest.raises(DataError, match="9 is no number of neighbours that 9 and 9 images have"):
        precision_recall(np.eye(9), np.eye(9), k=9)


# score


@pytest.fixture(scope="module")
def parts() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    return {"fake": pictures(rng, 60, 0.1), "real": pictures(rng, 80), "floor": pictures(rng, 70)}


def test_score_is_the_measures(fashion, parts):
    labels = np.arange(60) % 10
    table = metrics.score(**parts, classifier=fashion, labels=labels, floor_labels=np.arange(70) % 10)
    a, b = fashion.features(parts["fake"]), fashion.features(parts["real"])
    precision, recall = precision_recall(b, a)
    right = class_accuracy(fashion.probabilities(parts["fake"]), labels)
    assert table["value"].to_dict() == pytest.approx(
        {
            "Fréchet distance": frechet(a, b),
            "KID": kid(a, b),
            "precision": precision,
            "recall": recall,
            "C2ST": c2st(b, a),
            "class accuracy": right,
        }
    )
    assert list(table.columns) == ["value", "low", "high", "floor", "n"]
    assert (table["low"] <= table["high"]).all() and table.notna().all(axis=None)
    assert (table["n"] == 60).all()
    assert table.loc["Fréchet distance", "floor"] < table.loc["Fréchet distance", "low"]


def test_score_does_not_depend_on_the_order(fashion, parts, rng):
    mixed = {name: rng.permutation(pixels) for name, pixels in parts.items() if name != "floor"}
    table, other = (metrics.score(**x, classifier=fashion, resamples=5) for x in (parts, parts | mixed))
    ordered = ["Fréchet distance", "KID", "precision", "recall"]  # the folds of C2ST are drawn by place
    assert "class accuracy" not in table.index
    assert other.loc[ordered, ["value", "floor"]].to_numpy() == pytest.approx(
        table.loc[ordered, ["value", "floor"]].to_numpy(), abs=1e-4
    )
    again = metrics.score(**parts, classifier=fashion, resamples=5)
    assert again.equals(table)


def test_score_refuses_what_it_cannot_compare(fashion, parts):
    for change, error, message in [
        ({"floor": parts["floor"][:50]}, DataError, "60 images, 80 real ones and 50 as floor"),
        ({"fake": parts["fake"][:10]}, DataError, "20 of each are needed"),
        ({"fake": parts["fake"][..., 1:]}, DataError, "not alike"),
        ({"fake": parts["fake"] / 255}, DataError, "pixels are float64"),
        ({"floor_labels": np.zeros(3, int)}, DataError, "3 floor_labels for 70 images"),
        ({"labels": np.full(60, -1)}, DataError, "labels must be from 0 to 9"),
        ({"resamples": 1}, OptionError, "2 resamples or more"),
        ({"resamples": -1}, OptionError, "2 resamples or more"),
    ]:
        with pytest.raises(error, match=message):
            metrics.score(**(parts | change), classifier=fashion)


def test_intervals_can_be_left_out(fashion, parts):
    table = metrics.score(**parts, classifier=fashion, resamples=0)
    assert table[["low", "high"]].isna().all(axis=None)
    assert table[["value", "floor"]].notna().all(axis=None)


def test_noise_on_made_images_is_noticed_more_the_more_there_is(fashion, rng):
    clean = fashion.features(pictures(rng, 400))
    levels = [fashion.features(pictures(rng, 400, noise)) for noise in (0, 0.05, 0.1, 0.2, 0.4)]
    for measure in (frechet, kid):
        distances = [measure(x, clean) for x in levels]
        assert distances == sorted(distances)
    assert c2st(clean, levels[-1]) > 0.9


# real data


@pytest.fixture(scope="module")
def garments() -> dict[str, np.ndarray]:
    with np.load(FOLDER / "fashion_mnist" / "fashion_mnist.npz") as arrays:
        return {
            "train": arrays["x_train"][:1000, None],
            "test": arrays["x_test"][:2000, None],
            "labels": arrays["y_test"][:2000].astype(np.int64),
        }


@real_data
def test_fashion_mnist_accuracy_and_floors(fashion, garments):
    """Train against test at n = 1,000; the bounds leave room for other thousands."""
    features = fashion.features(garments["test"])
    assert class_accuracy(fashion.judge(features), garments["labels"]) >= 0.92
    train, test = fashion.features(garments["train"]), features[:1000]
    assert frechet(test, train) == pytest.approx(1.8, rel=0.4)
    assert kid(test, train) == pytest.approx(0, abs=0.02)
    assert precision_recall(train, test) == pytest.approx((0.9, 0.9), abs=0.08)
    assert c2st(train, test) == pytest.approx(0.5, abs=0.05)


@real_data
def test_noise_on_real_images_is_noticed_more_the_more_there_is(fashion, garments, rng):
    train, distances = fashion.features(garments["train"]), []
    for noise in (0, 0.05, 0.1, 0.2):
        test = garments["test"][:1000] + 127.5 * noise * rng.normal(size=(1000, 1, 28, 28))
        distances.append(frechet(fashion.features(test.clip(0, 255).round().astype(np.uint8)), train))
    assert distances == sorted(distances)
    assert distances[-1] > 3 * distances[0]


@real_data
def test_mnist_accuracy():
    with np.load(FOLDER / "mnist" / "mnist.npz") as arrays:
        x, y = arrays["x_test"][:1000, None], arrays["y_test"][:1000]
    assert (classifier.load("mnist").predict(x) == y).mean() >= 0.98


class Means(torch.nn.Module):
    """Features that anyone can compute: the mean of each half of an image."""

    num_features = 2

    def forward(self, images):
        assert images.dtype == torch.uint8 and images.shape[1] == 3
        return images.double().flatten(2).unflatten(2, (2, -1)).mean((1, 3))


@pytest.mark.parametrize("channels", [1, 3])
def test_the_distance_of_inception_is_that_of_gaussians(rng, channels):
    pytest.importorskip("torchmetrics")
    a, b = (rng.integers(low, 256, (150, channels, 8, 8)).astype(np.uint8) for low in (0, 60))
    features = [Means()(torch.from_numpy(x).expand(-1, 3, -1, -1)).numpy() for x in (a, b)]
    found = inception.distance(a, b, Means())
    assert found == pytest.approx(frechet(*features), rel=1e-4)
    with pytest.raises(DataError, match="1 images have no spread"):
        inception.distance(a[:1], b, Means())


def test_without_torchmetrics_the_extra_is_named(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics.image.fid", None)
    images = rng.integers(0, 256, (4, 1, 8, 8)).astype(np.uint8)
    with pytest.raises(MissingExtraError, match=r"diffusion-zoo\[inception\]"):
        inception.distance(images, images, Means())
