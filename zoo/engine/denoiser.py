"""Denoisers: from a noisy x_t at time t to an estimate x̂ of the data.

Whatever a network predicts, two scalars turn its output F into x̂ and a third scales its input to unit
variance (for data of unit variance):

    x̂ = c_skip x_t + c_out F(c_in x_t, c_noise),    c_noise = (2/π) atan2(σ, α) in [0, 1] on every path.

    name   F predicts            c_skip            c_out
    x0     x                     0                 1
    eps    ε                     1/α               −σ/α          undefined where α = 0
    v      α ε − σ x             α/(α² + σ²)       −σ/(α² + σ²)
    flow   ε − x                 1/(α + σ)         −σ/(α + σ)
    edm    unit-variance target  α/(α² + σ²)       σ/√(α² + σ²)

References: Ho et al. 2020 (eps); Salimans & Ho 2022 (v); Lipman et al. 2023 (flow);
Karras et al. 2022, table 1 (edm).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from zoo.engine.objective import WEIGHTS, Objective
from zoo.engine.path import GaussianPath, Path, expand


class Scaling(NamedTuple):
    """x̂ = c_skip x_t + c_out F(c_in x_t)."""

    c_in: Tensor
    c_skip: Tensor
    c_out: Tensor

    def estimate(self, x_t: Tensor, out: Tensor) -> Tensor:
        """x̂, where the network says `out`."""
        return self.c_skip * x_t + self.c_out * out


class Known(NamedTuple):
    """The same at one time for all, where c_in has no dimensions and the others are numbers.

    On a CPU these are the fastest forms for a product and for a weighted sum.
    """

    c_in: Tensor
    c_skip: float
    c_out: float

    def estimate(self, x_t: Tensor, out: Tensor) -> Tensor:
        """x̂, where the network says `out`."""
        return torch.add(x_t if self.c_skip == 1 else self.c_skip * x_t, out, alpha=self.c_out)


def _x0(alpha: Tensor, sigma: Tensor) -> Scaling:
    return Scaling(torch.hypot(alpha, sigma).reciprocal(), torch.zeros_like(alpha), torch.ones_like(alpha))


def _eps(alpha: Tensor, sigma: Tensor) -> Scaling:
    return Scaling(torch.hypot(alpha, sigma).reciprocal(), 1 / alpha, -sigma / alpha)


def _v(alpha: Tensor, sigma: Tensor) -> Scaling:
    power = alpha**2 + sigma**2
    return Scaling(power.rsqrt(), alpha / power, -sigma / power)


def _flow(alpha: Tensor, sigma: Tensor) -> Scaling:
    return Scaling(torch.hypot(alpha, sigma).reciprocal(), 1 / (alpha + sigma), -sigma / (alpha + sigma))


def _edm(alpha: Tensor, sigma: Tensor) -> Scaling:
    power = alpha**2 + sigma**2
    return Scaling(power.rsqrt(), alpha / power, sigma * power.rsqrt())


SCALINGS: dict[str, Callable[[Tensor, Tensor], Scaling]] = {
    "x0": _x0,
    "eps": _eps,
    "v": _v,
    "flow": _flow,
    "edm": _edm,
}


@dataclass(frozen=True)
class Batch:
    """Training data: x of shape `(B, *)`, conditions that lead with B; mask and weight broadcast to x.

    The mask is True where x is to be generated, False where it is given or padding; None: generate all. The
    network sees it. The weight of a value in the loss the network does not see: it is 0 where x is unknown,
    and is to look like the rest all the same. None: all alike.
    """

    x: Tensor
    cond: dict[str, Tensor]
    mask: Tensor | None = None
    weight: Tensor | None = None

    def __post_init__(self) -> None:
        x = tuple(self.x.shape)
        for name, value in (("mask", self.mask), ("weight", self.weight)):
            own = x if value is None else tuple(value.shape)
            if len(own) != len(x) or any(m not in (1, n) for m, n in zip(own, x, strict=True)):
                raise ValueError(
                    f"a {name} of shape {own} does not fit x of shape {x}: each size must be the same or 1"
                )

    def to(self, device: torch.device | str) -> Batch:
        cond = {name: value.to(device) for name, value in self.cond.items()}
        mask, weight = (None if v is None else v.to(device) for v in (self.mask, self.weight))
        return Batch(self.x.to(device), cond, mask, weight)


def repeat(value: Tensor, n: int) -> Tensor:
    """Repeat a tensor that leads with B0 to lead with n, every item n/B0 times in succession.

    >>> repeat(torch.tensor([1, 2]), 4)
    tensor([1, 1, 2, 2])
    """
    if n % len(value):
        raise ValueError(f"{n} rows cannot be shared evenly among {len(value)} items")
    if len(value) == n:
        return value
    if len(value) == 1:
        return value.expand(n, *value.shape[1:])
    return value.repeat_interleave(n // len(value), 0)


@dataclass(frozen=True)
class Encoded:
    """Conditions made ready once for many steps, and the z = (x − loc)/scale that diffusion lives in.

    loc and scale broadcast to x; their gradient comes from the encoder's own loss alone.
    """

    cond: dict[str, Tensor]
    loc: Tensor | float = 0.0
    scale: Tensor | float = 1.0

    def repeat(self, n: int) -> Encoded:
        """The same for n rows: see `repeat`."""
        loc, scale = (repeat(v, n) if isinstance(v, Tensor) and v.ndim else v for v in (self.loc, self.scale))
        return Encoded({name: repeat(value, n) for name, value in self.cond.items()}, loc, scale)

    def standardise(self, x: Tensor) -> Tensor:
        """z = (x − loc)/scale, with no gradient to loc and scale."""
        if isinstance(self.loc, float) and isinstance(self.scale, float) and (self.loc, self.scale) == (0, 1):
            return x
        loc, scale = (torch.as_tensor(v).detach().to(x) for v in (self.loc, self.scale))
        return (x - loc) / scale

    def restore(self, z: Tensor) -> Tensor:
        """x = loc + scale z."""
        return self.loc + self.scale * z


class Encoder(nn.Module, ABC):
    """Works on the conditions once per batch or sampling call: a history encoder, a text encoder."""

    @abstractmethod
    def forward(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        """Encode conditions that lead with B0; the encoded ones lead with B0 or 1."""

    @abstractmethod
    def loss(self, encoded: Encoded, x: Tensor, mask: Tensor | None) -> Tensor:
        """The encoder's own loss, of shape `(B,)`: −ln p(x) under loc and scale, for example."""


