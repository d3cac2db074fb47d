"""Data whose denoiser is known in closed form, and where their ODE ends."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zoo.engine import Cosine, Denoiser, Encoded, GaussianPath, expand


class Exact(Denoiser):
    """E[x | x_t] for a mixture of Gaussians with weights (K,), means (K, D) and standard deviations (K,)."""

    def __init__(self, path: GaussianPath, weights: Tensor, means: Tensor, stds: Tensor):
        super().__init__()
        self.path, self.scales = path, path.scales
        self.weights, self.means, self.stds = weights.double(), means.double(), stds.double()

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return Encoded(cond)

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        x = x_t.double().flatten(1)[:, None]  # (B, 1, D)
        alpha, sigma = (k[:, None, None] for k in self.scales(t.double()))
        power = (alpha * self.stds[:, None]) ** 2 + sigma**2  # (B, K, 1)
        off = x - alpha * self.means  # (B, K, D)
        log_p = self.weights.log() - (off**2 / power + power.log()).sum(2) / 2
        each = self.means + alpha * self.stds[:, None] ** 2 / power * off
        return (torch.softmax(log_p, 1)[..., None] * each).sum(1).view(x_t.shape).to(x_t)

    def draw(self, n: int, seed: int) -> Tensor:
        """n samples of the data, of shape `(n, D)`."""
        generator = torch.Generator().manual_seed(seed)
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = torch.randn(n, self.means.shape[1], generator=generator, dtype=torch.float64)
        return self.means[k] + self.stds[k, None] * noise


def gaussian(path: GaussianPath, mean: float = 0.3, std: float = 0.5, dim: int = 2) -> Exact:
    return Exact(path, torch.ones(1), torch.full((1, dim), mean), torch.tensor([std]))


def mixture(path: GaussianPath) -> Exact:
    """Three modes in the plane, of unit variance in all."""
    means = torch.tensor([[-1.1, 0.4], [0.9, 0.8], [0.5, -1.3]])
    return Exact(path, torch.tensor([0.4, 0.35, 0.25]), means, torch.tensor([0.3, 0.4, 0.25]))


def ode_end(weights: Tensor, means: Tensor, stds: Tensor, z: Tensor, steps: int = 1500) -> Tensor:
    """Where the probability-flow ODE takes pure noise z: Runge–Kutta 4 in the angle of the cosine path.

    x = cos θ · data + sin θ · noise, dx/dθ = cos θ ε̂ − sin θ x̂, from θ = π/2 to 1e-4 and by x̂ from there.
    """
    exact = Exact(Cosine(), weights, means, stds)

    def x_hat(x: Tensor, angle: float) -> Tensor:
        return exact(x, x.new_full((len(x),), angle * 2 / math.pi), {})

    def slope(x: Tensor, angle: float) -> Tensor:
        data = x_hat(x, angle)
        return math.cos(angle) / math.sin(angle) * (x - math.cos(angle) * data) - math.sin(angle) * data

    x, h = z.double(), -(math.pi / 2 - 1e-4) / steps
    for i in range(steps):
        angle = math.pi / 2 + i * h
        k1 = slope(x, angle)
        k2 = slope(x + h / 2 * k1, angle + h / 2)
        k3 = slope(x + h / 2 * k2, angle + h / 2)
        k4 = slope(x + h * k3, angle + h)
        x = x + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return x_hat(x, 1e-4)


class Wrapped(nn.Module):
    """The network that makes a `NetworkDenoiser` exact: the inverse of its scaling around an exact denoiser.

    c_noise tells it the noise level, and with it the time and x_t on its path.
    """

    def __init__(self, exact: Exact, scaling, path: GaussianPath):
        super().__init__()
        self.exact, self.scaling, self.path = exact, scaling, path

    def forward(self, x_in: Tensor, c_noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        angle = c_noise.double() * (torch.pi / 2)
        t = self.path.time(torch.log(torch.cos(angle) / torch.sin(angle)))
        alpha, sigma = self.path.scales(expand(t, x_in))
        c_in, c_skip, c_out = self.scaling(alpha, sigma)
        x_t = x_in / c_in
        return (self.exact(x_t, t, cond, mask) - c_skip * x_t) / c_out


def sliced_w2(x: Tensor, y: Tensor, projections: int = 64) -> float:
    """Sliced 2-Wasserstein distance of two sets of equally many points."""
    generator = torch.Generator().manual_seed(1)
    p = torch.randn(x.shape[1], projections, generator=generator, dtype=torch.float64)
    p = p / p.norm(dim=0)
    gap = (x.double() @ p).sort(0).values - (y.double() @ p).sort(0).values
    return gap.square().mean().sqrt().item()
