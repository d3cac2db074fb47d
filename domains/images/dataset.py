"""Training images: drawn, augmented, without their class or with a part given, as the recipe says."""

import torch

from domains.images.adapter import ImageAdapter
from domains.images.augment import augmented
from domains.images.pictures import Pictures
from domains.images.recipes import ImageRecipe
from domains.images.text import tokens
from zoo.domain import Dataset
from zoo.engine.denoiser import Batch


class ImageItems(Dataset):
    """Images `(B, C, H, W)` under `label` (B,); under `caption` and `augmented` where the recipe says so."""

    def __init__(self, pictures: Pictures, recipe: ImageRecipe, adapter: ImageAdapter | None):
        self.pictures, self.recipe, self.adapter = pictures, recipe, adapter
        self.sources = pictures.sources
        self.captions = tokens(pictures.captions or [""] * len(pictures)) if recipe.words else None

    def __len__(self) -> int:
        return len(self.pictures)

    def batch(self, size: int, generator: torch.Generator) -> Batch:
        assert self.adapter is not None
        recipe = self.recipe
        rows = torch.randint(len(self), (size,), generator=generator)
        x = self.adapter.encode(self.pictures.pixels[rows.numpy()])
        label = torch.from_numpy(self.pictures.labels[rows.numpy()])
        without = torch.rand(size, generator=generator) < recipe.drop
        cond = {"label": torch.where(without | (label < 0), recipe.classes, label)}
        if self.captions is not None:
            cond["caption"] = torch.where(without[:, None], 0, self.captions[rows])
        if recipe.augment:
            x, cond["augmented"] = augmented(x, recipe.augment, generator)
        return Batch(x, cond, self._masks(size, x, generator))

    def _masks(self, size: int, x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """True where to generate: everywhere, or inside or outside a box, for a share of the images."""
        edges = torch.rand(2, 2, size, generator=generator).sort(0).values
        inside = torch.ones(size, 1, *x.shape[-2:], dtype=torch.bool)
        for axis, length in enumerate(x.shape[-2:]):
            place = (torch.arange(length) + 0.5) / length
            one = (place > edges[0, axis, :, None]) & (place < edges[1, axis, :, None])
            inside &= one[:, None, :, None] if axis == 0 else one[:, None, None, :]
        outward = torch.rand(size, generator=generator)[:, None, None, None] < 0.5
        part = torch.where(outward, ~inside, inside)
        partly = torch.rand(size, generator=generator)[:, None, None, None] < self.recipe.inpaint
        whole = ~partly | ~part.flatten(1).any(1)[:, None, None, None]  # something must be left to draw
        return whole | part
