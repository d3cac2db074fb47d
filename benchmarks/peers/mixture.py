"""Gaussian mixtures, whose denoiser is known in closed form, and where their ODE ends.

Noising: y = α x + σ ε. E[x | y] is exact at every (α, σ), so that the same problem serves samplers of every
path: variance preserving, variance exploding (α = 1), flow (α = 1 − t, σ = t).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

DATA_STD = 0.5


class Mixture:
    """Weights (K,), means (K, D) and standard deviations (K,); mean 0 and standard deviation 0.5 in all.

    Attributes:
        calls: evaluations of the denoiser so far.
    """

    def __init__(self, dim: int, modes: int = 8, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        means = torch.randn(modes, dim, generator=generator, dtype=torch.float64)
        weights = 0.5 + torch.rand(modes, generator=generator, dtype=torch.float64)
        self.weights = weights / weights.sum()
        stds = 0.15 + 0.25 * torch.rand(modes, generator=generator, dtype=torch.float64)
        means = means - self.weights @ means
        scale = DATA_STD / (self.weights @ (stds**2 + (means**2).mean(1))).sqrt()
        self.means, self.variances = means * scale, (stds * scale) ** 2
        self.dim, self.calls = dim, 0

    def denoise(self, y: Tensor, alpha: float | Tensor, sigma: float | Tensor) -> Tensor:
        """E[x | α x + σ ε = y] for y (N, D) and numbers α and σ; one evaluation."""
        self.calls += 1
        a, s, x = float(alpha), float(sigma), y.double()
        power = a**2 * self.variances + s**2  # (K,)
        off = x.square().sum(1, keepdim=True) - 2 * a * x @ self.means.T + a**2 * self.means.square().sum(1)
        of_mode = torch.softmax(self.weights.log() - (self.dim * power.log() + off / power) / 2, 1)  # (N, K)
        gain = a * self.variances / power
        mean = of_mode @ self.means + (of_mode @ gain)[:, None] * x - a * (of_mode * gain) @ self.means
        return mean.to(y.dtype)

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """dx/dt on x_t = t · data + (1 − t) · noise; at t = 1, where it is undefined, that of just before."""
        before = min(float(t), 1 - 1e-4)
        return (self.denoise(x, before, 1 - before) - x) / (1 - before)

    def draw(self, n: int, seed: int) -> Tensor:
        """n samples, (n, D)."""
        generator = torch.Generator().manual_seed(seed)
        mode = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.dim, generator=generator, dtype=torch.float64)
        return self.means[mode] + self.variances[mode].sqrt()[:, None] * noise

    def ode_end(self, z: Tensor, start: tuple[float, float] | None = None, steps: int = 3000) -> Tensor:
        """Where the probability-flow ODE takes noise z (N, D): Runge–Kutta 4 in the angle θ = atan(σ/α).

        x = cos θ · data + sin θ · noise, dx/dθ = cos θ ε̂ − sin θ x̂, down to θ = 1e-4 and by x̂ from there.

        Args:
            start: the level σ/α that z stands at, and what z is scaled by where α = 1; None: pure noise.
        """
        angle, x = math.pi / 2, z.double()
        if start is not None:
            angle = math.atan(start[0])
            x = x * start[1] * math.cos(angle)

        def slope(x: Tensor, angle: float) -> Tensor:
            data = self.denoise(x, math.cos(angle), math.sin(angle))
            noise = (x - math.cos(angle) * data) / math.sin(angle)
            return math.cos(angle) * noise - math.sin(angle) * data

        h = -(angle - 1e-4) / steps
        for i in range(steps):
            at = angle + i * h
            k1 = slope(x, at)
            k2 = slope(x + h / 2 * k1, at + h / 2)
            k3 = slope(x + h / 2 * k2, at + h / 2)
            k4 = slope(x + h * k3, at + h)
            x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        return self.denoise(x, math.cos(1e-4), math.sin(1e-4))


def sliced_w2(x: Tensor, y: Tensor, projections: int = 256) -> float:
    """Sliced 2-Wasserstein distance of two sets of equally many points, (N, D)."""
    generator = torch.Generator().manual_seed(1)
    p = torch.randn(x.shape[1], projections, generator=generator, dtype=torch.float64)
    p = p / p.norm(dim=0)
    return ((x.double() @ p).sort(0).values - (y.double() @ p).sort(0).values).square().mean().sqrt().item()
