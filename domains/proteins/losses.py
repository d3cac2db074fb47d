"""What is trained beside the denoising of coordinates: that near things are right. All in Å.

References: Abramson et al. 2024 (AlphaFold 3), algorithm 27, for the smooth LDDT; Geffner et al. 2025
(Proteina) for the distogram.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from domains.proteins import geometry as g
from domains.proteins.backbone import DISTOGRAM
from domains.proteins.frames import in_full

NEAR, BINDING = 15.0, 8.0  # Å within which distances count: of Cα, of N and O
CLOSEST = 4.2  # Å between Cα: in real chains, one pair in a hundred residues is nearer


def _across(a: float, b: float, angle: float) -> float:
    """The distance of two atoms that are bound to a third."""
    return math.sqrt(a**2 + b**2 - 2 * a * b * math.cos(angle))


# of atoms in the order CA, N, C, O: one of a residue, one of the same or the next, and their distance, Å
BONDS = (
    (1, 0, 0, g.N_CA), (0, 2, 0, g.CA_C), (2, 3, 0, g.C_O), (2, 1, 1, g.C_N),
    (1, 2, 0, _across(g.N_CA, g.CA_C, g.N_CA_C)), (0, 3, 0, _across(g.CA_C, g.C_O, g.CA_C_O)),
    (0, 1, 1, _across(g.CA_C, g.C_N, g.CA_C_N)), (2, 0, 1, _across(g.C_N, g.N_CA, g.C_N_CA)),
    (3, 1, 1, _across(g.C_O, g.C_N, 2 * math.pi - g.CA_C_O - g.CA_C_N)), (0, 0, 1, g.CA_CA),
)  # fmt: skip


@in_full
def smooth_lddt(found: Tensor, wanted: Tensor, present: Tensor) -> Tensor:
    """One minus the share of distances under 15 Å that are kept, softly, to within .5, 1, 2 and 4 Å: (B,).

    Where there are N and O, which bind to each other, half of it is of their distances under 8 Å.

    Args:
        found, wanted: (B, N, atoms, 3), Cα first.
        present: (B, N).
    """
    lost = _lost(found[:, :, [0, 0]], wanted[:, :, [0, 0]], present, NEAR, 1)
    if found.shape[2] == 1:
        return lost
    return (lost + _lost(found[:, :, [3, 1]], wanted[:, :, [3, 1]], present, BINDING, 3)) / 2


def _lost(found: Tensor, wanted: Tensor, present: Tensor, near: float, apart: int) -> Tensor:
    """Of the distances from one atom of a residue to another of one `apart` or more; (B, N, 2, 3) each."""
    real, own = (torch.cdist(one[:, :, 0], one[:, :, 1]) for one in (wanted, found))
    at = torch.arange(present.shape[1], device=present.device)
    pairs = present[:, :, None] & present[:, None] & (real < near) & ((at[:, None] - at).abs() >= apart)
    off = (real - own).abs()
    kept = torch.stack([torch.sigmoid(limit - off) for limit in (0.5, 1.0, 2.0, 4.0)]).mean(0)
    return 1 - (kept * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)


@in_full
def bond_loss(found: Tensor, present: Tensor) -> Tensor:
    """Mean of how far off bonds, and distances over two of them, are, (B,): half the square, Å², up to 1 Å.

    Beyond, it grows by as many Å (smooth L1): one that is far off does not outweigh all others.

    Args:
        found: (B, N, atoms, 3), Cα first; of Cα alone, the distances between neighbours.
        present: (B, N).
    """
    kinds = BONDS if found.shape[2] > 1 else BONDS[-1:]
    behind = F.pad(found[:, 1:], (0, 0, 0, 0, 0, 1))
    both = (present, present & F.pad(present[:, 1:], (0, 1)))
    there = torch.stack([both[step] for _, _, step, _ in kinds], 2)
    ends = torch.stack([(found, behind)[step][:, :, b] for _, b, step, _ in kinds], 2)
    own = (ends - torch.stack([found[:, :, a] for a, _, _, _ in kinds], 2)).norm(dim=-1)
    lengths = torch.tensor([length for _, _, _, length in kinds], device=own.device).expand_as(own)
    off = F.smooth_l1_loss(own, lengths, reduction="none") * there
    return (off.sum(1) / there.sum(1).clamp(min=1)).mean(1)


@in_full
def clash_loss(found: Tensor, present: Tensor) -> Tensor:
    """Mean over residues of how far others, three or more along the chain, stand within CLOSEST, Å: (B,).

    A mean of several ways in which strands may lie has them lie on top of each other; that of coordinates
    alone finds nothing wrong with it.

    Args:
        found: (B, N, atoms, 3), Cα first.
        present: (B, N).
    """
    ca = found[:, :, 0]
    at = torch.arange(present.shape[1], device=present.device)
    pairs = present[:, :, None] & present[:, None] & ((at[:, None] - at).abs() >= 3)
    within = (CLOSEST - torch.cdist(ca, ca)).clamp(min=0) * pairs
    return within.sum((1, 2)) / present.sum(1).clamp(min=1)


@in_full
def distogram_loss(logits: Tensor, wanted: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of the bins of Cα distances, (B,), from logits (B, N, N, DISTOGRAM)."""
    edges = torch.linspace(2.0, 22.0, DISTOGRAM - 1, device=wanted.device)
    bins = torch.bucketize(torch.cdist(wanted, wanted), edges)
    loss = F.cross_entropy(logits.movedim(-1, 1), bins, reduction="none")
    pairs = present[:, :, None] & present[:, None]
    return (loss * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)
