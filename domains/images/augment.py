"""Augmentation that does not leak into what is drawn: the network is told what was done to a training image,
and draws images to which nothing was done.

Reference: Karras et al. 2022, appendix F.2.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

MOVED, ZOOMED = 0.1, 0.15  # standard deviations: of half the image's size, of the logarithm
KINDS = 4


def augmented(x: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirrors, moves and zooms images, each with a probability of `share`.

    Args:
        x: (B, C, H, W).

    Returns:
        The images, and what was done to each, (B, KINDS): mirrored 0 or 1; moved right and down, zoomed, each
        over its standard deviation; all 0 where nothing was done.
    """

    def some(values: Tensor) -> Tensor:
        return values * (torch.rand(len(x), generator=generator) < share)[:, None]

    mirror = some(torch.ones(len(x), 1))
    move = some(MOVED * torch.randn(len(x), 2, generator=generator))
    zoom = some(ZOOMED * torch.randn(len(x), 1, generator=generator))
    done = torch.cat([mirror, move / MOVED, zoom / ZOOMED], 1)
    shrink = (-zoom).exp()
    back = torch.diag_embed(torch.cat([shrink * (1 - 2 * mirror), shrink], 1))  # from new places to old ones
    grid = F.affine_grid(torch.cat([back, -back @ move[:, :, None]], 2), list(x.shape), align_corners=False)
    changed = F.grid_sample(x, grid, padding_mode="border", align_corners=False)
    return torch.where(done.any(1)[:, None, None, None], changed, x), done
