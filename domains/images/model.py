"""The verbs of images."""

import math
import operator
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, SupportsIndex

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from domains.images.adapter import ImageAdapter
from domains.images.gallery import Gallery
from domains.images.pictures import is_array
from domains.images.recipes import ImageRecipe
from domains.images.text import tokens
from zoo.engine import SAMPLERS, ClassifierFree, Denoiser, Members, grid
from zoo.engine.inverse import Measured, noise_of
from zoo.errors import OptionError
from zoo.model import Model, whole

Label = str | SupportsIndex | None
SMALLEST = 4  # pixels of an image, each way
ROWS = 256  # images that are drawn at once: bounds the memory
DETERMINISTIC = "adams2"  # where an image is to be a function of its first noise alone


class ImageModel(Model):
    """Draws, fills in, edits, enlarges and blends images. Images go in as PIL images, arrays or files."""

    recipe: ImageRecipe
    adapter: ImageAdapter

    def sample(
        self,
        n: int = 1,
        *,
        label: Label | Sequence[Label] = None,
        caption: str | Sequence[str] | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> Gallery:
        """Draws n images.

        Args:
            label: a class by name or index, or one for each image; None for any.
            caption: what to draw in words, or a caption for each image, of a model that reads captions.
            guidance: 1 draws from the class as it is; more makes images more typical of it and less diverse;
                by default what the recipe says.
            n, steps, sampler, seed, device: as in `zoo.Model.sample`.

        Raises:
            OptionError: for an unknown class.
        """
        asked = self._asked(n, label, caption)
        return self._draw(asked, seed, guidance, steps=steps, sampler=sampler, device=device)

    def inpaint(
        self,
        image: Any,
        mask: Any,
        n: int = 1,
        *,
        label: Label = None,
        caption: str | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
    ) -> Gallery:
        """Draws what a mask hides of an image, n times; the other pixels come back exactly.

        Args:
            image: of any size; brought to the model's own.
            mask: `(H, W)`, a PIL image or a file: true or white where to draw; of the image's own shape, or
                of the model's. Where the image shrinks, all is drawn that the mask touches, and the pixels
                next to it, which would show something of what is hidden.
            label, caption, steps, sampler, guidance, seed: as in `sample`.

        Raises:
            OptionError: if the mask hides nothing, or has another shape.
            DataError: if the image or the mask cannot be read.
        """
        from domains.images.data import masks

        pixels = self._pixels(image)
        hidden = torch.from_numpy(masks.framed(mask, image, self.adapter.framing))
        known, asked = self.adapter.encode(pixels), self._asked(n, label, caption)
        if self.recipe.inpaint:
            given: dict[str, Any] = {"known": known, "mask": hidden}
        else:  # the network has never seen a part of an image: its estimates are made to agree with this one
            on, there = known.to(self.device), hidden.to(self.device)
            given = {"agree": lambda x: torch.where(there, x, on)}
        gallery = self._draw(asked, seed, guidance, steps=steps, sampler=sampler, **given)
        return Gallery(np.where(hidden.numpy(), gallery.pixels, pixels), gallery.labels)

    def edit(
        self,
        image: Any,
        strength: float = 0.5,
        n: int = 1,
        *,
        label: Label = None,
        caption: str | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
    ) -> Gallery:
        """Draws images that are like one: it is blurred by noise and drawn anew (SDEdit, Meng et al. 2022).

        Args:
            image: of any size; brought to the model's own.
            strength: 0 gives the image back, 1 draws without it: the share of noise in the mixture.
            label, caption, steps, sampler, guidance, seed: as in `sample`.

        Raises:
            OptionError: if `strength` does not lie there.
            DataError: if the image cannot be read.
        """
        if not isinstance(strength, Real) or not 0 <= strength <= 1:
            raise OptionError(f"strength must lie in [0, 1], not {strength!r}")
        pixels, asked = self._pixels(image), self._asked(n, label, caption)
        least, most = (s / (a + s) for a, s in map(self.denoiser.path.scales, torch.tensor([0.0, 1.0])))
        if strength <= least:
            return Gallery(pixels.repeat(n, 0), self._names(asked))
        start = self.adapter.encode(pixels) if strength < most else None
        return self._draw(asked, seed, guidance, steps=steps, sampler=sampler, start=start, strength=strength)

    def upscale(
        self,
        image: Any,
        factor: int = 2,
        n: int = 1,
        *,
        label: Label = None,
        caption: str | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
    ) -> Gallery:
        """Draws images whose means over blocks of factor x factor pixels are those of a small image.

        Args:
            image: brought to the model's size over `factor`: the results are of the model's size.
            label, caption, steps, sampler, guidance, seed: as in `sample`.

        Raises:
            OptionError: for another factor than the model's size allows.
            DataError: if the image cannot be read.
        """
        size = self.adapter.framing.size
        fitting = [n for n in range(2, size // SMALLEST + 1) if size % n == 0]
        if (factor := whole("factor", factor)) not in fitting:
            some = " or ".join(map(str, fitting))
            raise OptionError(f"factor must be {some} here, not {factor}" if some else "images are too small")
        means = self._pixels(image, size // factor)
        small = self.adapter.encode(means).to(self.device)

        def agreeing(x: Tensor, means: Tensor) -> Tensor:
            return x + F.interpolate(means - F.avg_pool2d(x, factor), scale_factor=float(factor))

        asked = self._asked(n, label, caption)
        drawn = self._draw(
            asked, seed, guidance, steps=steps, sampler=sampler, agree=lambda x: agreeing(x, small)
        )
        x, wanted = torch.from_numpy(drawn.pixels).float(), torch.from_numpy(means).float()
        for _ in range(30):  # pixels end at 0 and 255, which moves the means of bright and dark blocks
            x = agreeing(x, wanted).clamp(0, 255)
        return Gallery(x.round().byte().numpy(), drawn.labels)

    def interpolate(
        self,
        a: Any,
        b: Any,
        n: int = 8,
        *,
        label: Label = None,
        caption: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
    ) -> Gallery:
        """Draws n images between two, along the arc between the noises that they come from.

        Args:
            a, b: seeds, or images; those come back nearly as they are, as far as the model knows their like.
            n: how many, the first and the last those two.
            label, caption, steps, guidance: as in `sample`.

        Raises:
            DataError: if an image cannot be read.
        """
        asked = self._asked(whole("n", n, 2), label, caption)
        one = self._prepared(guidance, {name: value[:1] for name, value in asked.items()})
        ends = [self._noise(end, *one, steps) for end in (a, b)]
        angle = torch.linspace(0, math.pi / 2, n).view(-1, 1, 1, 1)
        return self._draw(
            asked,
            0,
            guidance,
            steps=steps,
            sampler=DETERMINISTIC,
            noise=angle.cos() * ends[0] + angle.sin() * ends[1],
        )

    def strip(
        self,
        label: Label = None,
        frames: int = 8,
        *,
        caption: str | None = None,
        steps: int | None = None,
        guidance: float | None = None,
        seed: int = 0,
    ) -> Gallery:
        """How one image comes out of noise: the state at `frames` times, the last one the image itself.

        Args:
            label, caption, steps, guidance, seed: as in `sample`.
        """
        path, times, frames = self.denoiser.path, self._times(steps), whole("frames", frames, 2)
        asked, steps = self._asked(1, label, caption), len(times) - 1
        denoiser, cond = self._prepared(guidance, asked)
        x = path.prior(Members(seed, (0,)).normal(self._shape).to(self.device))
        with torch.no_grad():
            states = [x, *SAMPLERS[DETERMINISTIC](denoiser, x, times, cond=cond)]
        chosen = np.linspace(0, steps, min(frames, steps + 1)).round().astype(int)
        # brought to unit variance, as the network sees them
        seen = [states[i] / sum(s**2 for s in path.landing(times[i])) ** 0.5 for i in chosen]
        return Gallery(self.adapter.decode(torch.cat(seen)), self._names(asked) * len(chosen))

    def _times(self, steps: int | None) -> Tensor:
        own = self.recipe.sampling
        return grid(self.denoiser.path, whole("steps", own.steps if steps is None else steps), own.grid)

    @torch.no_grad()
    def _prepared(
        self, guidance: float | None, asked: dict[str, Tensor]
    ) -> tuple[Denoiser, dict[str, Tensor]]:
        """A guided denoiser, and the conditions encoded for it."""
        denoiser = self._guided(guidance, asked)
        return denoiser, denoiser.encode({k: v.to(self.device) for k, v in asked.items()}, None).cond

    def _noise(self, end: Any, denoiser: Denoiser, cond: dict[str, Tensor], steps: int | None) -> Tensor:
        """The noise of a seed or of an image, (1, C, H, W)."""
        if isinstance(end, SupportsIndex) and not is_array(end):
            return Members(operator.index(end), (0,)).normal(self._shape)
        x = self.adapter.encode(self._pixels(end)).to(self.device)
        return noise_of(denoiser, x, self._times(steps), cond).cpu()

    @property
    def _shape(self) -> tuple[int, int, int]:
        framing = self.adapter.framing
        return framing.channels, framing.size, framing.size

    def _asked(
        self, n: int, label: Label | Sequence[Label], caption: str | Sequence[str] | None
    ) -> dict[str, Tensor]:
        """The raw conditions of n images."""
        n = whole("n", n)
        asked = {"label": torch.tensor(self._labels(label, n))}
        if not self.recipe.words:
            if (caption is not None and not isinstance(caption, str)) or caption:
                raise OptionError("this model was trained without captions: it reads none")
            return asked
        given: Any = "" if caption is None else caption
        captions: list[Any] = [given] * n if isinstance(given, str) else as_list(given)
        if not all(isinstance(one, str) for one in captions):
            raise OptionError(f"a caption is text, which {caption!r} is not")
        if len(captions) != n:
            raise OptionError(f"{len(captions)} captions for {n} images: give one, or one for each")
        return asked | {"caption": tokens(captions)}

    def _labels(self, label: Label | Sequence[Label], n: int) -> list[int]:
        given: Any = label
        wanted: list[Any] = as_list(given) if np.ndim(given) else [given] * n
        if len(wanted) != n:
            raise OptionError(f"{len(wanted)} labels for {n} images: give one, or one for each")
        try:
            return [self.adapter.label(one) for one in wanted]
        except KeyError as error:
            known = ", ".join(self.adapter.classes) or "none"
            raise OptionError(f"no class {error.args[0]!r}; there are: {known}") from None

    def _names(self, asked: dict[str, Tensor]) -> list[str]:
        return [(*self.adapter.classes, "")[label] for label in asked["label"]]

    def _pixels(self, image: Any, size: int | None = None) -> np.ndarray:
        """One image as uint8 (1, C, size, size)."""
        from domains.images.data import read

        framing = self.adapter.framing
        if is_array(image) and image.ndim == 4 and len(image) != 1:
            raise OptionError(f"one image is wanted, not {len(image)}")
        if is_array(image) and image.ndim == 4:
            image = image[0]
        return read([image], framing if size is None else replace(framing, size=size)).pixels

    def _guided(self, guidance: float | None, asked: dict[str, Tensor]) -> Denoiser:
        own = self.recipe.sampling.guidance if self.recipe.drop else None
        weight = own if guidance is None else guidance
        if weight is None or weight == 1:
            return self.denoiser
        if not isinstance(weight, Real) or not math.isfinite(weight):
            raise OptionError(f"guidance must be a finite number, not {weight!r}")
        if not self.recipe.drop:
            raise OptionError("this model was never trained without its condition: it takes no guidance")
        null = self._asked(1, None, None)
        if all((asked[name] == value).all() for name, value in null.items()):
            return self.denoiser  # towards nothing: twice the work for the same images
        return ClassifierFree(self.denoiser, float(weight), null)

    def _draw(
        self,
        asked: dict[str, Tensor],
        seed: int,
        guidance: float | None,
        *,
        steps: int | None = None,
        sampler: str | None = None,
        device: str | None = None,
        known: Tensor | None = None,
        mask: Tensor | None = None,
        start: Tensor | None = None,
        strength: float = 1.0,
        agree: Any = None,
        noise: Tensor | None = None,
    ) -> Gallery:
        """Draws an image for each row of the raw conditions, ROWS at a time."""
        if device is not None:
            self.to(device)
        denoiser = self._guided(guidance, asked)
        if agree is not None:
            denoiser = Measured(denoiser, agree)
        drawn, n = [], len(asked["label"])
        for first in range(0, n, ROWS):
            rows = range(first, min(first + ROWS, n))
            made = self.draw(
                Members(seed, rows) if noise is None else Fixed(noise[rows.start : rows.stop]),
                self._shape,
                cond={name: value[rows.start : rows.stop] for name, value in asked.items()},
                mask=None if mask is None else mask.expand(1, *self._shape),
                known=known,
                start=start,
                strength=strength,
                denoiser=denoiser,
                steps=steps,
                sampler=sampler,
            )
            drawn.append(self.adapter.decode(made.x))
        return Gallery(np.concatenate(drawn), self._names(asked))


def as_list(values: Any) -> list[Any]:
    """The values of a sequence.

    Raises:
        OptionError: if it is none.
    """
    try:
        return list(values)
    except TypeError:
        raise OptionError(f"{values!r} is neither one for all images nor one for each") from None


class Fixed:
    """Noise that was made before."""

    def __init__(self, noise: Tensor) -> None:
        self.noise = noise

    def __len__(self) -> int:
        return len(self.noise)

    def normal(self, shape: Sequence[int]) -> Tensor:
        return self.noise
