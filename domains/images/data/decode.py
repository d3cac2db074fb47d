"""Any image to a framing: decoding, orientation, transparency, depth of colour, crop and size."""

import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from itertools import chain, islice
from pathlib import Path
from threading import Lock

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from rich.console import Console
from rich.progress import track

from domains.images.data.arrays import as_bytes
from domains.images.data.parts import Item, Items
from domains.images.pictures import Framing
from zoo import folders
from zoo.errors import DataError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")  # not all of Pillow's: some start other programs
MAX_PIXELS = 64_000_000  # a small file may claim any size
MAX_BYTES = 2**29
BLOCK = 256  # images that are in memory at once, besides those that are kept
SLOW = 2000  # images from which on a terminal shows a bar
_LOADING = Lock()


def frame_all(
    items: Items, framing: Framing, put: Callable[[int, np.ndarray], None]
) -> list[tuple[int, str]]:
    """Brings images to a framing, in a pool of threads.

    `put` is called in order with the index and the pixels, `(channels, size, size)` uint8, of each that can
    be read. Returns the index of each that cannot, and why.
    """

    def attempt(item: Item) -> np.ndarray | str:
        try:
            return frame(item, framing)
        except Exception as error:  # a decoder that is given a strange file may fail in any way
            return why(error)

    unreadable: list[tuple[int, str]] = []
    console = Console(stderr=True)
    source = iter(items)
    with warnings.catch_warnings(), ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        warnings.simplefilter("ignore")  # of Pillow, on odd files: they are read, or else listed
        blocks = (pool.map(attempt, islice(source, BLOCK)) for _ in range(0, len(items), BLOCK))
        results = track(
            chain.from_iterable(blocks),
            "images",
            total=len(items),
            console=console,
            transient=True,
            disable=len(items) < SLOW or not console.is_terminal,
        )
        for index, result in enumerate(results):
            if isinstance(result, str):
                unreadable.append((index, result))
            else:
                put(index, result)
    return unreadable


def why(error: Exception) -> str:
    """What to say of an image that cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image of a known format"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def grey(item: Item) -> np.ndarray:
    """One image at its own size, (H, W), uint8; see `frame`."""
    return np.asarray(_flat(_opened(item, MAX_PIXELS), 1))


def frame(item: Item, framing: Framing) -> np.ndarray:
    """One image in a framing: `(channels, size, size)`, uint8.

    The first frame of several; turned as EXIF says; transparency over white; 16 bits to 8.

    Raises:
        DataError: if there is no image, or it has too many pixels or an unknown range.
        Exception: of any kind, from Pillow, if a file is damaged or none.
    """
    image = _sized(_flat(_opened(item, framing.size), framing.channels), framing)
    return np.ascontiguousarray(np.moveaxis(np.atleast_3d(np.asarray(image)), 2, 0))


def _opened(item: Item, size: int) -> Image.Image:
    """The decoded image, upright."""
    if item is None:
        raise DataError("no image")
    if isinstance(item, np.ndarray):
        return Image.fromarray(np.ascontiguousarray(item[..., 0] if item.shape[2] == 1 else item))
    if isinstance(item, Image.Image):
        with _LOADING:  # the same object may stand in a list twice
            _checked(item).load()
        image = item
    else:
        data = folders.read_bytes(item, MAX_BYTES) if isinstance(item, Path) else item
        if not data:
            raise DataError("an empty file")
        image = _checked(Image.open(BytesIO(data), formats=FORMATS))
        image.draft(None, (2 * size, 2 * size))  # a JPEG is decoded no larger than twice what is needed
        image.load()
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
    except Exception:  # damaged EXIF data do not make the pixels unusable
        turned = False
    return ImageOps.exif_transpose(image) if turned else image


def _checked(image: Image.Image) -> Image.Image:
    if image.width * image.height > MAX_PIXELS:
        raise DataError(f"{image.width} x {image.height} pixels are more than {MAX_PIXELS // 10**6} million")
    return image


def _flat(image: Image.Image, channels: int) -> Image.Image:
    """Mode L or RGB."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode.startswith("I;16"):
        image = Image.fromarray(((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8))
    elif image.mode in ("I", "F"):  # grey of 8 or 16 bits in 32, or floats: files do not say which
        values = np.asarray(image)
        if image.mode == "I" and values.min() >= 0 and 255 < values.max() <= 65535:
            values = values.astype(np.uint16)
        image = Image.fromarray(as_bytes([values], "grey of 32 bits")[0])
    elif image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)


def _sized(image: Image.Image, framing: Framing) -> Image.Image:
    """Cropped and resized. When an image shrinks, each filter but "nearest" averages over what is lost."""
    size, (width, height) = framing.size, image.size
    target = (size, size)
    if framing.crop == "centre" and width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if framing.crop == "pad":
        scale = size / max(width, height)
        target = max(1, round(width * scale)), max(1, round(height * scale))
    image = image.resize(target, Image.Resampling[framing.resample.upper()])
    # what is cut beyond the edges is black
    left, top = (size - target[0]) // 2, (size - target[1]) // 2
    return image if target == (size, size) else image.crop((-left, -top, size - left, size - top))
