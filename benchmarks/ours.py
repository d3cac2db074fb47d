"""Our samplers as cases of the peer benchmarks: name the file in BENCH_OURS (see README.md beside it)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from zoo.engine import SAMPLERS, Denoiser, Encoded, GaussianPath, Linear, grid

# The standard deviation of the benchmark's mixture. Our denoisers see unit variance, as after any adapter.
DATA_STD = 0.5


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


def solve(name: str, calls: int, mixture, z: Tensor, evaluations: int) -> tuple[Tensor, None]:
    """Sample from infinite noise with so many evaluations in all, and so many calls of the network a step."""
    path = Linear()
    times = grid(path, (evaluations + calls - 1) // calls)
    denoiser = MixtureDenoiser(mixture, path)
    noise = partial(torch.randn, z.shape)
    *_, x = SAMPLERS[name](denoiser, path.prior(z), times, cond={}, noise=noise)
    return x * DATA_STD, None


def accuracy_cases() -> tuple[dict[str, Callable], dict[str, Callable]]:
    """Deterministic and stochastic samplers, each (mixture, z, evaluations) -> (end point, None)."""
    calls = {"heun": 2, "churn": 2}
    deterministic = ("euler", "heun", "dpmpp2m", "adams2", "adams3")
    stochastic = ("ddpm", "sde", "churn")
    ours = ({n: partial(solve, n, calls.get(n, 1)) for n in names} for names in (deterministic, stochastic))
    return next(ours), next(ours)


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

    def case(name: str, calls: int) -> tuple:
        def run(_: None, x: Tensor) -> Tensor:
            for state in SAMPLERS[name](denoiser, x, times, cond={}):
                x = state
            return x

        return name, lambda: None, run, calls, None

    return [case("euler", 1), case("dpmpp2m", 1), case("adams2", 1), case("adams3", 1), case("heun", 2)]
