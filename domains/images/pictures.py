"""What all readers make: images of one size, with labels, captions and where they come from."""

from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Le

from zoo.manifest import Source


@dataclass(frozen=True)
class Framing:
    """How images of any size and mode become those of a model; a checkpoint carries it.

    Attributes:
        size: height and width in pixels.
        channels: 1 for grey, 3 for colour.
        crop: "centre" cuts the largest square out of the middle, "pad" fills up with black, "stretch"
            does neither.
        resample: the filter of a resize.
    """

    size: Annotated[int, Ge(4), Le(1024)] = 28
    channels: Literal[1, 3] = 1
    crop: Literal["centre", "pad", "stretch"] = "centre"
    resample: Literal["bicubic", "bilinear", "box", "nearest"] = "bicubic"


@dataclass(frozen=True, eq=False)
class Pictures:
    """Images of one framing.

    Attributes:
        pixels: `(N, channels, size, size)`, uint8.
        labels: `(N,)`, int64: an index into `classes`; -1 where there is none.
        classes: names of the labels; empty if there are none.
        captions: one for each image; empty if there are none.
        unreadable: a line for each file that was left out: its name, and why.
        sources: where they come from, for the model card.
    """

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    unreadable: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    def __len__(self) -> int:
        return len(self.pixels)


def is_array(image: object) -> bool:
    """Whether it is an array or a tensor."""
    return isinstance(image, np.ndarray | torch.Tensor)
