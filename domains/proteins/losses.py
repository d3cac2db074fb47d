"""What is trained beside the denoising of coordinates: that near things are right. All in Å.

References: Abramson et al. 2024 (AlphaFold 3), algorithm 27, for the smooth LDDT; Geffner et al. 2025
(Proteina) for the distogram.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from domains.proteins.backbone import DISTOGRAM
from domains.proteins.geometry import CA_CA

NEAR = 15.0  # Å within which distances count


def smooth_lddt(found: Tensor, wanted: Tensor, present: Tensor) -> Tensor:
    """One minus the share of distances under 15 Å that are kept, softly, to within .5, 1, 2 and 4 Å: (B,).

    Args:
        found, wanted: Cα, (B, N, 3).
        present: (B, N).
    """
    real, own = torch.cdist(wanted, wanted), torch.cdist(found, found)
    pairs = present[:, :, None] & present[:, None] & (real < NEAR)
    pairs = pairs & ~torch.eye(present.shape[1], dtype=torch.bool, device=present.device)
    off = (real - own).abs()
    kept = torch.stack([torch.sigmoid(limit - off) for limit in (0.5, 1.0, 2.0, 4.0)]).mean(0)
    return 1 - (kept * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)


def bond_loss(found: Tensor, present: Tensor) -> Tensor:
    """Mean square of what Cα-Cα bonds are off, Å², at most 1 each: (B,)."""
    length = (found[:, 1:] - found[:, :-1]).norm(dim=-1)
    both = present[:, 1:] & present[:, :-1]
    off = F.smooth_l1_loss(length, torch.full_like(length, CA_CA), reduction="none")
    return (off * both).sum(1) / both.sum(1).clamp(min=1)


def distogram_loss(logits: Tensor, wanted: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of the bins of Cα distances, (B,), from logits (B, N, N, DISTOGRAM)."""
    edges = torch.linspace(2.0, 22.0, DISTOGRAM - 1, device=wanted.device)
    bins = torch.bucketize(torch.cdist(wanted, wanted), edges)
    loss = F.cross_entropy(logits.movedim(-1, 1), bins, reduction="none")
    pairs = present[:, :, None] & present[:, None]
    return (loss * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
