"""What training minimises: at which times, with which weights, and how the loss spreads over noise levels.

The loss at time t is w(t) ‖x̂(x_t, t) − x‖². A time law says how often each t is drawn, a weight says w:

    plain     1/c_out²         mean squared error on the network's own output
    min-snr   min(α²/σ², 5)    Hang et al. 2023
    edm       (α² + σ²)/σ²     Karras et al. 2022, table 1 with σ_data = 1; on the cosine path, the v-loss

The draws of a batch are stratified, which leaves every single t with its law and lowers the variance of
the mean (Kingma et al. 2021, "Variational diffusion models", appendix I.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from zoo.engine.path import GaussianPath

if TYPE_CHECKING:
    from zoo.engine.denoiser import Batch, NetworkDenoiser

# Nearer to the ends, float32 cannot tell x_t from the data or the noise, and some targets divide 0 by 0.
T_MIN, T_MAX = 1e-4, 1 - 1e-4


def shifted(t: Tensor, shift: float) -> Tensor:
    """t ← s t/(1 + (s − 1) t): s > 1 moves times toward the noise (Esser et al. 2024, eq. 23); 0 and 1 stay.

    >>> shifted(torch.tensor([0.0, 0.5, 1.0]), 3.0)
    tensor([0.0000, 0.7500, 1.0000])
    """
    return shift * t / (1 + (shift - 1) * t)


@dataclass(frozen=True)
class Uniform:
    """t uniform in (0, 1)."""

    kind: Literal["uniform"] = "uniform"
    shift: float = 1.0

    def quantile(self, u: Tensor, path: GaussianPath) -> Tensor:
        """The time below which a share u of the draws lies (or above which: only the law matters)."""
        return u


@dataclass(frozen=True)
class LogitNormal:
    """t = sigmoid(N(mean, std²)) (Esser et al. 2024, eq. 19)."""

    mean: float = 0.0
    std: float = 1.0
    kind: Literal["logit-normal"] = "logit-normal"
    shift: float = 1.0

    def quantile(self, u: Tensor, path: GaussianPath) -> Tensor:
        return torch.sigmoid(self.mean + self.std * torch.special.ndtri(u))


@dataclass(frozen=True)
class LogNormal:
    """ln(σ/α) ~ N(mean, std²), whatever the path (Karras et al. 2022, table 1)."""

    mean: float = -1.2
    std: float = 1.2
    kind: Literal["log-normal"] = "log-normal"
    shift: float = 1.0

    def quantile(self, u: Tensor, path: GaussianPath) -> Tensor:
        return path.time(-(self.mean + self.std * torch.special.ndtri(u)))


@dataclass(frozen=True)
class Beta:
    """t ~ Beta(a, b) (Black et al. 2024, "π0", appendix B, for a = 1.5, b = 1)."""

    a: float = 1.5
    b: float = 1.0
    kind: Literal["beta"] = "beta"
    shift: float = 1.0

    def quantile(self, u: Tensor, path: GaussianPath) -> Tensor:
        # torch has no inverse of the incomplete beta function: the density is summed up on a fine grid,
        # in the angle θ of t = sin²θ, where it stays bounded for a, b ≥ 1/2
        theta = torch.linspace(0, math.pi / 2, 4097, dtype=torch.float64, device=u.device)
        middle = (theta[1:] + theta[:-1]) / 2
        mass = torch.sin(middle) ** (2 * self.a - 1) * torch.cos(middle) ** (2 * self.b - 1)
        cdf = torch.cat([theta.new_zeros(1), mass.cumsum(0)]) / mass.sum()
        i = torch.searchsorted(cdf, u.double()).clamp(1, len(mass))
        part = (u - cdf[i - 1]) / (cdf[i] - cdf[i - 1])
        return (torch.sin(theta[i - 1] + part * (theta[i] - theta[i - 1])) ** 2).to(u)


TimeLaw = Uniform | LogitNormal | LogNormal | Beta
TIME_LAWS: dict[str, type[TimeLaw]] = {law().kind: law for law in (Uniform, LogitNormal, LogNormal, Beta)}

# Weights of the squared error on x̂, from (α, σ, c_out).
WEIGHTS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "plain": lambda alpha, sigma, c_out: c_out**-2,
    "min-snr": lambda alpha, sigma, c_out: (alpha / sigma).square().clamp(max=5),
    "edm": lambda alpha, sigma, c_out: (alpha**2 + sigma**2) / sigma**2,
}


@dataclass(frozen=True)
class Objective:
    """A time law, a weight (a name in WEIGHTS), and how many (t, noise) are drawn for each encoded item."""

    time: TimeLaw = Uniform()
    weight: Literal["plain", "min-snr", "edm"] = "plain"
    repeats: int = 1

    def __post_init__(self) -> None:
        if self.weight not in WEIGHTS:
            raise ValueError(f"unknown weight {self.weight!r}: choose from {', '.join(WEIGHTS)}")
        if self.repeats < 1:
            raise ValueError(f"repeats is {self.repeats}, but at least one (t, noise) must be drawn")
        if self.time.shift <= 0:
            raise ValueError(f"the shift of a time law must be positive, not {self.time.shift}")

    def draw(self, n: int, path: GaussianPath, generator: torch.Generator) -> Tensor:
        """n times from the law, of shape `(n,)`: one in each n-th part of its mass, in (cyclic) order."""
        u = torch.rand(1, generator=generator, device=generator.device)
        u = (u + torch.arange(n, device=u.device) / n) % 1
        t = self.time.quantile(u.clamp(1e-6, 1 - 1e-6), path)
        return shifted(t, self.time.shift).clamp(T_MIN, T_MAX)


@torch.no_grad()
def loss_by_level(
    denoiser: NetworkDenoiser, batches: Iterable[Batch], generator: torch.Generator, levels: Sequence[float]
) -> dict[float, float]:
    """The diffusion loss (without the encoder's own) at each time in levels: the mean over all items.

    Every level sees the same noise, so that levels differ by their difficulty alone.
    """
    totals, items = torch.zeros(len(levels), dtype=torch.float64), 0
    for batch in batches:
        encoded = denoiser.encode(batch.cond, batch.mask)
        noise = torch.randn(batch.x.shape, generator=generator, device=generator.device).to(batch.x)
        for i, level in enumerate(levels):
            t = batch.x.new_full((len(batch.x),), level)
            totals[i] += denoiser.loss_at(encoded, batch.x, batch.mask, t, noise, batch.weight).sum().cpu()
        items += len(batch.x)
    if items == 0:
        raise ValueError("no batches: nothing to measure the loss on")
    return dict(zip(levels, (totals / items).tolist(), strict=True))
