"""What the image models are worth: steps, guidance, filling in, enlarging, and learning from 200 images.

    pip install -e ".[bench]"; export ZOO_DATA=/folder/that/holds/images
    python -m benchmarks.images choose       # the models' own guidance, on validation images
    python -m benchmarks.images quality      # scores against network evaluations, and against guidance
    python -m benchmarks.images editing      # beside biharmonic and bicubic interpolation
    python -m benchmarks.images few          # fine-tuned and trained from scratch on 200 images of a digit

Scores are those of `zoo evaluate`, in the features of the shipped classifiers. `quality` and
`editing` also draw docs/figures/images-*.png. From top to bottom these are what was given, what each way made
of it, and the originals.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Literal

import numpy as np
import torch
from PIL import Image
from scipy.spatial.distance import cdist

import zoo
from domains.images.data import Framing, read
from domains.images.evaluation import classifier, metrics
from domains.images.gallery import Gallery
from domains.images.recipes import EDM
from zoo.errors import OptionError

MODELS = ("images-edm", "images-flow")
EVALUATIONS = (5, 10, 20, 50)
WEIGHTS = (1.5, 2.0, 3.0)
SEEDS = (0, 1, 2)
FIGURES = Path(__file__).parents[1] / "docs/figures"


def spread(values: Sequence[float], digits: int) -> str:
    """Mean, lowest and highest."""
    return f"{mean(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    row(*cells)
    print("|" + "---|" * len(cells))


class Scores:
    """What is measured of images of every class in turn, against the images of a split."""

    columns = ("Fréchet", "KID", "precision", "recall", "two-sample test", "class accuracy")

    def __init__(self, split: Literal["validation", "test"], n: int) -> None:
        self.judge = classifier.load("fashion-mnist")
        self.real = read("fashion-mnist", Framing(), split=split)
        self.reference, self.asked = self.judge.features(self.real.pixels), np.arange(n) % 10

    def of(self, pixels: np.ndarray, labels: np.ndarray, seed: int) -> tuple[float, ...]:
        features = self.judge.features(pixels)
        return (
            metrics.frechet(features, self.reference),
            metrics.kid(features, self.reference),
            *metrics.precision_recall(self.reference, features),
            metrics.c2st(self.reference, features, seed),
            metrics.class_accuracy(self.judge.judge(features), labels),
        )

    def drawn(self, model: zoo.Model, steps: int | None, guidance: float) -> list[list[float]]:
        """A list of three seeds for each column."""
        label = self.asked.tolist()
        sheets = (
            model.sample(len(label), label=label, steps=steps, guidance=guidance, seed=seed) for seed in SEEDS
        )
        found = [self.of(sheet.pixels, self.asked, seed) for seed, sheet in zip(SEEDS, sheets, strict=True)]
        return np.transpose(found).tolist()

    def floor(self) -> list[list[float]]:
        """The same of as many training images of each class."""
        train, order = read("fashion-mnist", Framing(), split="train"), np.random.default_rng(0)
        sets = [metrics.in_proportion(order.permutation(len(train)), train.labels, self.asked) for _ in SEEDS]
        found = np.transpose(
            [
                self.of(train.pixels[part], train.labels[part], seed)
                for seed, part in zip(SEEDS, sets, strict=True)
            ]
        ).tolist()
        # the classifier was trained on those images: how many it takes for their class, it says of others
        found[-1] = [metrics.class_accuracy(self.judge.judge(self.reference), self.real.labels)]
        return found


def score_row(name: str, found: list[list[float]]) -> None:
    row(name, *(spread(values, 3 if i else 2) for i, values in enumerate(found)))


def choose(n: int) -> None:
    """Guidance against the validation images: what the recipes' own is chosen by."""
    scores = Scores("validation", n)
    head("", *scores.columns)
    score_row("real images", scores.floor())
    for name in MODELS:
        model = zoo.load(name)
        for weight in (1.0, 1.25, 1.5, 1.75):
            score_row(f"{name}, guidance {weight:g}", scores.drawn(model, None, weight))


