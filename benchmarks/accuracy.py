"""Error of our samplers per network evaluation: python -m benchmarks.accuracy

On the peer benchmark's mixtures: eight Gaussian modes in 2 and in 16 dimensions, the exact
denoiser, 512 starts from pure noise. The error of a sample is its root mean square distance, over
dimensions, from where the ODE takes its start; the data have standard deviation 0.5. Printed are
the root mean square and the median over samples.

README.md beside this file tells how to measure the peers in the same run.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from benchmarks.ours import CALLS, DATA_STD, DETERMINISTIC
from tests.engine.exact import Exact, ode_end
from zoo.engine import SAMPLERS, Linear, grid

EVALUATIONS = (5, 10, 20, 50)
STARTS = 512


def mixture(dim: int, seed: int, modes: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    """Weights (K,), means (K, dim) and deviations (K,) of the benchmark's mixture, of unit variance."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(modes, dim, generator=generator, dtype=torch.float64)
    weights = 0.5 + torch.rand(modes, generator=generator, dtype=torch.float64)
    weights = weights / weights.sum()
    stds = 0.15 + 0.25 * torch.rand(modes, generator=generator, dtype=torch.float64)
    means = means - weights @ means
    scale = (weights @ (stds**2 + (means**2).mean(1))).sqrt()
    return weights, means / scale, stds / scale


def errors(name: str, evaluations: int, exact: Exact, z: Tensor, goal: Tensor) -> Tensor:
    """The error of every sample, in units of the benchmark's data."""
    times = grid(Linear(), -(-evaluations // CALLS[name]))
    *_, x = SAMPLERS[name](exact, z, times, cond={})
    return DATA_STD * (x - goal).square().mean(1).sqrt()


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="of the mixture; the published table has 0")
    seed = parser.parse_args().seed
    for dim in (2, 16):
        parts = mixture(dim, seed)
        z = torch.randn(STARTS, dim, generator=torch.Generator().manual_seed(7 + seed)).double()
        exact, goal = Exact(Linear(), *parts), ode_end(*parts, z)
        for title, summary in (("RMSE", lambda e: e.square().mean().sqrt()), ("median", torch.median)):
            print(f"\n| {dim}-D {title}, evaluations: | " + " | ".join(map(str, EVALUATIONS)) + " |")
            print("|---|" + "---|" * len(EVALUATIONS))
            for name in DETERMINISTIC:
                cells = (summary(errors(name, n, exact, z, goal)).item() for n in EVALUATIONS)
                print(f"| {name} | " + " | ".join(f"{value:.3g}" for value in cells) + " |")


if __name__ == "__main__":
    main()
