"""What a contestant offers to the measures. What it leaves out it has nothing for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.peers.mixture import Mixture

# Samplers are compared with those of their own kind.
FIRST, SECOND, SECOND_TWO, THIRD = "1st order", "2nd order", "2nd order, 2 evaluations", "3rd order"
STOCHASTIC = "stochastic"
# and with those around a function that returns the same: an estimate of the data, or what a network itself
# predicts (noise, a velocity), of which the sampler makes that estimate, if it needs one
DENOISER, NETWORK = "denoiser", "network"

# What training is measured on: task -> the shape of an item.
TASKS: dict[str, tuple[int, ...]] = {
    "U-Net, 3x32x32": (3, 32, 32),
    "U-Net, 1x28x28": (1, 28, 28),
    "1-D U-Net, 128x4": (128, 4),  # steps, values
    "DiT, 3x32x32": (3, 32, 32),
    "base U-Net, 3x32x32": (3, 32, 32),
    "base DiT, 3x32x32": (3, 32, 32),
    "U-Net of the peers' shape, 3x32x32": (3, 32, 32),
    "DiT of the peer's shape, 3x32x32": (3, 32, 32),
}


def half(x: Tensor) -> Tensor:
    """The function around which a sampler's own cost is measured."""
    return x * 0.5


@dataclass(frozen=True)
class Loop:
    """A sampler around `half`.

    Attributes:
        kind: the samplers that it is compared with.
        run: takes noise through all steps.
        calls: of `half`, a step.
        predicts: what `half` stands for: DENOISER or NETWORK.
        reset: done before every run, and not timed.
    """

    kind: str
    run: Callable[[Tensor], Any]
    calls: int = 1
    predicts: str = NETWORK
    reset: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Training:
    """A network under a loss.

    Attributes:
        network: on the CPU.
        loss: items (B, *) of unit variance to their mean loss; works on the device of the items, which is the
            network's.
        memory_format: in which network and items are fastest; preserve_format: as they are.
    """

    network: nn.Module
    loss: Callable[[Tensor], Tensor]
    memory_format: torch.memory_format = torch.preserve_format


@dataclass(frozen=True)
class Inference:
    """A model at work.

    Attributes:
        parameters: of the model.
        run: one call, as a user makes it.
    """

    parameters: int
    run: Callable[[], Any]


# The noise that a sampler started with: its level σ/α, and what z was scaled by where the data have α = 1.
Start = tuple[float, float]
# (mixture, z of shape (N, D), evaluations) -> the samples (N, D), made of the noise z with at most so many
# evaluations of mixture.denoise, and the start; None: from pure noise
Solver = Callable[[Mixture, Tensor, int], tuple[Tensor, Start | None]]


def _no_loops(shape: tuple[int, ...], steps: int) -> dict[str, Loop]:
    return {}


def _nothing_saved(folder: Path) -> int:
    raise NotImplementedError("this contestant saves no model")


def _not_trained(batch: int, parts: int, steps: int) -> tuple[list[float], list[float]]:
    raise NotImplementedError("this contestant is not trained by several processes")


@dataclass(frozen=True)
class Contestant:
    """A library's cases, by name.

    Attributes:
        loops: (shape of the noise, steps) -> samplers.
        deterministic, stochastic: samplers of the mixtures.
        trainings: makers of networks with random weights, by a name in TASKS.
        inferences: makers of models, by a name in `measures.inference.TASKS`.
        save: writes a model of about 5 million parameters into a folder; returns how many they are.
        train: (items a batch, parts of a batch, steps) -> the loss and the seconds of every step of a small
            U-Net, trained by this process and those that torchrun has started beside it.
    """

    loops: Callable[[tuple[int, ...], int], dict[str, Loop]] = _no_loops
    deterministic: Mapping[str, Solver] = field(default_factory=dict)
    stochastic: Mapping[str, Solver] = field(default_factory=dict)
    trainings: Mapping[str, Callable[[], Training]] = field(default_factory=dict)
    inferences: Mapping[str, Callable[[], Inference]] = field(default_factory=dict)
    save: Callable[[Path], int] = _nothing_saved
    train: Callable[[int, int, int], tuple[list[float], list[float]]] = _not_trained


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
