"""The network: a transformer on residues whose attention is biased by pairs of them; and rounds that refine.

A pair knows how far apart its residues are along the chain, and in space: in the noisy state, and in the
estimate of the step before (self-conditioning, Chen et al. 2023, "Analog bits"). As in Proteina (Geffner et
al. 2025) there are no triangle layers.

The network sees a chain in a pose that turns with it, and what it says is turned back: so it is equivariant
under rotations, whatever its layers do, and not under reflections (Puny et al. 2022, "Frame averaging", with
one frame). What lies nearby, a residue also sees in a frame of its own, and part of what it says is turned
back from there, as in Genie (Lin & AlQuraishi 2023): bonds and the hand of a helix are learnt once for all
residues. So is how strands pair, in the rounds that follow: see `neighbours`.
"""

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from domains.proteins.frames import REACH, frames, in_full, poses, surroundings, turned
from domains.proteins.neighbours import APART, UNIT, Round
from zoo.nn import Attention, FourierFeatures, ModulatedBlock, start_at_zero

Width = Annotated[int, Ge(8), Le(4096)]

EDGES = (2.0, 22.0, 21)  # Å, the first and the last between bins of distances, and how many
SECONDARY = 4  # unknown, helix, strand, neither
DISTOGRAM = 32  # bins of the distances that are predicted, 2 to 22 Å and beyond


@dataclass(frozen=True)
class Size:
    """Sizes of the network.

    Attributes:
        width, depth: of the transformer.
        condition: values that tell the noise level.
        pair: values of a pair of residues.
        rounds: of refinement, after the transformer; points, in no order, have none.
        nearest, edge: residues that each one looks at there, and values of such a pair.
    """

    width: Width = 128
    depth: Annotated[int, Ge(1), Le(64)] = 6
    condition: Width = 128
    pair: Width = 16
    rounds: Annotated[int, Ge(0), Le(64)] = 4
    nearest: Annotated[int, Ge(1), Le(256)] = 20
    edge: Width = 64


class Trunk(NamedTuple):
    """What the transformer has worked out.

    Attributes:
        residues: (B, N, width).
        pairs: (B, N, N, pair).
        condition: of the noise level, (B, 1, condition).
        pose: of the chain, (B, 3, 3), axes in columns; None without an order.
        state: the noisy state, in that pose, (B, N, values).
        frames: of the residues in the noisy state and in the estimate, in that pose, (2, B, N, 3, 3), axes in
            columns; None without an order.
    """

    residues: Tensor
    pairs: Tensor
    condition: Tensor
    pose: Tensor | None
    state: Tensor
    frames: Tensor | None


