"""Paths from data to noise.

Time runs from t = 0, the data, to t = 1, the noise. A Gaussian path is a pair of functions (α, σ)(t) with

    x_t = α(t) x + σ(t) ε,    ε ~ N(0, I),    λ(t) = ln(α/σ),

λ falling in t. Given an estimate x̂ of x, ε̂ = (x_t − α_t x̂)/σ_t, and for every such path one step
from t to s < t is

    x_s = α_s x̂ + √(σ_s² − τ²) ε̂ + τ z,    τ = η σ_s √(1 − (α_t σ_s / α_s σ_t)²),    z ~ N(0, I):

the probability-flow ODE for η = 0 (DDIM), ancestral sampling for η = 1 (DDPM). t = 0 is the data
themselves: a step to s = 0 lands on x̂, also where σ(0) > 0.

References: Song et al. 2021, "Denoising diffusion implicit models", eq. 12 and 16; Karras et al.
2022, "Elucidating the design space of diffusion-based generative models"; Lipman et al. 2023,
"Flow matching for generative modeling".
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


def expand(t: Tensor, x: Tensor) -> Tensor:
    """View t, of shape `(B,)` or `(1,)`, as `(B, 1, ..., 1)`, to broadcast against x of shape `(B, *)`.

    >>> expand(torch.ones(2), torch.zeros(2, 3, 8, 8)).shape
    torch.Size([2, 1, 1, 1])
    """
    if t.ndim != 1 or t.shape[0] not in (1, x.shape[0]):
        raise ValueError(f"t has shape {tuple(t.shape)}, but x of shape {tuple(x.shape)} needs ({len(x)},)")
    return t.reshape(-1, *(1,) * (x.ndim - 1))


class Path(ABC):
    """A way from data (t = 0) to noise (t = 1). x has shape `(B, *)` and t, s have shape `(B,)`."""

    @abstractmethod
    def corrupt(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Bring the data x to time t with the given unit noise."""

    @abstractmethod
    def step(
        self,
        x_t: Tensor,
        x_hat: Tensor,
        t: Tensor,
        s: Tensor,
        *,
        eta: float = 0.0,
        noise: Tensor | None = None,
    ) -> Tensor:
        """Go from t to an earlier time s, given the estimate x_hat of the data; eta > 0 needs noise."""

    @abstractmethod
    def prior(self, noise: Tensor) -> Tensor:
        """Turn unit noise into a state at t = 1."""


class GaussianPath(Path, ABC):
    """x_t = α(t) x + σ(t) ε."""

    @abstractmethod
    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(α, σ) at t, each of the shape of t."""

    @abstractmethod
    def time(self, log_snr: Tensor) -> Tensor:
        """The time t at which ln(α/σ) = log_snr: the inverse of `log_snr`."""

    def log_snr(self, t: Tensor) -> Tensor:
        """λ = ln(α/σ) at t, infinite where σ = 0 or α = 0."""
        alpha, sigma = self.scales(t)
        return alpha.log() - sigma.log()

    def corrupt(self, x: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        alpha, sigma = self.scales(expand(t, x))
        return alpha * x + sigma * noise

    def prior(self, noise: Tensor) -> Tensor:
        return self.scales(noise.new_ones(()))[1] * noise

    def landing(self, s: Tensor) -> tuple[Tensor, Tensor]:
        """(α, σ) at s, where s = 0 means the data themselves: (1, 0)."""
        alpha, sigma = self.scales(s)
        return torch.where(s > 0, alpha, 1.0), torch.where(s > 0, sigma, 0.0)

    def transition(self, t: Tensor, s: Tensor, eta: float = 0.0) -> tuple[Tensor, Tensor, Tensor]:
        """Coefficients (a, b, c) of the step x_s = a x_t + b x̂ + c z from t to s, of the shape of t and s.

        Errors: ValueError if eta is outside [0, 1].
        """
        if not 0 <= eta <= 1:
            raise ValueError(f"eta is {eta}, but must lie in [0, 1]: 0 is the ODE (DDIM), 1 is DDPM")
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.scales(t), self.landing(s)
        ratio = alpha_t * sigma_s / (alpha_s * sigma_t)
        c = eta * sigma_s * (1 - ratio**2).clamp(min=0).sqrt()
        a = (sigma_s**2 - c**2).clamp(min=0).sqrt() / sigma_t
        return a, alpha_s - alpha_t * a, c

    def raising(self, t: Tensor, s: Tensor) -> tuple[Tensor, Tensor]:
        """Coefficients (a, c) of x_s = a x_t + c z, which adds noise to go from t to a later time s >= t."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = self.scales(t), self.scales(s)
        a = torch.where(s > t, alpha_s / alpha_t, 1.0)
        return a, (sigma_s**2 - (a * sigma_t) ** 2).clamp(min=0).sqrt()

    def step(
        self,
        x_t: Tensor,
        x_hat: Tensor,
        t: Tensor,
        s: Tensor,
        *,
        eta: float = 0.0,
        noise: Tensor | None = None,
    ) -> Tensor:
        a, b, c = self.transition(expand(t, x_t), expand(s, x_t), eta)
        x_s = a * x_t + b * x_hat
        if eta == 0:
            return x_s
        if noise is None:
            raise ValueError(f"a step with eta = {eta} draws noise: pass noise, of the shape of x_t")
        return x_s + c * noise


@dataclass(frozen=True)
class Linear(GaussianPath):
    """α = 1 − t, σ = t: flow matching, rectified flow.

    >>> Linear().scales(torch.tensor([0.25]))
    (tensor([0.7500]), tensor([0.2500]))
    """

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def time(self, log_snr: Tensor) -> Tensor:
        return torch.sigmoid(-log_snr)


@dataclass(frozen=True)
class Cosine(GaussianPath):
    """α = cos(πt/2), σ = sin(πt/2): variance preserving (Nichol & Dhariwal 2021)."""

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        # cos(πt/2) as a sine, so that α(1) is exactly 0
        return torch.sin((1 - t) * (math.pi / 2)), torch.sin(t * (math.pi / 2))

    def time(self, log_snr: Tensor) -> Tensor:
        return torch.atan(torch.exp(-log_snr)) * (2 / math.pi)


@dataclass(frozen=True)
class VarianceExploding(GaussianPath):
    """α = 1, σ^(1/ρ) linear in t from sigma_min to sigma_max (Karras et al. 2022, eq. 5)."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0

    def __post_init__(self) -> None:
        if not 0 < self.sigma_min < self.sigma_max or self.rho <= 0:
            raise ValueError(f"needs 0 < sigma_min < sigma_max and rho > 0, not {self}")

    def scales(self, t: Tensor) -> tuple[Tensor, Tensor]:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return torch.ones_like(t), (low + t * (high - low)) ** self.rho

    def time(self, log_snr: Tensor) -> Tensor:
        low, high = self.sigma_min ** (1 / self.rho), self.sigma_max ** (1 / self.rho)
        return (torch.exp(-log_snr / self.rho) - low) / (high - low)


PATHS: dict[str, type[GaussianPath]] = {"linear": Linear, "cosine": Cosine, "ve": VarianceExploding}
