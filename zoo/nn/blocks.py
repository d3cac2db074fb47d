"""Residual blocks on vectors.

Every block starts as the identity, so that depth costs nothing at the start of training.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def once(value: Tensor) -> Tensor:
    """The first row alone of a tensor whose rows are all the same memory, as where one serves all members."""
    return value[:1] if value.stride(0) == 0 else value


class FourierFeatures(nn.Module):
    """Sines and cosines of a number in [0, 1], such as a noise level, at log-spaced frequencies.

    Reference: Vaswani et al. 2017, section 3.5.
    """

    def __init__(self, count: int, lowest: float = 0.5, highest: float = 200.0):
        super().__init__()
        self.width = 2 * count + 1
        self.frequencies: Tensor
        frequencies = torch.linspace(math.log(lowest), math.log(highest), count).exp()
        self.register_buffer("frequencies", frequencies, persistent=False)

    def forward(self, value: Tensor) -> Tensor:
        """Values of shape `(*)` to features of shape `(*, width)`, the value itself among them."""
        value = value[..., None]
        angle = value * self.frequencies
        return torch.cat([angle.sin(), angle.cos(), value], -1)


class ResidualBlock(nn.Module):
    """x + MLP(norm(x)) on the last dimension."""

    def __init__(self, width: int, dropout: float = 0.0, expansion: int = 2):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        self.dropout = nn.Dropout(dropout)
        nn.init.zeros_(self.down.weight)
        nn.init.zeros_(self.down.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.down(self.dropout(F.gelu(self.up(self.norm(x)))))


class ModulatedBlock(nn.Module):
    """x + gate · MLP(shift + (1 + scale) · norm(x)); gate, scale and shift come from a condition.

    Reference: Peebles & Xie 2023, "adaLN-Zero".
    """

    def __init__(self, width: int, condition: int, expansion: int = 2):
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.Linear(condition, 3 * width)
        self.up, self.down = nn.Linear(width, expansion * width), nn.Linear(expansion * width, width)
        nn.init.zeros_(self.modulate.weight)
        nn.init.zeros_(self.modulate.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x of shape `(*, width)`, condition of a shape that broadcasts to `(*, condition)`."""
        scale, shift, gate = self.modulate(condition).chunk(3, -1)
        out = self.down(F.gelu(self.up(torch.addcmul(shift, self.norm(x), 1 + scale))))
        return torch.addcmul(x, gate, out)