class Network(nn.Module):
    """On coordinates (B, residues, values) in units of `scale` Å; the first three values are Cα.

    Conditions: `present` (B, residues), false for padding; `secondary` (B, residues), 0 where nothing is
    asked for; `estimate` (B, residues, values), zeros before there is one.

    What is no part of a chain (padding) does not change what the network says of the rest.

    Args:
        size: its sizes.
        values: of a residue: 3 for Cα, 12 for N, CA, C and O.
        scale: Å.
        ordered: whether residues have places along a chain; points of a cloud have none.
    """

    def __init__(self, size: Size, values: int, scale: float, *, ordered: bool = True) -> None:
        super().__init__()
        self.scale, self.ordered = scale, ordered
        self.level = FourierFeatures(16)
        self.place = FourierFeatures(16)
        self.embed_level = nn.Linear(self.level.width, size.condition)
        self.mix = nn.Linear(size.condition, size.condition)
        self.embed = nn.Linear(2 * values + 1, size.width)
        self.embed_place = nn.Linear(self.place.width + 1, size.width)
        self.secondary = nn.Embedding(SECONDARY, size.width)
        if ordered:
            self.embed_near = nn.Linear(2 * (6 * REACH + values - 3), size.width)
            self.out_near = nn.Linear(size.width, 2 * values)
            start_at_zero(self.out_near)
        self.apart = nn.Embedding(2 * APART + 1, size.pair)
        self.near = nn.Embedding(EDGES[-1] + 1, size.pair)
        self.nearer = nn.Embedding(EDGES[-1] + 1, size.pair)
        self.pair = nn.Sequential(nn.LayerNorm(size.pair), nn.Linear(size.pair, size.pair), nn.GELU())
        attention = [Attention(size.width) for _ in range(size.depth)]
        self.attention = nn.ModuleList(attention)
        self.bias = nn.ModuleList(nn.Linear(size.pair, block.heads, bias=False) for block in attention)
        self.blocks = nn.ModuleList(ModulatedBlock(size.width, size.condition, 4) for _ in range(size.depth))
        near = (size.edge, values // 3, size.nearest)
        self.rounds = nn.ModuleList(
            Round(size.width, size.condition, *near) for _ in range(size.rounds * ordered)
        )
        self.norm, self.out = nn.LayerNorm(size.width), nn.Linear(size.width, values)
        self.left, self.right = nn.Linear(size.width, size.pair), nn.Linear(size.width, size.pair)
        self.distances = nn.Linear(size.pair, DISTOGRAM)
        start_at_zero(self.out)

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        return self.coordinates(self.trunk(x, noise, cond, mask), noise, cond["present"], mask)

    def coordinates(self, trunk: Trunk, noise: Tensor, present: Tensor, mask: Tensor | None) -> Tensor:
        """What is said of residues, (B, N, values), from what `trunk` made of the arguments of `forward`."""
        h = self.norm(trunk.residues)
        out = self.out(h)
        if trunk.frames is None or trunk.pose is None:
            return out
        near = self.out_near(h).unflatten(-1, (2, -1, 3))  # (B, N, 2, atoms, 3)
        out = out + unturned(trunk.frames, near).sum(2).flatten(2)
        h = trunk.residues
        noisy = trunk.state.unflatten(-1, (-1, 3)) * self.scale
        cos, sin = (f(noise * (torch.pi / 2))[:, None, None] for f in (torch.cos, torch.sin))
        for one in self.rounds:
            # what has been said so far, as an estimate of the data under the scaling "flow" of
            # `zoo.engine.denoiser`; under another, what is seen is less apt, and no less defined
            estimate = (trunk.state - sin * out) / (cos + sin)
            estimate = estimate if mask is None else torch.where(mask, estimate, trunk.state)
            found = estimate.detach().unflatten(-1, (-1, 3)) * self.scale
            h, move = one(h, trunk.condition, noisy, found, present)
            out = out + move.flatten(2)
        return turned(out, trunk.pose.mT)

    def trunk(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Trunk:
        """From the arguments of `forward`."""
        present, estimate = cond["present"], cond["estimate"]
        count = x.shape[1]
        condition = F.silu(self.mix(F.silu(self.embed_level(self.level(noise)))))[:, None]
        length = present.sum(1, keepdim=True).to(x)
        place = torch.arange(count, device=x.device) * self.ordered / (length - 1).clamp(min=1)
        told = torch.cat([self.place(place), (length / 256)[..., None].expand(-1, count, 1)], -1)
        drawn = x.new_ones(len(x), count, 1) if mask is None else mask[..., :1].to(x).expand(len(x), count, 1)
        pose = None
        if self.ordered:
            pose = poses(x[..., :3] + estimate[..., :3], present)
            x, estimate = turned(x, pose), turned(estimate, pose)
        h = self.embed(torch.cat([x, estimate, drawn], -1)) + self.embed_place(told)
        h = h + self.secondary(cond["secondary"])
        axes = None
        if self.ordered:
            both = torch.stack([x, estimate]) * (self.scale / UNIT)
            axes = frames(both[..., :3], present)
            h = h + self.embed_near(surroundings(both, axes, present))
        pair = self.pairs(x, estimate)
        away = torch.zeros(len(x), 1, 1, count, device=x.device).masked_fill(~present[:, None, None], -1e4)
        for attention, bias, block in zip(self.attention, self.bias, self.blocks, strict=True):
            h = block(attention(h, bias=bias(pair).movedim(-1, 1) + away), condition)
        return Trunk(h, pair, condition, pose, x, axes)

    def pairs(self, x: Tensor, estimate: Tensor) -> Tensor:
        """What a pair of residues knows, (B, N, N, pair)."""
        at = torch.arange(x.shape[1], device=x.device)
        apart = (at[:, None] - at[None]).clamp(-APART, APART) * self.ordered + APART
        bins = [binned(one[..., :3] * self.scale) for one in (x, estimate)]
        return self.pair(self.apart(apart) + self.near(bins[0]) + self.nearer(bins[1]))

    def distogram(self, trunk: Trunk) -> Tensor:
        """Logits of the distance of each pair, (B, N, N, DISTOGRAM)."""
        left, right = self.left(trunk.residues), self.right(trunk.residues)
        both = left[:, :, None] * right[:, None] + left[:, None] * right[:, :, None]
        return self.distances(trunk.pairs + both)


@in_full
def unturned(axes: Tensor, near: Tensor) -> Tensor:
    """Vectors in frames of two kinds, (B, N, 2, atoms, 3), by axes (2, B, N, 3, 3), as they are."""
    return torch.einsum("sbnij,bnsaj->bnsai", axes, near)


@in_full
def binned(ca: Tensor) -> Tensor:
    """The bins of distances between points (B, N, 3), Å: (B, N, N)."""
    return torch.bucketize(torch.cdist(ca, ca), torch.linspace(*EDGES, device=ca.device))
