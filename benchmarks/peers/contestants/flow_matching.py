"""flow_matching: its ODE solver."""

from __future__ import annotations

from flow_matching.solver import ODESolver
from torch import Tensor

from benchmarks.peers.contestants.interface import FIRST, SECOND_TWO, Contestant, Loop, Solver, half
from benchmarks.peers.mixture import Mixture


def loops(shape: tuple[int, ...], steps: int) -> dict[str, Loop]:
    solver = ODESolver(velocity_model=lambda x, t: half(x))

    def case(kind: str, method: str, calls: int = 1) -> Loop:
        return Loop(kind, lambda x: solver.sample(x_init=x, step_size=1 / steps, method=method), calls)

    return {
        "ODESolver euler": case(FIRST, "euler"),
        "ODESolver midpoint": case(SECOND_TWO, "midpoint", calls=2),
    }


def solver(method: str, calls: int) -> Solver:
    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, None]:
        made = ODESolver(velocity_model=mixture.velocity)
        return made.sample(x_init=z, step_size=1 / (evaluations // calls), method=method), None

    return run


CONTESTANT = Contestant(
    loops=loops,
    deterministic={
        "euler": solver("euler", 1),
        "midpoint": solver("midpoint", 2),
        "heun3": solver("heun3", 3),
        "rk4": solver("rk4", 4),
    },
)
