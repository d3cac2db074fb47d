"""Blocks on feature maps, (B, C, H, W) in channels-last memory or (B, C, T), and on sequences of patches.

Every block starts as the identity, so that depth costs nothing at the start of training. A condition is a
vector for each image, `(B, condition)`, and may be joined by a sequence of vectors, `(B, T, width)`.
"""

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F


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
        conv: type[nn.Conv1d] | type[nn.Conv2d] = nn.Conv2d,
    ):
        super().__init__()
        self.norm_in, self.conv_in = groups(wide_in), conv(wide_in, wide_out, 3, padding=1)
        self.modulate = nn.Linear(condition, 2 * wide_out)
        self.norm_out = groups(wide_out, affine=False)
        self.dropout = nn.Dropout(dropout)
        self.conv_out = conv(wide_out, wide_out, 3, padding=1)
        self.skip = nn.Identity() if wide_in == wide_out else conv(wide_in, wide_out, 1)
        start_at_zero(self.modulate)
        start_at_zero(self.conv_out)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        h = self.conv_in(F.silu(self.norm_in(x)))
        scale, shift = self.modulate(condition).unflatten(-1, (-1, *[1] * (h.ndim - 2))).chunk(2, 1)
        h = F.silu(torch.addcmul(shift, self.norm_out(h), 1 + scale))
        return self.skip(x) + self.conv_out(self.dropout(h))


class Attention(nn.Module):
    """x + attention over the sequence x (B, N, width), and over a context (B, T, context) if there is one.

    A bias (B, heads, N, N) is added to the logits of the former: of pairs, or −∞ where there is nothing.

    Reference: Vaswani et al. 2017; PyTorch's scaled_dot_product_attention.
    """

    def __init__(self, width: int, head: int = 32, context: int = 0):
        super().__init__()
        self.heads = max(n for n in range(1, width // head + 2) if width % n == 0)
        self.norm = nn.LayerNorm(width)
        self.to_qkv = nn.Linear(width, 3 * width)
        self.to_kv = nn.Linear(context, 2 * width) if context else None
        self.out = nn.Linear(width, width)
        start_at_zero(self.out)

    def forward(self, x: Tensor, context: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        parts = self.to_qkv(self.norm(x)).chunk(3, -1)
        q, k, v = (rearrange(part, "b n (h d) -> b h n d", h=self.heads) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
        if self.to_kv is not None and context is not None:
            parts = self.to_kv(context).chunk(2, -1)
            k, v = (rearrange(part, "b t (h d) -> b h t d", h=self.heads) for part in parts)
            mixed = mixed + F.scaled_dot_product_attention(q, k, v)
        return x + self.out(rearrange(mixed, "b h n d -> b n (h d)"))


def start_at_zero(layer: nn.Module) -> None:
    """Sets all parameters of a layer to 0."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def groups(channels: int, affine: bool = True) -> nn.GroupNorm:
    """Group normalisation in groups of about 16 channels."""
    count = max(n for n in range(1, channels // 16 + 2) if channels % n == 0)
    return nn.GroupNorm(count, channels, affine=affine)
