"""Images: drawn by class, filled in, edited, enlarged, blended.

data/         reading folders, tables, arrays and named data sets
backbone.py   the U-Net and the diffusion transformer
text.py       the encoder of captions
recipes.py    how the models are made
adapter.py    between pixels and what the network sees
dataset.py    training batches; augment.py changes some of their images
model.py      the verbs
gallery.py    what they give back; pictures.py: what is read
evaluation/   Fréchet distance, KID, precision and recall, two-sample test, in a classifier's features;
              the Fréchet distance in Inception's
"""

import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from domains.images.adapter import ImageAdapter, check_classes, fitted, restored
from domains.images.backbone import DiT, DiTSize, UNet, UNetSize, coarsest, network
from domains.images.gallery import Gallery
from domains.images.model import ImageModel
from domains.images.pictures import Pictures
from domains.images.recipes import EDM, RECIPES, ImageRecipe
from domains.images.text import TextEncoder
from zoo.domain import Domain, EvaluateRequest, SampleRequest, Split, option
from zoo.engine import PATHS, NetworkDenoiser
from zoo.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

    from domains.images.dataset import ImageItems


WORD_WIDTH = 64  # where the data have captions and the recipe does not say


@dataclass(frozen=True, kw_only=True)
class DrawRequest(SampleRequest):
    """What `zoo sample` can ask of images."""

    in_folder = True

    data: Path | None = option(None, "Edit this image, in place of drawing from nothing.")
    out: Path | None = option(None, "Write each image to a PNG file in this folder.")
    plot: Path | None = option(None, "Draw all images on one sheet (.png).")
    label: str | None = option(None, "A class, by name. [default: any]")
    caption: str | None = option(None, "What to draw in words, for models that were trained on captions.")
    strength: float | None = option(
        None, "With --data: how far to go from that image, 0 to 1. [default: 0.5]"
    )


@dataclass(frozen=True, kw_only=True)
class QualityRequest(EvaluateRequest):
    """What `zoo evaluate` can ask of images."""

    n: int = option(1000, "How many images to draw.")
    steps: int | None = option(None, "Steps of the sampler. [default: the model's own]")
    guidance: float | None = option(None, "Weight of classifier-free guidance. [default: the model's own]")


