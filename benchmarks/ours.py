"""Our samplers as cases of the peer benchmarks: name the file in BENCH_OURS (see README.md beside it)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from zoo.engine import SAMPLERS, Denoiser, Encoded, GaussianPath, Linear, grid

# The standard deviation of the benchmark's mixture. Our denoisers see unit variance, as after any adapter.
DATA_STD = 0.5


DETERMINISTIC = ("euler", "heun", "dpmpp2m", "adams2", "adams3")
STOCHASTIC = ("ddpm", "sde", "churn")
# Evaluations a step; in its last step, a sampler with two makes do with one.
CALLS = {name: 2 if name in ("heun", "churn") else 1 for name in DETERMINISTIC + STOCHASTIC}


class MixtureDenoiser(Denoiser):
    """The exact denoiser of the benchmark's mixture, standardised."""

    def __init__(self, mixture, path: GaussianPath):
        super().__init__()
        self.mixture, self.path, self.scales = mixture, path, path.scales

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return Encoded(cond)

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        alpha, sigma = self.scales(t[:1])
        return self.mixture.denoise(x_t, alpha.item() / DATA_STD, sigma.item()) / DATA_STD


def solve(name: str, mixture, z: Tensor, evaluations: int) -> tuple[Tensor, None]:
    """Sample from infinite noise with at most so many evaluations."""
    path = Linear()
    times = grid(path, -(-evaluations // CALLS[name]))
    noise = partial(torch.randn, z.shape)
    *_, x = SAMPLERS[name](MixtureDenoiser(mixture, path), path.prior(z), times, cond={}, noise=noise)
    return x * DATA_STD, None


def accuracy_cases() -> tuple[dict[str, Callable], dict[str, Callable]]:
    """Deterministic and stochastic samplers, each (mixture, z, evaluations) -> (end point, None)."""
    deterministic = {name: partial(solve, name) for name in DETERMINISTIC}
    return deterministic, {name: partial(solve, name) for name in STOCHASTIC}


class Half(Denoiser):
    """The trivial network of the overhead benchmark."""

    def __init__(self):
        super().__init__()
        self.path = Linear()

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return Encoded(cond)

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        return x_t * 0.5


def sampler_cases(shape: tuple[int, ...], steps: int) -> list[tuple]:
    """(name, setup, run, network calls a step, reset); the run includes what a sampler works out first."""
    denoiser, times = Half(), grid(Linear(), steps)

    def case(name: str) -> tuple:
        def run(_: None, x: Tensor) -> Tensor:
            for state in SAMPLERS[name](denoiser, x, times, cond={}):
                x = state
            return x

        return name, lambda: None, run, CALLS[name], None

    return [case(name) for name in DETERMINISTIC]
