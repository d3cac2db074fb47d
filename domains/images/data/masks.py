"""Masks of images: what is to be drawn of one, framed as the image is."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

from domains.images.data import decode, read, table
from domains.images.data.arrays import as_numpy
from domains.images.pictures import Framing, is_array
from zoo.errors import DataError, OptionError

SAME = 0.02  # relative difference of two ratios of height to width that may come of rounding


def framed(mask: Any, image: Any, framing: Framing) -> np.ndarray:
    """Where to draw: (1, 1, size, size), bool.

    Where the image shrinks, all is drawn that the mask touches, and the pixels next to it: a filter would
    have mixed some of what is hidden into them.

    Args:
        mask: (H, W), a PIL image or a file, true or white where to draw; as high and wide as the image but
            for scale, or of the framing's own size.
        image: the image, as it was given.

    Raises:
        OptionError: if the mask hides nothing, or has another shape.
        DataError: if the mask or the image cannot be read.
    """
    height, width = grey(image, "the image").shape
    if is_array(mask):
        array = np.squeeze(as_numpy(mask))
        if array.ndim != 2 or array.dtype.kind not in "biuf":
            raise OptionError(f"a mask of shape {tuple(mask.shape)}: numbers (H, W) are wanted")
        white = array > (127 if array.size and array.max() > 1 else 0.5)
    else:
        white = grey(mask, "the mask") > 127
    if not white.any():
        raise OptionError("the mask hides nothing: make it true or white where to draw")
    ratio = white.shape[0] / white.shape[1] / (height / width)
    if white.shape != (framing.size, framing.size) and abs(ratio - 1) > SAME:
        raise OptionError(
            f"a mask of {white.shape[0]} x {white.shape[1]} pixels for an image of {height} x {width}"
        )
    pixels = 255 * white.astype(np.uint8)
    hidden = read([pixels], replace(framing, channels=1, resample="box")).pixels > 0
    if not hidden.any():
        raise OptionError("the mask hides only what is cut away to make the image square")
    return binary_dilation(hidden, np.ones((1, 1, 3, 3))) if max(height, width) > framing.size else hidden


def grey(image: Any, what: str) -> np.ndarray:
    """One image at its own size, (H, W), uint8.

    Raises:
        DataError: if it cannot be read; it says so of `what`.
    """
    single = image[0] if is_array(image) and image.ndim == 4 else image
    try:
        return decode.grey(table.named([single], None, what)[0][0])
    except DataError:
        raise
    except Exception as error:  # a decoder that is given a strange file may fail in any way
        raise DataError(f"{what} cannot be read: {decode.why(error)}") from None
