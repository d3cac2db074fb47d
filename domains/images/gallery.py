"""What the verbs of images give back: pixels, as PIL images, arrays, sheets and files."""

import operator
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from zoo.errors import OptionError
from zoo.model import whole

if TYPE_CHECKING:
    from PIL.Image import Image

GAP = 2  # pixels between the images of a sheet


class Gallery(Sequence["Image"]):
    """Images that were drawn; a sequence of PIL images.

    Attributes:
        pixels: `(N, channels, H, W)`, uint8.
        labels: the class of each, by name; "" for none.
    """

    def __init__(self, pixels: np.ndarray, labels: Sequence[str] = ()) -> None:
        self.pixels, self.labels = pixels, tuple(labels) or ("",) * len(pixels)

    def __len__(self) -> int:
        return len(self.pixels)

    def __getitem__(self, index):  # type: ignore[override] (an image, or a gallery for a slice)
        if isinstance(index, slice):
            return Gallery(self.pixels[index], self.labels[index])
        return picture(self.pixels[operator.index(index)])

    @property
    def tensor(self) -> torch.Tensor:
        """`(N, channels, H, W)`, float32 in [0, 1]."""
        return torch.from_numpy(self.pixels).float() / 255

    def sheet(self, columns: int | None = None, zoom: int = 2) -> "Image":
        """All images on one sheet, row by row.

        Args:
            columns: how many a row; None for about a square.
            zoom: pixels of the sheet for each pixel, each way.

        Raises:
            OptionError: if there are no images, or a number is less than 1.
        """
        if not len(self):
            raise OptionError("there are no images to show")
        columns = int(np.ceil(len(self) ** 0.5)) if columns is None else whole("columns", columns)
        zoom = whole("zoom", zoom)
        rows = -(-len(self) // columns)
        channels, height, width = self.pixels.shape[1:]
        sheet = np.full((channels, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP), 255, np.uint8)
        for i, one in enumerate(self.pixels):
            top, left = i // columns * (height + GAP), i % columns * (width + GAP)
            sheet[:, top : top + height, left : left + width] = one
        return picture(sheet.repeat(zoom, 1).repeat(zoom, 2))

    def plot(self, path: str | PathLike[str], columns: int | None = None) -> Path:
        """Writes the sheet to a picture file."""
        file, sheet = Path(path), self.sheet(columns)
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            sheet.save(file)
        except (ValueError, KeyError):
            raise OptionError(
                f"{file}: cannot write {file.suffix or 'a file without an ending'}; use .png"
            ) from None
        return file

    def save(self, folder: str | PathLike[str]) -> list[Path]:
        """Writes each image to a PNG file of its own in a folder, which is made."""
        place = Path(folder)
        if place.is_file():
            raise OptionError(f"{place}: is a file; name a folder")
        place.mkdir(parents=True, exist_ok=True)
        files = [place / f"{i:05}.png" for i in range(len(self))]
        for file, image in zip(files, self, strict=True):
            image.save(file)
        return files

    def __repr__(self) -> str:
        channels, height, width = self.pixels.shape[1:]
        return f"<Gallery of {len(self)} images, {width} x {height}, {'colour' if channels == 3 else 'grey'}>"


def picture(pixels: np.ndarray) -> "Image":
    """uint8 pixels (channels, H, W) as a PIL image."""
    from PIL import Image

    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1))
