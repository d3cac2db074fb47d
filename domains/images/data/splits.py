"""Which images a split holds; and the split of images that have none of their own, by their content."""

from hashlib import blake2b

import numpy as np

ONE_IN = 10


def held_out(pixels: np.ndarray) -> np.ndarray:
    """Which of images without a split of their own are for validation: about one in ten.

    An image's own pixels decide, in the framing of the model: neither the order of the files nor other images
    matter, and equal images are on the same side.

    Args:
        pixels: `(N, channels, size, size)`, uint8.

    Returns:
        `(N,)`, bool.
    """
    return np.array([is_held_out(image) for image in pixels], bool)


def is_held_out(image: np.ndarray) -> bool:
    """Whether one image, `(channels, size, size)` uint8, is for validation."""
    digest = blake2b(image.tobytes(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % ONE_IN == 0