def quality(n: int) -> None:
    """Network evaluations without guidance, and guidance at their own steps, against the test images."""
    scores = Scores("test", n)
    head("", *scores.columns)
    floors = scores.floor()
    score_row("real images", floors)
    by_steps, by_weight = {}, {}
    for name in MODELS:
        model = zoo.load(name)
        for steps in EVALUATIONS:
            by_steps[name, steps] = found = scores.drawn(model, steps, 1.0)
            score_row(f"{name}, {steps} steps", found)
        by_weight[name, 1.0] = by_steps[name, model.recipe.sampling.steps]
        for weight in WEIGHTS:
            by_weight[name, weight] = found = scores.drawn(model, None, weight)
            score_row(f"{name}, guidance {weight:g}", found)
    charts = {"Fréchet distance": 0}
    chart(by_steps, EVALUATIONS, floors, charts, "network evaluations", FIGURES / "images-steps.png")
    charts |= {"class accuracy": 5, "recall": 3}
    chart(by_weight, (1.0, *WEIGHTS), floors, charts, "guidance", FIGURES / "images-guidance.png")
    start = time.perf_counter()
    zoo.load(MODELS[0], device="cpu").sample(16)
    print(f"\nloading a model and drawing 16 images: {time.perf_counter() - start:.1f} s")


