"""Refines an estimate: each residue looks at those that lie nearest, in a frame of its own.

The transformer says roughly where residues are; which of them pair, and how far they turn for that, is a
matter of a few tenths of an Ångström among some twenty residues. All that is seen and said here turns with
the residue, so every pair of strands in the data teaches the same few weights. After the message passing of
Ingraham et al. 2019 ("Generative models for graph-based protein design"), whose graph is made anew from each
estimate, as in the structure module of Jumper et al. 2021 (AlphaFold 2).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from domains.proteins.frames import frames, in_full, peptide_frames
from zoo.nn import ModulatedBlock, start_at_zero

APART = 32  # residues along the chain that are told from more
UNIT = 8.0  # Å: of what is seen in a residue's frame
CENTRES = (2.0, 17.0, 16)  # Å: the first and the last of the hats that tell distances, and how many


class Round(nn.Module):
    """One look at the nearest residues, after which each residue moves its atoms.

    Args:
        width: of a residue; condition: of the noise level; edge: of a pair that lies near.
        atoms: of a residue: 1 for Cα, 4 for Cα, N, C and O.
        nearest: residues that each looks at.
    """

    def __init__(self, width: int, condition: int, edge: int, atoms: int, nearest: int) -> None:
        super().__init__()
        self.nearest, self.atoms = nearest, atoms
        distances = 3 if atoms > 1 else 1
        self.embed = nn.Linear(9 * atoms + 9 + distances * CENTRES[-1], edge)
        self.apart = nn.Embedding(2 * APART + 1, edge)
        self.norm = nn.LayerNorm(width)
        self.own, self.other = nn.Linear(width, edge), nn.Linear(width, edge)
        self.tell = nn.Linear(edge, edge)
        self.hear = nn.Linear(edge, width)
        self.block = ModulatedBlock(width, condition, 2)
        self.last, self.move = nn.LayerNorm(width), nn.Linear(width, 3 * atoms)
        start_at_zero(self.hear)
        start_at_zero(self.move)

    def forward(
        self, h: Tensor, condition: Tensor, noisy: Tensor, estimate: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What residues know now, (B, N, width), and how each atom moves, (B, N, atoms, 3) in units of Å.

        Args:
            h: (B, N, width).
            condition: (B, 1, condition).
            noisy, estimate: (B, N, atoms, 3), Å.
            present: (B, N).
        """
        axes, near, there, seen, apart = neighbourhood(noisy, estimate, present, self.nearest)
        known = self.norm(h)
        other = gathered(self.other(known), near)
        e = self.embed(seen) + self.apart(apart) + self.own(known)[:, :, None] + other
        e = F.gelu(self.tell(F.gelu(e))) * there[..., None]
        h = h + self.hear(e.sum(2) / self.nearest**0.5)
        h = self.block(h, condition)
        move = self.move(self.last(h)).unflatten(-1, (self.atoms, 3))
        return h, moved(axes, move)


@in_full
def moved(axes: Tensor, move: Tensor) -> Tensor:
    """Vectors in frames, (B, N, atoms, 3), to those of the whole."""
    return move @ axes.mT


def gathered(values: Tensor, near: Tensor) -> Tensor:
    """Of values (B, N, *), those of residues near (B, N, K): (B, N, K, *)."""
    count = values.shape[1]
    first = torch.arange(len(values), device=values.device)[:, None, None] * count
    # by rows of one table: the gradient is a sum by index, for which nothing need be sorted
    return values.flatten(0, 1).index_select(0, (near + first).flatten()).unflatten(0, near.shape)


@in_full
def neighbourhood(
    noisy: Tensor, estimate: Tensor, present: Tensor, nearest: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Who is near, and how they are seen.

    Args:
        noisy, estimate: (B, N, atoms, 3), Å, Cα first.
        present: (B, N).
        nearest: K; fewer in a shorter chain.

    Returns:
        Axes of residues, (B, N, 3, 3), in columns; which are near, (B, N, K); whether these are there at
        all; what is seen of each, (B, N, K, features), anything where it is not; how far along the chain,
        (B, N, K), from 0.
    """
    count, ca = estimate.shape[1], estimate[:, :, 0]
    axes = peptide_frames(estimate) if estimate.shape[2] > 1 else frames(ca, present)
    away = torch.cdist(ca, ca).masked_fill(~present[:, None], 1e6)
    away = away + 1e6 * torch.eye(count, device=ca.device)
    distance, near = away.topk(min(nearest, count - 1), largest=False)
    there = (distance < 1e5) & present[:, :, None]
    other, others = gathered(torch.stack([estimate, noisy], 2), near), gathered(axes, near)
    inside = (other - ca[:, :, None, None, None]).flatten(3, 4) @ axes[:, :, None]
    back = (estimate[:, :, None] - other[:, :, :, 0, :1]) @ others
    turn = axes[:, :, None].mT @ others
    lengths = [distance]
    if estimate.shape[2] > 1:  # of hydrogen bonds: N and O
        own, of_other = estimate[:, :, None], other[:, :, :, 0]
        lengths += [(own[..., a, :] - of_other[..., b, :]).norm(dim=-1) for a, b in ((1, 3), (3, 1))]
    centres = torch.linspace(*CENTRES, device=ca.device)
    hats = (1 - (torch.stack(lengths, -1)[..., None] - centres).abs()).clamp(min=0)
    seen = torch.cat([inside.flatten(3) / UNIT, back.flatten(3) / UNIT, turn.flatten(3), hats.flatten(3)], -1)
    at = torch.arange(count, device=ca.device)
    apart = (near - at[:, None]).clamp(-APART, APART) + APART
    return axes, near, there, seen, apart
