"""The networks: from a noisy chunk of actions, a noise level and what was seen to something like the chunk.

What was seen is read once a chunk by an encoder, however many steps the sampler takes. The networks are a
1-D U-Net (Chi et al. 2023, "Diffusion policy"), a transformer and an MLP, of the shared blocks.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.engine.denoiser import Encoded, Encoder
from zoo.nn import (
    Attention,
    FourierFeatures,
    ModulatedBlock,
    ModulatedConvBlock,
    ResidualBlock,
    groups,
    start_at_zero,
)

Width = Annotated[int, Ge(8), Le(4096)]
Depth = Annotated[int, Ge(1), Le(64)]


@dataclass(frozen=True)
class MLPSize:
    """An MLP on the whole chunk at once."""

    kind: Literal["mlp"] = "mlp"
    width: Width = 256
    depth: Depth = 3
    condition: Width = 128


@dataclass(frozen=True)
class TransformerSize:
    """A transformer on the steps of the chunk."""

    kind: Literal["transformer"] = "transformer"
    width: Width = 128
    depth: Depth = 4
    condition: Width = 256


@dataclass(frozen=True)
class UNetSize:
    """A 1-D U-Net along the chunk; from level to level the number of steps halves."""

    kind: Literal["unet"] = "unet"
    widths: tuple[Width, ...] = (64, 128)
    condition: Width = 256


Size = MLPSize | TransformerSize | UNetSize
SIZES: dict[str, Size] = {"mlp": MLPSize(), "transformer": TransformerSize(), "unet": UNetSize()}


class SeenEncoder(Encoder):
    """What was seen as one vector, `seen` (B, width).

    Args:
        width: of that vector.
        steps: how many were observed.
        observed: values of an observation.
        channels: of a picture; 0 if there is none.
    """

    def __init__(self, width: int, steps: int, observed: int, channels: int = 0) -> None:
        super().__init__()
        self.camera = Camera(width, channels) if channels else None
        self.embed = nn.Linear(steps * (observed + (width if channels else 0)), width)
        self.block = ResidualBlock(width)

    def forward(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        seen = cond["observations"]
        if self.camera is not None:
            pictures = rearrange(cond["pictures"], "b s c h w -> (b s) c h w").to(seen)
            looks = self.camera(pictures / 127.5 - 1)
            seen = torch.cat([seen, rearrange(looks, "(b s) w -> b s w", b=len(seen))], -1)
        return Encoded({"seen": self.block(self.embed(seen.flatten(1)))})

    def loss(self, encoded: Encoded, x: Tensor, mask: Tensor | None) -> Tensor:
        return x.new_zeros(len(x))


class Camera(nn.Module):
    """Pictures (N, channels, H, W) in [-1, 1] as vectors (N, width).

    Where on the picture each feature is strongest: a spatial softmax (Finn et al. 2016), as robots need to
    know where things are.
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        widths = (32, 64, 64)
        self.stem = nn.Conv2d(channels, widths[0], 7, stride=2, padding=3)
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(groups(n) for n in widths)
        self.out = nn.Linear(2 * widths[-1], width)

    def forward(self, pictures: Tensor) -> Tensor:
        h = F.silu(self.norms[0](self.stem(pictures)))
        for conv, norm in zip(self.convs, list(self.norms)[1:], strict=True):
            h = F.silu(norm(conv(h)))
        weight = h.flatten(2).softmax(-1).unflatten(-1, h.shape[-2:])
        rows, columns = (torch.linspace(-1, 1, n, device=h.device, dtype=h.dtype) for n in h.shape[-2:])
        places = torch.stack([(weight.sum(3) * rows).sum(2), (weight.sum(2) * columns).sum(2)], -1)
        return self.out(places.flatten(1))


