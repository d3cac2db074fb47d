"""torchcfm: UNetModelWrapper, and the ODE solvers that its examples use."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.peers.contestants.interface import (
    FIRST,
    SECOND_TWO,
    TASKS,
    Contestant,
    Loop,
    Solver,
    Training,
    half,
)
from benchmarks.peers.mixture import Mixture
from benchmarks.peers.vision import declare_operators

declare_operators()

from torchcfm.conditional_flow_matching import ConditionalFlowMatcher  # noqa: E402 (torchvision must load first)
from torchcfm.models.unet.unet import UNetModelWrapper  # noqa: E402
from torchdiffeq import odeint  # noqa: E402
from torchdyn.core import NeuralODE  # noqa: E402


class Field(nn.Module):
    """A velocity, as both solvers call one."""

    def __init__(self, velocity) -> None:
        super().__init__()
        self.velocity = velocity

    def forward(self, t: Tensor, x: Tensor, args: None = None) -> Tensor:
        return self.velocity(x, t)


def loops(shape: tuple[int, ...], steps: int) -> dict[str, Loop]:
    field, times = Field(lambda x, t: half(x)), torch.linspace(0, 1, steps + 1)
    node = NeuralODE(field, solver="euler", sensitivity="adjoint")

    def diffeq(x: Tensor, method: str) -> Tensor:
        """Told the size of the steps, it does not keep the state of every one."""
        return odeint(field, x, times[[0, -1]], method=method, options={"step_size": 1 / steps})[-1]

    return {
        "torchdiffeq euler": Loop(FIRST, partial(diffeq, method="euler")),
        "torchdiffeq midpoint": Loop(SECOND_TWO, partial(diffeq, method="midpoint"), 2),
        "torchdyn euler": Loop(FIRST, lambda x: node.trajectory(x, times)[-1]),
    }


def diffeq(method: str, calls: int) -> Solver:
    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, None]:
        times = torch.linspace(0, 1, evaluations // calls + 1)
        return odeint(Field(mixture.velocity), z, times, method=method)[-1], None

    return run


def dyn(method: str, calls: int) -> Solver:
    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, None]:
        node = NeuralODE(Field(mixture.velocity), solver=method, sensitivity="autograd")
        return node.trajectory(z, torch.linspace(0, 1, evaluations // calls + 1))[-1], None

    return run


def unet(shape: tuple[int, ...]) -> UNetModelWrapper:
    """Attention at half the resolution."""
    return UNetModelWrapper(
        dim=shape,
        num_channels=32,
        num_res_blocks=1,
        channel_mult=(1, 2, 3),
        attention_resolutions=str(shape[1] // 2),
    )


def training(shape: tuple[int, ...]) -> Training:
    network, matcher = unet(shape), ConditionalFlowMatcher(sigma=0.0)

    def loss(x: Tensor) -> Tensor:
        t, x_t, velocity = matcher.sample_location_and_conditional_flow(torch.randn_like(x), x)
        return (network(t, x_t) - velocity).square().mean()

    return Training(network, loss)


CONTESTANT = Contestant(
    loops=loops,
    deterministic={
        "torchdiffeq euler": diffeq("euler", 1),
        "torchdiffeq midpoint": diffeq("midpoint", 2),
        "torchdiffeq rk4": diffeq("rk4", 4),
        "torchdyn euler": dyn("euler", 1),
        "torchdyn rk4": dyn("rk4", 4),
    },
    trainings={task: partial(training, TASKS[task]) for task in ("U-Net, 3x32x32", "U-Net, 1x28x28")},
)