class Images(Domain):
    """The domain object; see `zoo.domain.Domain` for the contract."""

    name = "images"
    recipes = RECIPES
    recipe_class = ImageRecipe
    model_class = ImageModel
    sample_request = DrawRequest
    evaluate_request = QualityRequest

    def suited(self, recipe: ImageRecipe, dataset: "ImageItems") -> ImageRecipe:
        found = dataset.pictures
        words = (recipe.words or WORD_WIDTH) if any(found.captions) else 0
        training = recipe.training
        if isinstance(recipe.network, DiTSize) and training.muon == EDM.training.muon:
            training = replace(training, muon=())  # those are convolutions, which a transformer has not
        return replace(recipe, classes=len(found.classes), words=words, training=training)

    def extend(self, model: ImageModel, source: Any) -> ImageModel:
        known = {name.casefold() for name in model.adapter.classes}
        classes = self.dataset(source, "train", model.recipe).pictures.classes
        new = tuple(name for name in classes if name.casefold() not in known)
        if new:
            check_classes(new)
            model.adapter = replace(model.adapter, classes=(*model.adapter.classes, *new))
            model.recipe = replace(model.recipe, classes=len(model.adapter.classes))
            cast(UNet | DiT, model.denoiser.network).condition.grow(len(new))
        return model

    def denoiser(self, recipe: ImageRecipe) -> NetworkDenoiser:
        size, unit = recipe.framing.size, coarsest(recipe.network)
        if size % unit:
            raise ValueError(f"images of {size} pixels: this network takes multiples of {unit}")
        if recipe.words and isinstance(recipe.network, UNetSize) and not any(recipe.network.attention):
            raise ValueError("captions are read by attention, and no level of this U-Net has any")
        return NetworkDenoiser(
            network(recipe.network, recipe.framing.channels, recipe.classes, recipe.words),
            PATHS[recipe.path](),
            recipe.scaling,
            recipe.objective,
            encoder=TextEncoder(recipe.words) if recipe.words else None,
        )

    def dataset(
        self, source: Any, split: Split, recipe: ImageRecipe, adapter: ImageAdapter | None = None
    ) -> "ImageItems":
        from domains.images.data import read
        from domains.images.dataset import ImageItems

        labels = None if source is None else recipe.labels or None
        pictures = read(
            recipe.source if source is None else source, recipe.framing, split=split, labels=labels
        )
        if adapter is not None:
            if pictures.unreadable and split == "train":
                some = "; ".join(pictures.unreadable[:5])
                warnings.warn(f"files left out ({len(pictures.unreadable)}): {some}", stacklevel=2)
            if any(pictures.captions) and not recipe.words and split == "train":
                warnings.warn("the captions are left out: this model reads none", stacklevel=2)
            labels = _translated(pictures, adapter)
            if split == "train" and ((labels < 0) & (pictures.labels >= 0)).any():
                some = "images of classes that the model does not know are trained as of no class"
                warnings.warn(some, stacklevel=2)
            pictures = replace(pictures, labels=labels, classes=adapter.classes)
        # what a model is judged by are images as they are
        return ImageItems(pictures, recipe if split == "train" else replace(recipe, augment=0.0), adapter)

    def adapter(self, recipe: ImageRecipe, dataset: "ImageItems") -> ImageAdapter:
        return fitted(dataset.pictures, recipe.framing)

    def adapter_from(self, state: dict[str, Any]) -> ImageAdapter:
        return restored(state)

    def example(self) -> Pictures:
        """Bright squares and discs on a dark ground, 28 x 28 pixels."""
        rng = np.random.default_rng(0)
        y, x = np.mgrid[:28, :28]
        labels = np.arange(80) % 2
        middle, radius = rng.uniform(9, 19, (80, 2, 1, 1)), rng.uniform(4, 8, (80, 1, 1))
        away = np.abs(np.stack([y, x]) - middle)
        distance = np.where(labels[:, None, None] == 0, away.max(1), np.hypot(away[:, 0], away[:, 1]))
        pixels = np.clip(255 * (radius - distance + 0.5), 0, 255).astype(np.uint8)
        return Pictures(pixels[:, None], labels.astype(np.int64), ("square", "disc"))

    def sample(self, model: ImageModel, request: DrawRequest) -> list[Path]:
        if request.strength is not None and request.data is None:
            raise OptionError("--strength says how far to go from an image: give that by --data")
        asked: dict[str, Any] = {
            name: getattr(request, name)
            for name in ("label", "caption", "steps", "sampler", "guidance", "seed")
        }
        if request.data is None:
            drawn = model.sample(request.n, **asked)
        else:
            strength = 0.5 if request.strength is None else request.strength
            drawn = model.edit(request.data, strength, request.n, **asked)
        files = [] if request.out is None else drawn.save(request.out)
        return files if request.plot is None else [*files, drawn.plot(request.plot)]

    def evaluate(self, model: ImageModel, request: QualityRequest) -> "pd.DataFrame":
        from domains.images.data import read
        from domains.images.evaluation import classifier, metrics

        if request.n < 100:
            raise OptionError(f"-n must be at least 100 for these measures, not {request.n}")
        if request.data is None and model.provenance.data_given:
            raise OptionError("this model was trained on data of its own: give --data")
        source = model.recipe.source if request.data is None else request.data
        # real images that the model has not seen, beside those that it has
        held = "test" if request.data is None else "validation"
        labels = None if request.data is None else model.recipe.labels or None
        real, floor = (
            read(source, model.adapter.framing, split=split, labels=labels) for split in (held, "train")
        )
        judge = classifier.load(model.recipe.source)
        if model.adapter.framing.channels != judge.channels:
            raise OptionError(
                f"the measures are in features of a classifier of {model.recipe.source}, whose images have "
                f"{judge.channels} channel; this model's have {model.adapter.framing.channels}"
            )
        if request.n > len(floor):
            raise OptionError(
                f"-n is {request.n}, but there are {len(floor)} real images to compare as many with"
            )
        wanted = _translated(real, model.adapter)
        wanted = np.sort(wanted)[np.arange(request.n) * len(wanted) // request.n]  # in the same proportions
        drawn = model.sample(
            request.n,
            label=[None if one < 0 else int(one) for one in wanted],
            steps=request.steps,
            guidance=request.guidance,
            seed=request.seed,
        )
        known = model.adapter.classes == judge.classes and (wanted >= 0).all()
        scores = metrics.score(
            drawn.pixels,
            real.pixels,
            floor.pixels,
            judge,
            labels=wanted if known else None,
            floor_labels=floor.labels if known and floor.classes == judge.classes else None,
            seed=request.seed,
        )
        return scores.reset_index(names="measure").assign(features=model.recipe.source)

    def demo(self, model: ImageModel, folder: Path) -> list[Path]:
        """Draws every class, fills in half of an image, edits one, and shows one coming out of noise."""
        classes = range(len(model.adapter.classes)) or [None]
        drawn = model.sample(8 * len(classes), label=[one for one in classes for _ in range(8)], seed=0)
        size = model.adapter.framing.size
        lower = np.arange(size)[:, None].repeat(size, 1) >= size // 2
        given, strengths = drawn[0], (0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
        edited = Gallery(np.concatenate([model.edit(given, one, seed=3).pixels for one in strengths]))
        sheets = {
            "images": drawn,
            "images-inpainted": model.inpaint(given, lower, 8, seed=1),
            "images-edited": edited,
            "images-strip": model.strip(classes[0], seed=2),
        }
        return [sheet.plot(folder / f"{name}.png", columns=8) for name, sheet in sheets.items()]


def _translated(pictures: Pictures, adapter: ImageAdapter) -> np.ndarray:
    """Labels as indices into the model's classes; a class that it does not know is none."""
    known = {name.casefold(): i for i, name in enumerate(adapter.classes)}
    index = np.array([known.get(name.casefold(), -1) for name in pictures.classes] + [-1])
    return index[pictures.labels]


domain = Images()