@lru_cache(4096)  # for a small network they take longer than all else in the step of a sampler
@torch.inference_mode(False)  # what is kept must serve outside that mode as well
def _known(path: GaussianPath, scaling: str, t: float, dtype: torch.dtype, n: int) -> tuple[Known, Tensor]:
    """The scaling at a time, and the noise level that the network is told, (n,)."""
    alpha, sigma = path.scales(torch.tensor(t, dtype=torch.float64, device="cpu"))
    c_in, c_skip, c_out = SCALINGS[scaling](alpha, sigma)
    return Known(c_in.to(dtype), c_skip.item(), c_out.item()), _level(alpha, sigma).to(dtype).expand(n)


def _level(alpha: Tensor, sigma: Tensor) -> Tensor:
    """(2/π) atan2(σ, α)."""
    return torch.atan2(sigma, alpha) * (2 / math.pi)


def _one_for_all(t: Tensor) -> float | None:
    """The one time of all rows, as samplers give it, where it can be had for nothing: on a CPU."""
    if torch.is_grad_enabled() or torch.compiler.is_compiling() or not t.is_cpu:
        return None
    if t.shape[0] == 1:
        return t.item()
    return t[0].item() if t.stride(0) == 0 else None


class Denoiser(nn.Module, ABC):
    """An estimate of the data from a noisy state: x̂ = E[x | x_t], if it were perfect."""

    path: Path

    @abstractmethod
    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        """Make the conditions ready: `forward` takes the encoded ones."""

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        """x̂ of shape `(B, *)` from x_t of shape `(B, *)`, t of shape `(B,)` and encoded conditions."""

    def colour(self, noise: Tensor) -> Tensor:
        """Unit noise `(B, *)` to the noise at the end of the path: correlated within a sample, say."""
        return noise

    def leaves(self) -> list[Denoiser]:
        """The denoisers at the bottom of this one: itself, or those that it is made of."""
        below = [module for module in self.children() if isinstance(module, Denoiser)]
        return [leaf for module in below for leaf in module.leaves()] or [self]