def chart(
    found: dict[tuple[str, float], list[list[float]]],
    places: Sequence[float],
    floors: list[list[float]],
    columns: dict[str, int],
    label: str,
    file: Path,
) -> None:
    """Some measures against `places`, a line a model, with the range of the seeds; dotted: real images."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(columns), 2.8), layout="constrained")
    for (title, i), axis in zip(columns.items(), np.ravel(figure.subplots(1, len(columns))), strict=True):
        for name in MODELS:
            values = np.array([found[name, place][i] for place in places])
            axis.plot(places, values.mean(1), marker="o", markersize=3, label=name)
            axis.fill_between(places, values.min(1), values.max(1), alpha=0.2)
        axis.axhline(mean(floors[i]), color="black", linestyle=":", label="real images")
        axis.set(xlabel=label, title=title, xticks=list(places))
    axis.legend()
    figure.savefig(file, dpi=120)


def editing(n: int) -> None:
    """Test images with a part hidden, and halved, brought back: by each model and by interpolation.

    Three sets of n images, each with noise of its own; mean, lowest and highest. Fréchet distances are to the
    test images behind these; PSNR is the mean of the images', over the pixels drawn.
    """
    from skimage.restoration import inpaint_biharmonic

    judge, real = classifier.load("fashion-mnist"), read("fashion-mnist", Framing(), split="test").pixels
    originals, reference = real[: len(SEEDS) * n], judge.features(real[len(SEEDS) * n :])
    sets = np.arange(len(originals)).reshape(-1, n)
    hidden = np.zeros(real.shape[-2:], bool)
    hidden[7:21, 7:21] = True
    small = originals.reshape(-1, 14, 2, 14, 2).mean((2, 4)).round().astype(np.uint8)

    def biharmonic(i: int, image: Image.Image) -> np.ndarray:
        return (inpaint_biharmonic(np.asarray(image) / 255, hidden) * 255).round().clip(0, 255)

    def bicubic(i: int, image: Image.Image) -> np.ndarray:
        return np.asarray(image.resize(real.shape[-2:], Image.Resampling.BICUBIC))

    def agreeing(i: int, image: Image.Image) -> np.ndarray:
        large = bicubic(i, image).astype(float)
        for _ in range(30):  # pixels end at 0 and 255
            means = large.reshape(14, 2, 14, 2).mean((1, 3))
            large = (large + (np.asarray(image) - means).repeat(2, 0).repeat(2, 1)).clip(0, 255)
        return large.round()

    def report(
        title: str,
        given: np.ndarray,
        shown: np.ndarray,
        drawn: np.ndarray,
        ways: dict[str, Callable[[int, Image.Image], np.ndarray]],
        file: str,
    ) -> None:
        rows = [shown[:10]]
        print(f"\n{title}, {len(sets)} sets of {n} test images\n")
        head("", "Fréchet", "PSNR, dB", "ms an image")

        def away(images: np.ndarray) -> str:
            features = judge.features(images)
            return spread([metrics.frechet(features[part], reference) for part in sets], 2)

        row("the originals", away(originals), "", "")
        for name, way in ways.items():
            start = time.perf_counter()
            made = np.stack([way(i, Image.fromarray(one)) for i, one in enumerate(given)])
            ms = (time.perf_counter() - start) * 1e3 / len(made)
            made = made.astype(np.uint8)[:, None]
            error = np.square(made / 255 - originals / 255)[..., drawn].mean((1, 2)).clip(1e-6)
            psnr = -10 * np.log10(error)
            row(name, away(made), spread([float(psnr[part].mean()) for part in sets], 2), f"{ms:.0f}")
            rows.append(made[:10])
        Gallery(np.concatenate([*rows, originals[:10]])).plot(FIGURES / file, columns=10)

    models = {name: zoo.load(name) for name in MODELS}
    fill = {
        name: lambda i, image, model=model: model.inpaint(image, hidden, seed=i).pixels[0, 0]
        for name, model in models.items()
    }
    enlarge = {
        name: lambda i, image, model=model: model.upscale(image, 2, seed=i).pixels[0, 0]
        for name, model in models.items()
    }
    masked = np.where(hidden, 127, originals).astype(np.uint8)
    ways = {"biharmonic": biharmonic} | fill
    report("The inner 14 x 14 pixels filled in", originals[:, 0], masked, hidden, ways, "images-filled.png")
    large = small.repeat(2, 1).repeat(2, 2)[:, None]
    ways = {"bicubic": bicubic, "bicubic, made to agree": agreeing} | enlarge
    everywhere = np.ones_like(hidden)
    report("14 x 14 enlarged to 28 x 28", small, large, everywhere, ways, "images-enlarged.png")


def few(n: int) -> None:
    """200 images of one digit: what a classifier of digits takes the drawn images for.

    The last columns tell learning from copying: the median distance to the nearest of the 200 images, in the
    classifier's features, over that of other real images; and how much of the real images is covered.
    """
    head("digit", "way", "seconds", "accepted", "Fréchet", "distance to the 200", "recall")
    for digit in (2, 4):
        few_of(digit, n)


def few_of(digit: int, n: int) -> None:
    judge = classifier.load("mnist")
    train, held, test = (read("mnist", Framing(), split=split) for split in ("train", "validation", "test"))
    own = np.concatenate([part.pixels[part.labels == digit] for part in (train, held)])
    own = own[np.random.default_rng(digit).permutation(len(own))]
    reference, given = judge.features(test.pixels[test.labels == digit]), judge.features(own[:200])

    def nearest(features: np.ndarray) -> float:
        return float(np.median(cdist(features, given).min(1)))

    usual = nearest(reference)

    def report(way: str, seconds: str, pixels: np.ndarray) -> None:
        features = judge.features(pixels)
        accepted = metrics.class_accuracy(judge.judge(features), np.full(len(pixels), digit))
        recall = metrics.precision_recall(reference, features)[1]
        away = nearest(features) / usual
        distance = metrics.frechet(features, reference)
        row(digit, way, seconds, f"{accepted:.3f}", f"{distance:.1f}", f"{away:.2f}", f"{recall:.2f}")

    data = (own[:200], [str(digit)] * 200)
    ways: dict[str, Callable[[], zoo.Model]] = {
        "fine-tuned": lambda: zoo.finetune(MODELS[0], data, show=False),
        "fine-tuned, augmented": lambda: zoo.finetune(augmenting(MODELS[0]), data, show=False),
    }
    for rate in (5e-4, 2e-3):
        recipe = replace(EDM, training=replace(EDM.finetuning, lr=rate))
        ways[f"from scratch, rate {rate:g}"] = lambda recipe=recipe: zoo.train(
            "images", data, recipe=recipe, show=False
        )
    for way, make in ways.items():
        start = time.perf_counter()
        model = make()
        seconds = f"{time.perf_counter() - start:.0f}"
        report(way, seconds, model.sample(n, label=str(digit)).pixels)
    report("other real images", "", own[200 : 200 + n])
    report("the 200 images", "", own[:200])


def augmenting(name: str) -> zoo.Model:
    """A model that is tuned on augmented images."""
    model = zoo.load(name)
    model.recipe = replace(model.recipe, augment=0.2)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {"choose": choose, "quality": quality, "editing": editing, "few": few}
    parser.add_argument("what", nargs="?", choices=(*parts, "all"), default="all")
    parser.add_argument("-n", type=int, default=500, help="images a score")
    parser.add_argument("--threads", type=int, default=2)
    chosen = parser.parse_args()
    if chosen.n < 100:
        raise OptionError("-n must be at least 100")
    torch.set_num_threads(chosen.threads)
    for what in parts if chosen.what == "all" else [chosen.what]:
        print(f"\n{what}, {chosen.n} images a score\n")
        parts[what](chosen.n)
