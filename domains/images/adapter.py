"""Between images and what the network sees: pixels of mean 0 and variance 1."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from domains.images.data.pictures import Framing, Pictures
from zoo import typed
from zoo.domain import Adapter


@dataclass(frozen=True)
class ImageAdapter(Adapter):
    """Statistics of the training images.

    Attributes:
        framing: size and mode of the images.
        classes: names of the classes.
        mean, std: of all pixels in [0, 1]; one each, so that colours keep their relation.
    """

    framing: Framing
    classes: tuple[str, ...]
    mean: float
    std: float

    def encode(self, raw: np.ndarray) -> torch.Tensor:
        """uint8 pixels (N, C, H, W) to float32 of mean 0 and variance 1."""
        return (torch.from_numpy(raw).float() / 255 - self.mean) / self.std

    def decode(self, x: torch.Tensor) -> np.ndarray:
        """The nearest pixels, uint8."""
        return ((x.cpu().float() * self.std + self.mean) * 255).round().clamp(0, 255).byte().numpy()

    def state(self) -> dict[str, Any]:
        return asdict(self) | {"classes": list(self.classes)}

    def label(self, name: str | int | None) -> int:
        """The index of a class, given its name or index; None is the class "none".

        Raises:
            KeyError: if there is no such class.
        """
        if name is None:
            return len(self.classes)
        if isinstance(name, int) and 0 <= name < len(self.classes):
            return name
        folded = [known.casefold() for known in self.classes]
        if isinstance(name, str) and name.casefold() in folded:
            return folded.index(name.casefold())
        raise KeyError(name)


def fitted(pictures: Pictures, framing: Framing) -> ImageAdapter:
    """The adapter of these images."""
    part = pictures.pixels[:: max(len(pictures) // 10_000, 1)] / 255.0
    return ImageAdapter(framing, pictures.classes, float(part.mean()), max(float(part.std()), 1e-3))


def restored(state: dict[str, Any]) -> ImageAdapter:
    """The adapter whose `state` this is."""
    adapter = typed.from_json(ImageAdapter, state)
    if not (0 <= adapter.mean <= 1 and 0 < adapter.std <= 1):
        raise ValueError(f"mean and std are {adapter.mean:g} and {adapter.std:g}, which no pixels have")
    return adapter