class NetworkDenoiser(Denoiser):
    """A network F(c_in x_t, c_noise, cond, mask) -> like x, on a path, under a scaling (a name in SCALINGS).

    Values that are given (mask False) reach the network as they are, neither noised nor scaled. A linear
    `colour` turns the unit noise of training and sampling into noise of another covariance, which the
    network finds easier to turn into data; None leaves it white.

    Errors: ValueError if the scaling is unknown, or undefined somewhere on the path.
    """

    def __init__(
        self,
        network: nn.Module,
        path: GaussianPath,
        scaling: str,
        objective: Objective,
        encoder: Encoder | None = None,
        colour: Callable[[Tensor], Tensor] | None = None,
    ):
        super().__init__()
        if scaling not in SCALINGS:
            raise ValueError(f"unknown scaling {scaling!r}: choose from {', '.join(SCALINGS)}")
        ends = SCALINGS[scaling](*path.scales(torch.tensor([0.0, 1.0])))
        if not all(c.isfinite().all() for c in ends):
            raise ValueError(
                f"scaling {scaling!r} is undefined on the path {type(path).__name__}: α = 0 at t = 1, and "
                "from pure noise the data cannot be had as (x_t − σ ε)/α. Predict 'v', 'flow' or 'x0'"
            )
        self.network, self.encoder = network, encoder
        self.path: GaussianPath = path  # pyright: ignore[reportIncompatibleVariableOverride] (never set again)
        self.scaling, self.objective, self._colour = scaling, objective, colour

    def colour(self, noise: Tensor) -> Tensor:
        return noise if self._colour is None else self._colour(noise)

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return Encoded(cond) if self.encoder is None else self.encoder(cond, mask)

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        scaled, c_noise, scaling = self.seen(x_t, t, mask)
        out = self.network(scaled, c_noise, cond, mask)
        if out.shape != x_t.shape:
            raise ValueError(
                f"the network must keep the shape {tuple(x_t.shape)}, not make {tuple(out.shape)}"
            )
        return scaling.estimate(x_t, out)

    def seen(self, x_t: Tensor, t: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor, Scaling | Known]:
        """What the network sees of a state, its noise level (B,), and what turns its answer into x̂."""
        if x_t.is_cpu and (time := _one_for_all(t)) is not None:
            scaling, level = _known(self.path, self.scaling, time, t.dtype, t.shape[0])
        else:
            alpha, sigma = self.path.scales(expand(t, x_t))
            scaling, level = SCALINGS[self.scaling](alpha, sigma), _level(alpha, sigma).flatten()
        scaled = scaling.c_in * x_t
        if mask is not None:
            scaled = torch.where(mask, scaled, x_t)
        return scaled, level, scaling

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        """The training loss of every item, of shape `(B,)`: weighted diffusion loss + the encoder's own."""
        encoded = self.encode(batch.cond, batch.mask)
        items, n = len(batch.x), len(batch.x) * self.objective.repeats
        mask, weight = (
            None if v is None else repeat(v.expand(items, *v.shape[1:]), n)
            for v in (batch.mask, batch.weight)
        )
        x = repeat(batch.x, n)
        t = self.objective.draw(n, self.path, generator).to(x)
        t = t.view(self.objective.repeats, items).T.flatten()  # stratified within each item's repeats, too
        noise = torch.randn(x.shape, generator=generator, device=generator.device).to(x)
        loss = self.loss_at(encoded.repeat(n), x, mask, t, noise, weight).view(items, -1).mean(1)
        return loss if self.encoder is None else loss + self.encoder.loss(encoded, batch.x, batch.mask)

    def loss_at(
        self,
        encoded: Encoded,
        x: Tensor,
        mask: Tensor | None,
        t: Tensor,
        noise: Tensor,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The weighted diffusion loss at t, of shape `(B,)`: the mean over what is to be generated.

        `weight`, in the form of the mask, weighs the values of that mean.
        """
        z = encoded.standardise(x)
        z_t = self.path.corrupt(z, t, self.colour(noise))
        if mask is not None:
            z_t = torch.where(mask, z_t, z)
        error = (self(z_t, t, encoded.cond, mask) - z) ** 2
        return self.mean(self.of_level(t, x) * error, mask, weight)

    def of_level(self, t: Tensor, x: Tensor) -> Tensor:
        """The weight of the loss at times t (B,), which broadcasts against x (B, *)."""
        alpha, sigma = self.path.scales(expand(t, x))
        return WEIGHTS[self.objective.weight](alpha, sigma, SCALINGS[self.scaling](alpha, sigma).c_out)

    @staticmethod
    def mean(error: Tensor, mask: Tensor | None, weight: Tensor | None) -> Tensor:
        """The mean of (B, *) over what is to be generated, by the weights of its values: (B,)."""
        if mask is None and weight is None:
            return error.flatten(1).mean(1)
        counts = torch.ones_like(error) if mask is None else mask.expand(error.shape).to(error)
        counts = (counts if weight is None else counts * weight).flatten(1)
        return (error.flatten(1).where(counts > 0, 0.0) * counts).sum(1) / counts.sum(1).clamp(min=1e-8)
