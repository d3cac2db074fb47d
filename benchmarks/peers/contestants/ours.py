"""Ours: `zoo.engine` and the networks of the domains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import zoo
from benchmarks.peers.common import seconds
from benchmarks.peers.contestants.interface import (
    DENOISER,
    FIRST,
    NETWORK,
    SECOND,
    SECOND_TWO,
    STOCHASTIC,
    TASKS,
    THIRD,
    Contestant,
    Inference,
    Loop,
    Solver,
    Training,
    half,
    parameters,
)
from benchmarks.peers.mixture import DATA_STD, Mixture
from domains.images import backbone as images
from domains.images import domain as images_domain
from domains.images.recipes import EDM
from domains.robotics import backbone as robotics
from domains.robotics import domain as robotics_domain
from zoo import domain, seeds
from zoo.engine import SAMPLERS, Batch, Denoiser, Encoded, Linear, NetworkDenoiser, Objective, grid
from zoo.model import Model
from zoo.run import Run
from zoo.scale import PLAIN

KINDS = {
    "euler": FIRST,
    "dpmpp2m": SECOND,
    "adams2": SECOND,
    "heun": SECOND_TWO,
    "adams3": THIRD,
    "ddpm": STOCHASTIC,
    "sde": STOCHASTIC,
    "churn": STOCHASTIC,
}
CALLS = {name: 2 if name in ("heun", "churn") else 1 for name in KINDS}


class Plain(Denoiser):
    """A function (x_t, t) -> x̂ on the linear path."""

    def __init__(self, x_hat: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.path, self.x_hat = Linear(), x_hat

    def encode(self, cond: dict[str, Tensor], mask: Tensor | None) -> Encoded:
        return Encoded(cond)

    def forward(self, x_t: Tensor, t: Tensor, cond: dict[str, Tensor], mask: Tensor | None = None) -> Tensor:
        return self.x_hat(x_t, t)


class Half(nn.Module):
    """`half`, as our denoisers call a network."""

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        return half(x)


def loops(shape: tuple[int, ...], steps: int) -> dict[str, Loop]:
    """Every sampler around a denoiser that is `half`, and around one whose network is."""
    times = grid(Linear(), steps)
    plain, made = Plain(lambda x, t: half(x)), NetworkDenoiser(Half(), Linear(), "flow", Objective())

    def run(x: Tensor, name: str, denoiser: Denoiser) -> Tensor:
        for state in SAMPLERS[name](denoiser, x, times, cond={}, noise=partial(torch.randn, shape)):
            x = state
        return x

    return {
        f"{name}, {predicts}": Loop(kind, partial(run, name=name, denoiser=denoiser), CALLS[name], predicts)
        for name, kind in KINDS.items()
        for predicts, denoiser in ((DENOISER, plain), (NETWORK, made))
    }


def solver(name: str) -> Solver:
    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, None]:
        # our denoisers see unit variance, as after any adapter
        def x_hat(x: Tensor, t: Tensor) -> Tensor:
            alpha, sigma = Linear().scales(t[:1])
            return mixture.denoise(x, alpha / DATA_STD, sigma) / DATA_STD

        times = grid(Linear(), -(-evaluations // CALLS[name]))
        noise = partial(torch.randn, z.shape)
        *_, x = SAMPLERS[name](Plain(x_hat), Linear().prior(z), times, cond={}, noise=noise)
        return x * DATA_STD, None

    return run


def training(network: nn.Module, cond: Callable[[Tensor], dict[str, Tensor]]) -> Training:
    """Flow matching by the engine; `cond` makes conditions for items."""
    denoiser = NetworkDenoiser(network, Linear(), "flow", Objective())
    generator = cache(torch.Generator)  # one a device
    return Training(network, lambda x: denoiser.loss(Batch(x, cond(x)), generator(x.device)).mean())


def image_training(task: str, size: images.Size) -> Training:
    network = images.network(size, TASKS[task][0], classes=0)
    return training(network, lambda x: {"label": x.new_zeros(len(x), dtype=torch.long)})


def chunk_training(task: str) -> Training:
    size = robotics.UNetSize(widths=(32, 64, 160), condition=288)
    network = robotics.network(size, *TASKS[task])
    return training(network, lambda x: {"seen": x.new_zeros(len(x), size.condition)})


def untrained(of: domain.Domain, recipe: domain.Recipe) -> Model:
    """A model after one step on the domain's example, which leaves its weights about random."""
    brief = replace(recipe.training, steps=1, batch_size=2, validation_batches=1)
    return zoo.train(of, of.example(), recipe=replace(recipe, training=brief), device="cpu", show=False)


def save(folder: Path) -> int:
    model = untrained(
        images_domain, replace(EDM, network=images.UNetSize(widths=(32, 96, 200), depths=(1, 2, 2)))
    )
    model.save(folder)
    return parameters(model.denoiser)


