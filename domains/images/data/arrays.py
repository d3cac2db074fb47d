"""Arrays as images: the layout and the range of values are recognised, or refused where there is a doubt."""

from collections.abc import Sequence
from math import isqrt

import numpy as np
import torch

from zoo.errors import DataError

LAYOUTS = ("HW", "NHW", "HWC", "CHW", "NHWC", "NCHW")
CHANNELS = (1, 3, 4)
THIN = 4  # a side of so few pixels is taken for one of channels
BLOCK = 1024  # images converted at once


def as_numpy(array: object) -> np.ndarray:
    """An array or tensor as an array of numpy."""
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        return (array.float() if array.dtype is torch.bfloat16 else array).numpy()
    return np.asarray(array)


def batch(array: np.ndarray, where: str, count: int | None = None) -> np.ndarray:
    """Several images in one array, or a single one.

    Args:
        array: `(N, H, W)`, `(N, H, W, C)`, `(N, C, H, W)`, `(H, W)`, `(H, W, C)` or `(C, H, W)`, with C 1, 3
            or 4.
        where: the source, for messages.
        count: how many images there must be, if that is known; then a single one must have its N, too.

    Returns:
        `(N, H, W, C)`, values as they were.

    Raises:
        DataError: if there are other than `count` images, or more than one reading of the shape, or none.
    """
    shape = array.shape
    readings: dict[str, np.ndarray] = {}
    for layout in LAYOUTS:
        channel = layout.find("C")
        if len(layout) == array.ndim and (channel < 0 or shape[channel] in CHANNELS):
            moved = array[..., None] if channel < 0 else np.moveaxis(array, channel, -1)
            readings[f"({', '.join(layout)})"] = moved if "N" in layout else moved[None]
    wide = {layout: moved for layout, moved in readings.items() if min(moved.shape[1:3]) > THIN}
    fitting = {layout: moved for layout, moved in (wide or readings).items() if count in (None, len(moved))}
    if array.ndim == 3 and shape[0] == 1:  # (1, H, W): one grey image in any case
        fitting.pop("(C, H, W)", None)
    if array.ndim == 2 and (not fitting or (shape[0] != shape[1] and _is_flat(shape[1]))):
        told = (
            "may be one grey image or flattened ones: pass array[None] for it, array.reshape(N, H, W) or "
            "array.reshape(N, C, H, W) for those"
        )
    elif len(fitting) == 1:
        return next(iter(fitting.values()))
    elif fitting:
        told = (
            f"may be {' or '.join(fitting)}: give it four dimensions, array[None] for one image, "
            "array[..., None] for several in grey"
        )
    elif count is not None and readings and shape[0] != count:
        raise DataError(
            f"{where}: {count} labels for {shape[0]} images; give one for each image, -1 where there is none"
        )
    else:
        told = "is no images: (N, H, W), (N, H, W, C) or (N, C, H, W), with C 1, 3 or 4"
    raise DataError(f"{where}: an array of shape {shape} {told}")


def _is_flat(length: int) -> bool:
    """Whether so many values may be those of a square image."""
    return any(isqrt(length // c) ** 2 * c == length > c * THIN**2 for c in (1, 3))


def as_bytes(arrays: Sequence[np.ndarray], where: str) -> list[np.ndarray]:
    """Values as uint8; all arrays have one range.

    Understood are uint8, booleans, whole numbers in 0 .. 255, uint16 in its full range, and floats in
    [0, 1], [-1, 1] or 0 .. 255.

    Raises:
        DataError: if the values are in no such range, or not finite, or all of them 0 and 1 as numbers.
    """
    for array in arrays:
        if array.dtype.kind not in "buif" or array.size == 0:
            raise DataError(f"{where}: an array of {array.dtype} {array.shape} holds no pixels")
    if not arrays:
        return []
    arrays = [array.astype(np.uint8) * 255 if array.dtype == bool else array for array in arrays]
    low, high = min(float(array.min()) for array in arrays), max(float(array.max()) for array in arrays)
    kinds = {array.dtype for array in arrays}
    whole = len(kinds) == 1 and arrays[0].dtype.kind in "ui"
    if not np.isfinite(low + high):
        raise DataError(f"{where}: values that are not finite; replace NaN and infinity first")
    if whole and low == 0 and high == 1:
        raise DataError(f"{where}: only 0 and 1 as whole numbers; pass booleans, or multiply by 255")
    if low >= 0 and high <= 255 and (whole or high > 2):
        factor, offset = 1.0, 0.0
    elif kinds == {np.dtype(np.uint16)}:
        factor, offset = 255 / 65535, 0.0
    elif not whole and low >= -1 and high <= 1:
        factor, offset = (255.0, 0.0) if low >= 0 else (127.5, 127.5)
    else:
        raise DataError(
            f"{where}: values from {low:g} to {high:g}: pass uint8, or floats in [0, 1] or [-1, 1]; undo any "
            "normalisation by mean and deviation"
        )
    return [_stretched(array, factor, offset) for array in arrays]


def _stretched(array: np.ndarray, factor: float, offset: float) -> np.ndarray:
    if factor == 1 and array.dtype.kind in "ui":
        return array.astype(np.uint8, copy=False)
    result = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), BLOCK):  # a copy of all as floats might not fit
        block = array[start : start + BLOCK].astype(np.float32)
        result[start : start + BLOCK] = np.rint(block * np.float32(factor) + np.float32(offset))
    return result
