"""The window that the network sees, and the units in which it sees it.

    | left context: CONTEXT steps | target: TARGET steps | right context: RIGHT steps |

Only the target is generated. A forecast puts the last observation at the end of the left context and
leaves the rest unknown; a gap is filled by laying the target over it, with what came after in the target
and to its right; an unconditional series starts from a window without any known value. Longer stretches
are filled target by target, each one conditioned on those before.

Every window has units of its own: the last known value of the left context is 0, the standard
deviation of the known values is 1. So a series keeps its shape whatever its magnitude, and the
network needs no statistics of a data set.
"""

from typing import NamedTuple

import numpy as np

CONTEXT, TARGET, RIGHT = 512, 64, 64
WIDTH = CONTEXT + TARGET + RIGHT
INSIDE = slice(CONTEXT, CONTEXT + TARGET)  # of a window: its target
SHORTEST = 16  # steps of history that a training forecast has at least, where the series allows it
ROUNDING = 1e-12  # standard deviation, relative to the size, below which a series varies by rounding alone


class Units(NamedTuple):
    """y = (x − origin)/scale; both in float64, `(*, 1)`."""

    origin: np.ndarray
    scale: np.ndarray

    def encode(self, x: np.ndarray) -> np.ndarray:
        return ((x - self.origin) / self.scale).astype(np.float32)

    def decode(self, y: np.ndarray) -> np.ndarray:
        return y.astype(np.float64) * self.scale + self.origin


def units(values: np.ndarray, known: np.ndarray) -> Units:
    """The units of windows of shape `(*, WIDTH)`.

    A window without variation is measured in units of its own size (or 1): its forecast is then flat to
    within a millionth. A window without any known value has origin 0 and scale 1.
    """
    count = np.maximum(known.sum(-1, keepdims=True), 1)
    filled = np.where(known, values, 0.0)
    size = np.abs(filled).max(-1, keepdims=True)
    size[size == 0] = 1.0
    relative = filled / size  # squares of 1e200 must not overflow
    mean = relative.sum(-1, keepdims=True) / count
    std = np.sqrt((np.where(known, relative - mean, 0.0) ** 2).sum(-1, keepdims=True) / count)
    left = known[..., :CONTEXT]
    last = CONTEXT - 1 - np.argmax(left[..., ::-1], axis=-1)[..., None]
    newest = np.take_along_axis(filled, last, -1)
    origin = np.where(left.any(-1, keepdims=True), newest, mean * size)
    scale = np.where(std > ROUNDING, std, 1e-6) * size
    return Units(origin, np.where(known.any(-1, keepdims=True), scale, 1.0))