def policy(model: Model, steps: int | None = None, sampler: str | None = None) -> Callable[[], Any]:
    """A chunk of 16 actions of 2 values, from one observation of 4; None: as the recipe says."""
    seen = np.zeros((model.recipe.n_obs_steps, 4), np.float32)
    return lambda: model.predict_chunk(seen, steps=steps, sampler=sampler)


def forecaster(model: Model, series: int) -> Callable[[], Any]:
    """100 paths of 64 steps for each of some series, from 512 steps."""
    histories = [np.random.default_rng(i).normal(size=(512, 1)).cumsum(0) for i in range(series)]
    return lambda: model.forecast_arrays(histories, 64, n=100)


def artist(model: Model) -> Callable[[], Any]:
    return lambda: model.sample(n=16, seed=0)


def folder(model: Model) -> Callable[[], Any]:
    return lambda: model.sample(n=1, length=64, steps=20, seed=0)


def inference(model: Callable[[], Model], use: Callable[[Model], Callable[[], Any]]) -> Inference:
    made = model()
    return Inference(parameters(made.denoiser), use(made))


def compiled(model: Callable[[], Model]) -> Callable[[], Model]:
    return lambda: model().compile()


UNET_POLICY = partial(untrained, robotics_domain, robotics_domain.recipes["robotics-flow.unet"])
FORECASTER, ARTIST, FOLDER = (
    partial(zoo.load, name, device="cpu") for name in ("timeseries-flow", "images-edm", "proteins-flow")
)


def train(batch: int, parts: int, steps: int) -> tuple[list[float], list[float]]:
    """The U-Net of the first task by the training loop of `zoo.fit`, less its reports."""
    shape = TASKS[IMAGE]
    items = domain.Items(
        torch.randn(256, *shape, generator=torch.Generator().manual_seed(0)),
        {"label": torch.zeros(256, dtype=torch.long)},
    )
    torch.manual_seed(0)
    network = images.network(images.SIZES["unet-tiny"], shape[0], classes=0)
    settings = domain.Training(steps=steps, batch_size=batch, parts=parts, validation_batches=1)
    run = Run(NetworkDenoiser(network, Linear(), "flow", Objective()), items, settings, PLAIN)
    losses, spent = [], []
    for step in range(steps):
        drawn = seeds.draw(items, settings, step)
        spent.append(seconds(lambda drawn=drawn: losses.append(run.advance(drawn)[0])))
    return losses, spent


IMAGE, GRAY, CHUNK, DIT, BASE, BASE_DIT, ALIKE, ALIKE_DIT = TASKS
# widths, levels and blocks of the U-Net of diffusers.py, and its parameters within 1 %
OF_PEERS = images.UNetSize(widths=(32, 64, 96), depths=(2, 2, 2), attention=(False, True, False))
DIT_OF_PEERS = images.DiTSize(width=128, depth=5, condition=184)
CONTESTANT = Contestant(
    loops=loops,
    deterministic={name: solver(name) for name, kind in KINDS.items() if kind != STOCHASTIC},
    stochastic={name: solver(name) for name, kind in KINDS.items() if kind == STOCHASTIC},
    trainings={
        IMAGE: partial(image_training, IMAGE, images.SIZES["unet-tiny"]),
        GRAY: partial(image_training, GRAY, images.SIZES["unet-tiny"]),
        CHUNK: partial(chunk_training, CHUNK),
        DIT: partial(image_training, DIT, images.SIZES["dit-tiny"]),
        BASE: partial(image_training, BASE, images.SIZES["unet-base"]),
        BASE_DIT: partial(image_training, BASE_DIT, images.SIZES["dit-base"]),
        ALIKE: partial(image_training, ALIKE, OF_PEERS),
        ALIKE_DIT: partial(image_training, ALIKE_DIT, DIT_OF_PEERS),
    },
    inferences={
        "a chunk of actions, as published": partial(inference, UNET_POLICY, policy),
        "a chunk of actions, as published, compiled": partial(inference, compiled(UNET_POLICY), policy),
        "a chunk of actions, 10 first-order steps": partial(
            inference, UNET_POLICY, partial(policy, steps=10, sampler="euler")
        ),
        "a forecast of 1 series": partial(inference, FORECASTER, partial(forecaster, series=1)),
        "a forecast of 1 series, compiled": partial(
            inference, compiled(FORECASTER), partial(forecaster, series=1)
        ),
        "forecasts of 32 series": partial(inference, FORECASTER, partial(forecaster, series=32)),
        "16 images": partial(inference, ARTIST, artist),
        "16 images, compiled": partial(inference, compiled(ARTIST), artist),
        "a backbone of 64 residues": partial(inference, FOLDER, folder),
        "a backbone of 64 residues, compiled": partial(inference, compiled(FOLDER), folder),
    },
    save=save,
    train=train,
)
