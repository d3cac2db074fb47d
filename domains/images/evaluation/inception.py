"""The Fréchet distance in Inception's features, as papers on photographs report it, by torchmetrics.

It compares with such figures alone, not with those of `metrics`, and depends on how many images there are.
"""

import numpy as np
import torch
from torch import nn

from domains.images.evaluation.classifier import check_pixels
from zoo.errors import DataError, MissingExtraError

BATCH = 64


def distance(drawn: np.ndarray, real: np.ndarray, network: nn.Module | None = None) -> float:
    """The distance between two sets of images; grey ones are shown as colour.

    Args:
        drawn, real: uint8 (N, C, H, W), at least two each; papers have 50,000.
        network: features (N, D) of uint8 images (N, 3, H, W); None for torchmetrics' Inception, which
            needs torch-fidelity and fetches its weights, a pickle: yours to trust.

    Raises:
        DataError: if pixels are anything else.
        MissingExtraError: without torchmetrics, or torch-fidelity for its Inception.
    """
    for pixels in (drawn, real):
        check_pixels(pixels)
        if len(pixels) < 2:
            raise DataError(f"{len(pixels)} images have no spread: give two or more")
    try:
        from torchmetrics.image.fid import FrechetInceptionDistance

        measure = FrechetInceptionDistance(feature=2048 if network is None else network)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torchmetrics[image]", "inception") from error
    for pixels, is_real in ((drawn, False), (real, True)):
        for start in range(0, len(pixels), BATCH):
            part = torch.from_numpy(pixels[start : start + BATCH])
            measure.update(part.expand(-1, 3, -1, -1) if part.shape[1] == 1 else part, real=is_real)
    return float(measure.compute())
