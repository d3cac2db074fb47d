"""Blocks on feature maps, (B, C, H, W) in channels-last memory, and on sequences of patches.

Every block starts as the identity, so that depth costs nothing at the start of training. A condition is a
vector for each image, `(B, condition)`, and may be joined by a sequence of vectors, `(B, T, width)`.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def square(wide_in: int, wide_out: int, kernel: int) -> nn.Conv2d:
    """A convolution that keeps the size of a map."""
    return nn.Conv2d(wide_in, wide_out, kernel, padding=kernel // 2)


class ModulatedConvBlock(nn.Module):
    """x + conv(act(shift + (1 + scale) · norm(conv(act(norm(x)))))); scale and shift come from the condition.

    Reference: Dhariwal & Nichol 2021, section 3 ("adaptive group normalization").
    """

    def __init__(
        self,
        wide_in: int,
        wide_out: int,
        condition: int,
        dropout: float = 0.0,
        conv: Callable[[int, int, int], nn.Module] = square,
    ):
        super().__init__()
        self.norm_in, self.conv_in = groups(wide_in), conv(wide_in, wide_out, 3)
        self.modulate = nn.Linear(condition, 2 * wide_out)
        self.norm_out = groups(wide_out, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = conv(wide_out, wide_out, 3)
        self.skip = nn.Identity() if wide_in == wide_out else conv(wide_in, wide_out, 1)
        start_at_zero(self.modulate)
        start_at_zero(self.conv_out)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = self.modulate(condition).unflatten(-1, (-1, *[1] * (h.ndim - 2))).chunk(2, 1)
        h = F.silu(torch.addcmul(shift, self.norm_out(h), 1 + scale))
        return self.skip(x) + self.conv_out(self.dropout(h))


class Attention(nn.Module):
    """x + gate · attention over shift + (1 + scale) · norm(x); gate, scale and shift come from the condition.

    x is a sequence (B, N, width). Without a condition it is x + attention over norm(x). If there is a context
    (B, T, context), attention over it is added. A bias (B, heads, N, N) is added to the logits of the former:
    of pairs, or −∞ where there is nothing.

    Args:
        head: channels of a head that are wanted; the heads must share the width.
        condition: width of the condition, (B, 1, condition) in the call; 0: there is none.

    Reference: Vaswani et al. 2017; PyTorch's scaled_dot_product_attention; Peebles & Xie 2023, "adaLN-Zero".
    """

    def __init__(self, width: int, head: int = 32, context: int = 0, condition: int = 0):
        super().__init__()
        self.heads = max(n for n in range(1, width // head + 2) if width % n == 0)
        self.norm = nn.LayerNorm(width, elementwise_affine=condition == 0)
        self.modulate = nn.Linear(condition, 3 * width) if condition else None
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_kv = nn.Linear(context, 2 * width) if context else None
        self.out = nn.Linear(width, width)
        start_at_zero(self.out if self.modulate is None else self.modulate)

    def forward(
        self,
        x: Tensor,
        context: Tensor | None = None,
        bias: Tensor | None = None,
        condition: Tensor | None = None,
    ) -> Tensor:
        h, gate = self.norm(x), None
        if self.modulate is not None:
            scale, shift, gate = self.modulate(condition).chunk(3, -1)
            h = torch.addcmul(shift, h, 1 + scale)
        q, k, v = self.to_heads(self.to_qkv(h), 3)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        if self.to_kv is not None and context is not None:
            k, v = self.to_heads(self.to_kv(context), 2)
            mixed = mixed + F.scaled_dot_product_attention(q, k, v)
        out = self.out(mixed.transpose(1, 2).flatten(2))
        return x + out if gate is None else torch.addcmul(x, gate, out)

    def to_heads(self, projected: Tensor, parts: int) -> tuple[Tensor, ...]:
        """(B, N, parts · width) to as many (B, heads, N, width/heads)."""
        return projected.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()


def start_at_zero(layer: nn.Module) -> None:
    """Sets all parameters of a layer to 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def groups(channels: int, affine: bool = True) -> nn.GroupNorm:
    """Group normalisation in groups of about 16 channels."""
    count = max(n for n in range(1, channels // 16 + 2) if channels % n == 0)
    return nn.GroupNorm(count, channels, affine=affine)