class Condition(nn.Module):
    """Noise level (B,) and what was seen (B, width) as one vector (B, width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.level = FourierFeatures(16)
        self.embed, self.mix = nn.Linear(self.level.width, width), nn.Linear(width, width)

    def forward(self, noise: Tensor, cond: dict[str, Tensor]) -> Tensor:
        return F.silu(self.mix(F.silu(self.embed(self.level(noise)) + cond["seen"])))


class MLP(nn.Module):
    """On chunks (B, horizon, acted)."""

    def __init__(self, size: MLPSize, horizon: int, acted: int) -> None:
        super().__init__()
        self.condition = Condition(size.condition)
        self.embed = nn.Linear(2 * horizon * acted + size.condition, size.width)
        self.blocks = nn.ModuleList(ModulatedBlock(size.width, size.condition) for _ in range(size.depth))
        self.norm, self.out = nn.LayerNorm(size.width), nn.Linear(size.width, horizon * acted)
        start_at_zero(self.out)

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        condition = self.condition(noise, cond)
        h = self.embed(torch.cat([with_mask(x, mask).flatten(1), condition], 1))
        for block in self.blocks:
            h = block(h, condition)
        return self.out(self.norm(h)).view_as(x)


class Transformer(nn.Module):
    """On chunks (B, horizon, acted)."""

    def __init__(self, size: TransformerSize, horizon: int, acted: int) -> None:
        super().__init__()
        self.condition = Condition(size.condition)
        self.embed = nn.Linear(2 * acted, size.width)
        self.places = nn.Parameter(0.02 * torch.randn(horizon, size.width))
        self.attention = nn.ModuleList(Attention(size.width) for _ in range(size.depth))
        self.blocks = nn.ModuleList(ModulatedBlock(size.width, size.condition) for _ in range(size.depth))
        self.norm, self.out = nn.LayerNorm(size.width), nn.Linear(size.width, acted)
        start_at_zero(self.out)

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        condition = self.condition(noise, cond)[:, None]
        h = self.embed(with_mask(x, mask)) + self.places
        for attention, block in zip(self.attention, self.blocks, strict=True):
            h = block(attention(h), condition)
        return self.out(self.norm(h))


class UNet(nn.Module):
    """On chunks (B, horizon, acted); the horizon is a multiple of 2^(levels − 1).

    Raises:
        ValueError: if it is not.
    """

    def __init__(self, size: UNetSize, horizon: int, acted: int) -> None:
        super().__init__()
        unit = 2 ** (len(size.widths) - 1)
        if horizon % unit:
            raise ValueError(f"a horizon of {horizon} steps: this U-Net takes multiples of {unit}")
        self.condition = Condition(size.condition)
        self.stem = along(2 * acted, size.widths[0])
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for width in size.widths:
            self.down.append(ModulatedConvBlock(width, width, size.condition, conv=along))
            self.up.append(ModulatedConvBlock(2 * width, width, size.condition, conv=along))
        for width, below in pairwise(size.widths):
            self.shrink.append(along(width, below, stride=2))
            self.grow.append(along(below, width))
        self.norm, self.out = groups(size.widths[0]), along(size.widths[0], acted, 1)
        start_at_zero(self.out)

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        condition = self.condition(noise, cond)
        # one row of pixels, channels last: there, convolutions take a CPU less time than on (B, C, T)
        h, kept = self.stem(with_mask(x, mask).transpose(1, 2)[:, :, None]), []
        for level, block in enumerate(self.down):
            h = block(self.shrink[level - 1](h) if level else h, condition)
            kept.append(h)
        for level in reversed(range(len(self.up))):
            h = self.up[level](torch.cat([h, kept.pop()], 1), condition)
            if level:
                h = self.grow[level - 1](F.interpolate(h, scale_factor=(1.0, 2.0)))
        return self.out(F.silu(self.norm(h)))[:, :, 0].transpose(1, 2)


def along(wide_in: int, wide_out: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
    """A convolution along the steps of (B, wide_in, 1, T)."""
    return nn.Conv2d(wide_in, wide_out, (1, kernel), (1, stride), (0, kernel // 2))


def with_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """The chunk, and beside each value whether it is to be generated: (B, horizon, 2 · acted)."""
    told = torch.ones_like(x) if mask is None else mask.to(x).expand_as(x)
    return torch.cat([x, told], -1)


def network(size: Size, horizon: int, acted: int) -> nn.Module:
    """The network of a size, for chunks (B, horizon, acted)."""
    if isinstance(size, MLPSize):
        return MLP(size, horizon, acted)
    if isinstance(size, TransformerSize):
        return Transformer(size, horizon, acted)
    return UNet(size, horizon, acted)
