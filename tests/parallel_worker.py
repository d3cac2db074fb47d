"""One of the processes that the tests start: trains a small network and writes what came of it."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

import zoo
from tests.test_domains import values
from zoo import parallel, processes, registry
from zoo.domain import Items, Training
from zoo.engine import PATHS, NetworkDenoiser, Objective
from zoo.fit import fit
from zoo.model import Model
from zoo.run import Saving
from zoo.scale import Scale


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(16, 16), nn.SiLU(), nn.Dropout(0.2))

    def forward(self, x):
        return x + self.layers(x)


class Network(nn.Module):
    """Blocks that repeat, dropout, a weight with fewer rows than four processes, and one that is not used."""

    def __init__(self):
        super().__init__()
        self.start, self.end, self.idle = nn.Linear(3, 16), nn.Linear(16, 2), nn.Linear(2, 2)
        self.blocks = nn.ModuleList(Block() for _ in range(2))

    def forward(self, x, noise, cond, mask):
        h = self.start(torch.cat([x, noise[:, None]], 1))
        for block in self.blocks:
            h = block(h)
        return self.end(h)


class Twice(NetworkDenoiser):
    """Some parts pass through the network once more, without a gradient, as in self-conditioning."""

    def loss(self, batch, generator):
        if torch.rand(1, generator=generator).item() < 0.5:
            with torch.no_grad():
                self(batch.x, torch.ones(len(batch.x)), {})
        return super().loss(batch, generator)


def denoiser() -> NetworkDenoiser:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Twice(Network(), PATHS["linear"](), "flow", Objective())


def points(seed: int) -> Items:
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(seed))
    return Items(x * torch.tensor([1.0, 0.1]))


def settings(**changed) -> Training:
    return Training(**{"steps": 12, "batch_size": 16, "lr": 1e-2, "validate_every": 4, "parts": 4, **changed})


class Stopped(Items):
    """Points with a signal from process `rank` to itself when it draws its batch number `at`."""

    def __init__(self, at: int, number: int, rank: int):
        super().__init__(points(0).x)
        self.left, self.number, self.rank = at, number, rank

    def batch(self, size, generator):
        self.left -= 1
        if self.left == 0 and processes.rank() == self.rank:
            os.kill(os.getpid(), self.number)
        return super().batch(size, generator)


def run(out: Path, *, training=None, scale=None, resume=False, seconds=1e9, stop=None) -> None:
    """Trains, and writes the best weights and the loss curve into the folder; a signal ends it early."""
    data = points(0) if stop is None else Stopped(*stop)
    saving = Saving(out, seconds, {"run": "test"}, resume)
    network, chosen = denoiser(), settings(**(training or {}))
    try:
        fitted = fit(
            network, data, points(1), chosen, scale=Scale(**(scale or {})), saving=saving, show=False
        )
    except (KeyboardInterrupt, SystemExit) as error:
        (out / f"stopped.{processes.rank()}").write_text(type(error).__name__)
        return
    parallel.total(0)
    if processes.main():
        save_file(fitted.tensors, out / "best.safetensors")


def train(name: str, out: Path | None = None, **scale) -> Model:
    """Two steps of the first recipe of a domain on the domain's example."""
    domain = registry.domain(name)
    recipe = next(iter(domain.recipes.values()))
    brief = replace(
        recipe.training, steps=2, batch_size=4, parts=2, validation_batches=1, warmup=0.0, keep="last"
    )
    recipe = replace(recipe, training=brief)
    return zoo.train(
        domain, domain.example(), recipe=recipe, device="cpu", out=out, show=False, scale=Scale(**scale)
    )


def draw(model: Model) -> None:
    """Fails if the processes together draw something else than this one alone."""
    asked: dict[str, Any] = {"length": 40} if model.domain.name == "proteins" else {}
    with processes.together():
        together = values(model.sample(3, steps=2, seed=3, **asked))
    for one, other in zip(together, values(model.sample(3, steps=2, seed=3, **asked)), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-4 * np.abs(other).max())


if __name__ == "__main__":
    for folder, options in json.loads(sys.argv[1]).items():
        name = options.pop("domain", None)
        if name is None:
            run(Path(folder), **options)
        else:
            model = train(name, Path(folder), **options)
            if not options:
                draw(model)
