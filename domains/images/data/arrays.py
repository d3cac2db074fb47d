"""Arrays as images: the layout and the range of values are recognised, or refused where there is a doubt."""

from collections.abc import Sequence
from math import isqrt

import numpy as np
import torch

from zoo.errors import DataError

CHANNELS = (1, 3, 4)
THIN = 4  # a side of so few pixels is taken for one of channels
BLOCK = 1024  # images converted at once


def as_numpy(array: object) -> np.ndarray:
    """An array or tensor as an array of numpy."""
    if isinstance(array, torch.Tensor):
        array = array.detach().cpu()
        return (array.float() if array.dtype is torch.bfloat16 else array).numpy()
    return np.asarray(array)


def is_array(image: object) -> bool:
    """Whether it is an array or a tensor."""
    return isinstance(image, np.ndarray | torch.Tensor)


def single(array: np.ndarray, where: str) -> np.ndarray:
    """One image of a list of arrays: `(H, W)`, `(H, W, C)` or `(C, H, W)` as `(H, W, C)`.

    Raises:
        DataError: if the shape has more than one reading, or none.
    """
    return array[..., None] if array.ndim == 2 else batch(array[None], where)[0]


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
    shape, readings = array.shape, _readings(array)
    wide = {layout: moved for layout, moved in readings.items() if min(moved.shape[1:3]) > THIN}
    fitting = {layout: moved for layout, moved in (wide or readings).items() if count in (None, len(moved))}
    if len(fitting) == 2 and array.ndim == 3 and shape[0] == 1:  # (1, H, W): one grey image in any case
        fitting.popitem()
    if len(fitting) != 1 or (array.ndim == 2 and shape[0] != shape[1] and _is_flat(shape[1])):
        raise DataError(f"{where}: {_refusal(shape, list(fitting), count)}")
    return next(iter(fitting.values()))


def _readings(array: np.ndarray) -> dict[str, np.ndarray]:
    """What a shape may mean, as (N, H, W, C)."""
    readings = {}
    if array.ndim == 2:
        readings["(H, W)"] = array[None, :, :, None]
    if array.ndim == 3:
        readings["(N, H, W)"] = array[..., None]
        if array.shape[2] in CHANNELS:
            readings["(H, W, C)"] = array[None]
        if array.shape[0] in CHANNELS:
            readings["(C, H, W)"] = np.moveaxis(array, 0, 2)[None]
    if array.ndim == 4:
        if array.shape[3] in CHANNELS:
            readings["(N, H, W, C)"] = array
        if array.shape[1] in CHANNELS:
            readings["(N, C, H, W)"] = np.moveaxis(array, 1, 3)
    return readings


def _is_flat(length: int) -> bool:
    """Whether so many values may be those of a square image."""
    sides = [(isqrt(length // c), length // c) for c in (1, 3) if length % c == 0]
    return any(side > THIN and side**2 == area for side, area in sides)


def _refusal(shape: tuple[int, ...], readings: list[str], count: int | None) -> str:
    if len(shape) == 2:
        return (
            f"an array of shape {shape} may be one grey image or flattened ones: pass array[None] for it, "
            "array.reshape(N, H, W) or array.reshape(N, C, H, W) for those"
        )
    if len(readings) > 1:
        return (
            f"an array of shape {shape} may be {' or '.join(readings)}: give it four dimensions, array[None] "
            "for one image, array[..., None] for several in grey"
        )
    if count is not None and len(shape) in (3, 4) and shape[0] != count:
        return f"{count} labels for {shape[0]} images; give one for each image, -1 where there is none"
    return (
        f"an array of shape {shape} is no images: (N, H, W), (N, H, W, C) or (N, C, H, W), with C 1, 3 or 4"
    )


def as_bytes(array: np.ndarray, where: str) -> np.ndarray:
    """Values as uint8, of the same shape; see `scaled`."""
    return scaled([array], where)[0]


def scaled(arrays: Sequence[np.ndarray], where: str) -> list[np.ndarray]:
    """Values as uint8; all arrays have one range.

    Understood are uint8, booleans, whole numbers in 0 .. 255, uint16 in its full range, and floats in
    [0, 1], [-1, 1] or 0 .. 255.

    Raises:
        DataError: if the values are in no such range, or not finite, or all of them 0 and 1 as numbers.
    """
    for array in arrays:
        if array.dtype.kind not in "buif" or array.size == 0:
            raise DataError(f"{where}: an array of {array.dtype} {array.shape} holds no pixels")
    arrays = [array.astype(np.uint8) * 255 if array.dtype == bool else array for array in arrays]
    low = min((float(array.min()) for array in arrays), default=0.0)
    high = max((float(array.max()) for array in arrays), default=0.0)
    kinds = {array.dtype for array in arrays}
    factor, offset = _scale(low, high, kinds.pop() if len(kinds) == 1 else np.dtype(np.float64), where)
    return [_stretched(array, factor, offset) for array in arrays]


def _scale(low: float, high: float, dtype: np.dtype, where: str) -> tuple[float, float]:
    """Factor and offset that bring the values to 0 .. 255."""
    if not np.isfinite(low + high):
        raise DataError(f"{where}: values that are not finite; replace NaN and infinity first")
    if dtype.kind in "ui":
        if high == 1 and low == 0:
            raise DataError(f"{where}: only 0 and 1 as whole numbers; pass booleans, or multiply by 255")
        if low >= 0 and high <= 255:
            return 1.0, 0.0
        if dtype == np.uint16:
            return 255 / 65535, 0.0
    elif low >= -1 and high <= 1:
        return (255.0, 0.0) if low >= 0 else (127.5, 127.5)
    elif low >= 0 and 2 < high <= 255:
        return 1.0, 0.0
    raise DataError(
        f"{where}: values from {low:g} to {high:g}: pass uint8, or floats in [0, 1] or [-1, 1]; undo any "
        "normalisation by mean and deviation"
    )


def _stretched(array: np.ndarray, factor: float, offset: float) -> np.ndarray:
    if (factor, offset) == (1.0, 0.0) and array.dtype.kind in "ui":
        return array.astype(np.uint8, copy=False)
    result = np.empty(array.shape, np.uint8)
    for start in range(0, len(array), BLOCK):  # a copy of all as floats might not fit
        block = array[start : start + BLOCK].astype(np.float32) * np.float32(factor) + np.float32(offset)
        np.rint(block, out=block)
        result[start : start + BLOCK] = block
    return result
