"""Between images and what the network sees: pixels of mean 0 and variance 1."""

import operator
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, SupportsIndex

import numpy as np
import torch

from domains.images.pictures import Framing, Pictures
from zoo import typed
from zoo.domain import Adapter
from zoo.errors import DataError

BLOCK = 1024  # images that are looked at together


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

    def label(self, name: str | SupportsIndex | None) -> int:
        """The index of a class, given its name or index; None is the class "none".

        Raises:
            KeyError: if there is no such class.
        """
        if name is None:
            return len(self.classes)
        if isinstance(name, str):
            alike = [known.casefold() for known in self.classes]
            if name.casefold() in alike:
                return alike.index(name.casefold())
        elif isinstance(name, SupportsIndex) and not isinstance(name, bool):
            index = operator.index(name)
            if 0 <= index < len(self.classes):
                return index
        raise KeyError(name)


def check_classes(classes: Sequence[str]) -> None:
    """Refuses classes that cannot be told apart by name.

    Raises:
        DataError: if two differ in case alone.
    """
    alike: dict[str, str] = {}
    for name in classes:
        if (other := alike.setdefault(name.casefold(), name)) != name:
            raise DataError(
                f"classes {other!r} and {name!r} differ in case alone: rename one, or make them one"
            )


def fitted(pictures: Pictures, framing: Framing) -> ImageAdapter:
    """The adapter of these images."""
    check_classes(pictures.classes)
    counts = np.zeros(256)
    for start in range(0, len(pictures), BLOCK):  # they may lie on the disk, and not fit into memory
        counts += np.bincount(pictures.pixels[start : start + BLOCK].reshape(-1), minlength=256)
    values, share = np.arange(256) / 255, counts / counts.sum()
    mean = float(share @ values)
    std = float(np.sqrt(share @ (values - mean) ** 2))
    return ImageAdapter(framing, pictures.classes, mean, max(std, 1e-3))


def restored(state: dict[str, Any]) -> ImageAdapter:
    """The adapter whose `state` this is."""
    adapter = typed.from_json(ImageAdapter, state)
    if not (0 <= adapter.mean <= 1 and 0 < adapter.std <= 1):
        raise ValueError(f"mean and std are {adapter.mean:g} and {adapter.std:g}, which no pixels have")
    return adapter
