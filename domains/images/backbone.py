"""The networks: a U-Net and a diffusion transformer (DiT), of the same blocks, under the same condition.

Both fold patches of pixels into channels first; a U-Net whose first level is thin needs no patch, as little
time goes there. They read the noise level, a class and, if there is one, a sequence of vectors (of a text,
say). What is given of an image (mask False) is told by a channel of its own.

References: Ronneberger et al. 2015 and Ho et al. 2020 for the U-Net; Peebles & Xie 2023 for the DiT.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Le
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from domains.images.augment import KINDS
from zoo.nn import Attention, FourierFeatures, ModulatedBlock, ModulatedConvBlock, groups, start_at_zero

Width = Annotated[int, Ge(4), Le(8192)]
Count = Annotated[int, Ge(0), Le(256)]


@dataclass(frozen=True)
class UNetSize:
    """Sizes of a U-Net.

    Attributes:
        patch: pixels that are folded into channels, each way.
        widths: channels of each level; from level to level the resolution halves.
        depths: blocks of each level, on the way down and on the way up.
        attention: whether a level has attention, between the way down and the way up.
        condition: width of the condition.
        dropout: in the blocks.
    """

    kind: Literal["unet"] = "unet"
    patch: Annotated[int, Ge(1), Le(32)] = 1
    widths: tuple[Width, ...] = (16, 64, 112)
    depths: tuple[Count, ...] = (1, 1, 2)
    attention: tuple[bool, ...] = (False, False, True)
    condition: Width = 128
    dropout: Annotated[float, Ge(0), Le(1)] = 0.0


@dataclass(frozen=True)
class DiTSize:
    """Sizes of a DiT; see `UNetSize`.

    The condition is wide for the depth: its layers have many parameters and take next to no time.
    """

    kind: Literal["dit"] = "dit"
    patch: Annotated[int, Ge(1), Le(32)] = 2
    width: Width = 128
    depth: Count = 4
    condition: Width = 280


Size = UNetSize | DiTSize
HEAD = 64  # channels of a head of the DiT's attention: more heads take more exponentials
SIZES: dict[str, Size] = {
    "unet-tiny": UNetSize(),
    "unet-small": UNetSize(widths=(32, 112, 208), depths=(1, 2, 3), condition=256, dropout=0.1),
    "unet-base": UNetSize(
        widths=(32, 128, 224, 288),
        depths=(1, 2, 3, 3),
        attention=(False, False, True, True),
        condition=512,
    ),
    "dit-tiny": DiTSize(),
    "dit-small": DiTSize(width=256, depth=6, condition=480),
    "dit-base": DiTSize(width=384, depth=10, condition=704),
}


class Condition(nn.Module):
    """Noise level (B,) and class (B,) as one vector (B, width); the class after the last is "none".

    In training, `augmented` (B, KINDS) may say what was done to an image.
    """

    def __init__(self, width: int, classes: int):
        super().__init__()
        self.level = FourierFeatures(32)
        self.embed = nn.Linear(self.level.width, width)
        self.classes = nn.Embedding(classes + 1, width)
        self.mix = nn.Linear(width, width)
        self.augmented = nn.Linear(KINDS, width, bias=False)
        start_at_zero(self.augmented)

    def grow(self, more: int) -> None:
        """Adds classes after the others, each at the start like "none"."""
        known, none = self.classes.weight.detach().split([self.classes.num_embeddings - 1, 1])
        self.classes = nn.Embedding.from_pretrained(
            torch.cat([known, none.expand(more + 1, -1)]), freeze=False
        )

    def forward(self, noise: Tensor, cond: dict[str, Tensor]) -> Tensor:
        done = cond["augmented"] if "augmented" in cond else noise.new_zeros(noise.shape[0], KINDS)
        h = self.embed(self.level(noise)) + self.classes(cond["label"]) + self.augmented(done)
        return F.silu(self.mix(F.silu(h)))


class UNet(nn.Module):
    """A U-Net on images (B, channels, H, W); H and W are multiples of patch · 2^(levels − 1).

    Args:
        size: its sizes.
        channels: of the images.
        classes: how many there are.
        context: width of the vectors of `cond["context"]` (B, T, context); 0: there are none.
    """

    def __init__(self, size: UNetSize, channels: int, classes: int, context: int = 0):
        super().__init__()
        if not len(size.widths) == len(size.depths) == len(size.attention):
            raise ValueError("widths, depths and attention need an entry for each level")
        self.patch = size.patch
        self.condition = Condition(size.condition, classes)
        self.stem = nn.Conv2d((channels + 1) * size.patch**2, size.widths[0], 3, padding=1)
        self.down, self.attention, self.up = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        self.shrink, self.grow = nn.ModuleList(), nn.ModuleList()
        for level, (width, depth, attends) in enumerate(
            zip(size.widths, size.depths, size.attention, strict=True)
        ):
            make = (width, size.condition, size.dropout)
            self.down.append(nn.ModuleList(ModulatedConvBlock(width, *make) for _ in range(depth)))
            self.attention.append(nn.ModuleList([Attention(width, context=context)] if attends else []))
            self.up.append(nn.ModuleList(ModulatedConvBlock(2 * width, *make) for _ in range(depth)))
            if level + 1 < len(size.widths):
                below = size.widths[level + 1]
                self.shrink.append(nn.Conv2d(width, below, 3, stride=2, padding=1))
                self.grow.append(nn.Conv2d(below, width, 3, padding=1))
        self.norm = groups(size.widths[0])
        self.out = nn.Conv2d(size.widths[0], channels * size.patch**2, 3, padding=1)
        start_at_zero(self.out)

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        condition, context = self.condition(noise, cond), cond.get("context")
        h = self.stem(folded(with_mask(x, mask), self.patch).contiguous(memory_format=torch.channels_last))
        kept: list[Tensor] = []
        for level, blocks in enumerate(self.down):
            for block in sequence_of(blocks):
                h = block(h, condition)
                kept.append(h)
            for attention in sequence_of(self.attention[level]):
                flat = attention(h.flatten(2).transpose(1, 2), context)
                h = flat.transpose(1, 2).unflatten(2, h.shape[-2:])
            if level < len(self.shrink):
                h = self.shrink[level](h)
        for level in reversed(range(len(self.up))):
            for block in sequence_of(self.up[level]):
                h = block(torch.cat([h, kept.pop()], 1), condition)
            if level > 0:
                h = self.grow[level - 1](F.interpolate(h, scale_factor=2.0))
        return unfolded(self.out(F.silu(self.norm(h))), self.patch)


class DiT(nn.Module):
    """A transformer on patches of images (B, channels, H, W); see `UNet`."""

    def __init__(self, size: DiTSize, channels: int, classes: int, context: int = 0):
        super().__init__()
        self.patch = size.patch
        self.condition = Condition(size.condition, classes)
        self.embed = nn.Linear((channels + 1) * size.patch**2, size.width)
        self.place = FourierFeatures(size.width // 4, 0.25, 32.0)
        self.to_place = nn.Linear(2 * self.place.width, size.width)
        make = (size.width, HEAD, context, size.condition)
        self.attention = nn.ModuleList(Attention(*make) for _ in range(size.depth))
        self.blocks = nn.ModuleList(ModulatedBlock(size.width, size.condition, 4) for _ in range(size.depth))
        self.norm = nn.LayerNorm(size.width)
        self.out = nn.Linear(size.width, channels * size.patch**2)
        start_at_zero(self.out)

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        condition, context = self.condition(noise, cond)[:, None], cond.get("context")
        patches = folded(with_mask(x, mask), self.patch)
        rows, columns = (torch.linspace(0, 1, n, device=x.device) for n in patches.shape[-2:])
        place = torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1).flatten(0, 1)
        h = self.embed(patches.flatten(2).transpose(1, 2)) + self.to_place(self.place(place).flatten(1))
        for attention, block in zip(self.attention, self.blocks, strict=True):
            h = block(attention(h, context, condition=condition), condition)
        out = self.out(self.norm(h)).transpose(1, 2).unflatten(2, patches.shape[-2:])
        return unfolded(out, self.patch)


def network(size: Size, channels: int, classes: int, context: int = 0) -> nn.Module:
    """The network of a size; see `UNet`."""
    if isinstance(size, UNetSize):
        return UNet(size, channels, classes, context)
    return DiT(size, channels, classes, context)


def coarsest(size: Size) -> int:
    """Pixels that a network reads as one: height and width of its images are multiples of it."""
    return size.patch * 2 ** (len(size.widths) - 1) if isinstance(size, UNetSize) else size.patch


def with_mask(x: Tensor, mask: Tensor | None) -> Tensor:
    """The image and a channel that is 1 where it is to be generated."""
    told = x.new_ones(()) if mask is None else mask[:, :1].to(x)
    return torch.cat([x, told.expand(x.shape[0], 1, *x.shape[-2:])], 1)


def folded(x: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) to (B, C · patch², H/patch, W/patch)."""
    return rearrange(x, "b c (h p) (w q) -> b (c p q) h w", p=patch, q=patch)


def unfolded(x: Tensor, patch: int) -> Tensor:
    """Undoes `folded`."""
    return rearrange(x, "b (c p q) h w -> b c (h p) (w q)", p=patch, q=patch)


def sequence_of(modules: nn.Module) -> Sequence[nn.Module]:
    """The modules of a list inside a list, typed."""
    return list(modules.children())
