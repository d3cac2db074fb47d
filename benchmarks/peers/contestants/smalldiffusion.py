"""smalldiffusion: its sampling loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn

from benchmarks.peers.contestants.interface import FIRST, STOCHASTIC, Contestant, Loop, Solver, Start, half
from benchmarks.peers.mixture import Mixture
from benchmarks.peers.vision import declare_operators

declare_operators()

from accelerate import Accelerator  # noqa: E402 (torchvision must load first)
from smalldiffusion import ModelMixin, Schedule, ScheduleDDPM, ScheduleLogLinear, samples  # noqa: E402

GRADIENT, DDPM = {"gam": 2.0, "mu": 0.0}, {"gam": 1.0, "mu": 0.5}


class Network(nn.Module, ModelMixin):
    """ε from (x, σ), at α = 1."""

    def __init__(self, noise: Callable[[Tensor, Tensor], Tensor], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.noise, self.input_dims = noise, shape

    def forward(self, x: Tensor, sigma: Tensor, cond: Tensor | None = None) -> Tensor:
        return self.noise(x, sigma)


def loops(shape: tuple[int, ...], steps: int) -> dict[str, Loop]:
    network, accelerator = Network(lambda x, sigma: half(x), shape[1:]), Accelerator(cpu=True)
    sigmas = ScheduleDDPM(max(1000, 4 * steps)).sample_sigmas(steps)

    def run(x: Tensor, gam: float, mu: float) -> Tensor:
        for x in samples(network, sigmas, gam=gam, mu=mu, xt=x, accelerator=accelerator):  # noqa: B007, B020
            pass
        return x

    return {
        "samples gam=2": Loop(FIRST, partial(run, **GRADIENT)),
        "samples gam=1 mu=.5": Loop(STOCHASTIC, partial(run, **DDPM)),
    }


def solver(schedule: Schedule, gam: float = 1.0, mu: float = 0.0) -> Solver:
    accelerator = Accelerator(cpu=True)

    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start]:
        network = Network(lambda x, sigma: (x - mixture.denoise(x, 1, sigma)) / sigma, (mixture.dim,))
        sigmas = schedule.sample_sigmas(evaluations)
        *_, x = samples(network, sigmas, gam=gam, mu=mu, xt=z * sigmas[0], accelerator=accelerator)
        return x, (float(sigmas[0]), float(sigmas[0]))

    return run


LOG = ScheduleLogLinear(1000, 0.002, 80.0)
CONTESTANT = Contestant(
    loops=loops,
    deterministic={
        "ddpm gam=1": solver(ScheduleDDPM()),
        "ddpm gam=2": solver(ScheduleDDPM(), **GRADIENT),
        "loglinear gam=1": solver(LOG),
        "loglinear gam=2": solver(LOG, **GRADIENT),
    },
    stochastic={"ddpm gam=1 mu=.5": solver(ScheduleDDPM(), **DDPM)},
)
