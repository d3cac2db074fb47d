"""Images: our U-Net and our engine beside diffusers, denoising-diffusion-pytorch and torchcfm.

    pip install -e ".[bench]"; export ZOO_DATA=/folder/that/holds/images
    python -m benchmarks.images_peers choose     # on validation images: SETTINGS below; an hour
    python -m benchmarks.images_peers compare    # trains, draws and scores every row; two hours on two cores
    python -m benchmarks.images_peers speed      # training: images a second, peak memory; minutes

Every library stands in two rows: as published (its network, objective, optimiser, average of the weights and
sampler) and its network alone, under our engine, as ours is. All networks have the same number of parameters
(within 5 %) and see the same number of images of Fashion-MNIST, without classes, in the same batches. "Ours,
equal time" trains for as long as the fastest library took in the same run. Two rows are worked on at once,
each on one thread. A row that is done lies in the folder of results and is not computed again.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from domains.images import domain
from domains.images.adapter import fitted
from domains.images.backbone import SIZES, UNetSize, network
from domains.images.data import Framing, Pictures, read
from domains.images.dataset import ImageItems
from domains.images.evaluation import classifier, metrics
from domains.images.gallery import Gallery
from domains.images.model import ImageModel
from domains.images.recipes import EDM
from zoo.engine import PATHS, NetworkDenoiser
from zoo.fit import fit
from zoo.manifest import Provenance

BATCH, STEPS = 32, 640
TIMED = 12  # steps of a timed training
N, ROWS = 500, 250  # images a score; drawn at once
EVALUATIONS = (10, 20, 50)
SEEDS, TURNS = (0, 1, 2), 3
SHAPE = (1, 28, 28)
WARMUP = 0.05  # share of the steps over which the learning rate rises, in every row


@cache
def pictures(split: str) -> Pictures:
    """Fashion-MNIST without its classes."""
    found = read("fashion-mnist", Framing(), split=split)
    return replace(found, labels=np.full(len(found), -1), classes=())


def to_pixels(x: Tensor) -> np.ndarray:
    """[-1, 1] to uint8."""
    return ((x + 1) * 127.5).round().clamp(0, 255).byte().numpy()


@dataclass(frozen=True)
class Settings:
    """What was chosen on validation images for a row.

    Attributes:
        rate: the highest learning rate.
        averaged: whether the average of the weights draws, or the last ones.
        samplers: one for each of EVALUATIONS.
    """

    rate: float
    averaged: bool
    samplers: tuple[str, ...]


class Contestant(ABC):
    """A network, and how it is trained and drawn from."""

    samplers: tuple[str, ...]
    network: nn.Module

    @abstractmethod
    def train(self, steps: int, rate: float, seed: int) -> None:
        """Trains on the training images, BATCH at a time."""

    @abstractmethod
    def draw(self, n: int, evaluations: int, seed: int, sampler: str, averaged: bool) -> np.ndarray:
        """uint8 (n, *SHAPE), with at most so many evaluations of the network for each."""


class Published(Contestant):
    """A library's network under the recipe that the library publishes.

    A run here is much shorter than those that the recipes are made for, so what depends on the length is
    fitted to it in their favour: the learning rate, and its warm-up as a share of the run.
    """

    betas = (0.9, 0.999)
    weight_decay = 0.0
    cosine = False

    def __init__(self, network: nn.Module) -> None:
        self.network = network

    @abstractmethod
    def loss(self, x: Tensor) -> Tensor:
        """The training loss of images (B, *SHAPE) in [-1, 1]."""

    @abstractmethod
    def average(self) -> None:
        """Takes the weights of now into the average."""

    @abstractmethod
    def averages(self) -> nn.Module:
        """The network with averaged weights."""

    @abstractmethod
    def drawn(self, net: nn.Module, n: int, evaluations: int, sampler: str) -> Tensor:
        """(n, *SHAPE) in [-1, 1]."""

    def train(self, steps: int, rate: float, seed: int) -> None:
        torch.manual_seed(seed)
        order, data = np.random.default_rng(seed), pictures("train").pixels
        make = torch.optim.AdamW if self.weight_decay else torch.optim.Adam
        optimizer = make(self.network.parameters(), rate, self.betas, weight_decay=self.weight_decay)
        self.network.train()
        for step in range(steps):
            x = torch.from_numpy(data[order.integers(len(data), size=BATCH)]).float() / 127.5 - 1
            part = min(1, (step + 1) / (WARMUP * steps))
            if self.cosine and part == 1:
                part = 0.5 * (1 + np.cos(np.pi * (step / steps - WARMUP) / (1 - WARMUP)))
            optimizer.param_groups[0]["lr"] = rate * part
            optimizer.zero_grad()
            self.loss(x).backward()
            nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimizer.step()
            self.average()

    @torch.no_grad()
    def draw(self, n: int, evaluations: int, seed: int, sampler: str, averaged: bool) -> np.ndarray:
        torch.manual_seed(seed)
        net = (self.averages() if averaged else self.network).eval()
        return np.concatenate(
            [to_pixels(self.drawn(net, min(ROWS, n - i), evaluations, sampler)) for i in range(0, n, ROWS)]
        )


class Diffusers(Published):
    """UNet2DModel by its example unconditional_image_generation: ε, linear β, AdamW, cosine, EMA."""

    samplers = ("ddim", "dpm++2m")
    betas, weight_decay, cosine = (0.95, 0.999), 1e-6, True

    def __init__(self) -> None:
        from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
        from diffusers.training_utils import EMAModel

        down, up = (
            ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
            ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
        )
        net = UNet2DModel(
            sample_size=28, in_channels=1, out_channels=1, layers_per_block=1, attention_head_dim=16,
            block_out_channels=(32, 64, 96), down_block_types=down, up_block_types=up,
        )  # fmt: skip
        super().__init__(net)
        self.noising = DDPMScheduler()
        self.steppers = {
            "ddim": DDIMScheduler.from_config(self.noising.config),
            "dpm++2m": DPMSolverMultistepScheduler.from_config(self.noising.config),
        }
        self.ema = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)

    def loss(self, x: Tensor) -> Tensor:
        t, noise = torch.randint(0, 1000, (len(x),)), torch.randn_like(x)
        return (
            (self.network(self.noising.add_noise(x, noise, t), t, return_dict=False)[0] - noise).pow(2).mean()
        )

    def average(self) -> None:
        self.ema.step(self.network.parameters())

    def averages(self) -> nn.Module:
        net = deepcopy(self.network)
        self.ema.copy_to(net.parameters())
        return net

    def drawn(self, net: nn.Module, n: int, evaluations: int, sampler: str) -> Tensor:
        stepper, x = self.steppers[sampler], torch.randn(n, *SHAPE)
        stepper.set_timesteps(evaluations)
        for t in stepper.timesteps:
            x = stepper.step(net(x, t, return_dict=False)[0], t, x, return_dict=False)[0]
        return x


class DenoisingDiffusion(Published):
    """Unet and GaussianDiffusion (v, sigmoid β) by denoising-diffusion-pytorch's Trainer: Adam, EMA, DDIM."""

    samplers = ("ddim",)
    betas = (0.9, 0.99)

    def __init__(self) -> None:
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
        from ema_pytorch import EMA

        net = Unet(dim=26, dim_mults=(1, 2, 4), channels=1)
        super().__init__(net)
        self.diffusion = GaussianDiffusion(net, image_size=28)
        self.ema = EMA(self.diffusion, beta=0.995, update_every=10)

    def loss(self, x: Tensor) -> Tensor:
        return self.diffusion((x + 1) / 2)

    def average(self) -> None:
        self.ema.update()

    def averages(self) -> nn.Module:
        return self.ema.ema_model.model

    def drawn(self, net: nn.Module, n: int, evaluations: int, sampler: str) -> Tensor:
        self.diffusion.model, self.diffusion.sampling_timesteps = net, evaluations
        return self.diffusion.ddim_sample((n, *SHAPE)) * 2 - 1


class TorchCFM(Published):
    """torchcfm: UNetModelWrapper by its CIFAR-10 example: optimal-transport flow matching, Adam, EMA."""

    samplers = ("euler", "midpoint")

    def __init__(self) -> None:
        from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
        from torchcfm.conditional_flow_matching import ExactOptimalTransportConditionalFlowMatcher
        from torchcfm.models.unet.unet import UNetModelWrapper

        net = UNetModelWrapper(
            dim=SHAPE, num_channels=32, num_res_blocks=1, channel_mult=(1, 2, 3), attention_resolutions="14"
        )
        super().__init__(net)
        self.matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)
        # its .9999 remembers ten thousand steps
        self.ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.99))

    def loss(self, x: Tensor) -> Tensor:
        t, x_t, velocity = self.matcher.sample_location_and_conditional_flow(torch.randn_like(x), x)
        return (self.network(t, x_t) - velocity).pow(2).mean()

    def average(self) -> None:
        self.ema.update_parameters(self.network)

    def averages(self) -> nn.Module:
        return self.ema.module

    def drawn(self, net: nn.Module, n: int, evaluations: int, sampler: str) -> Tensor:
        from torchdyn.core import NeuralODE

        calls = 2 if sampler == "midpoint" else 1
        node = NeuralODE(net, solver=sampler, sensitivity="adjoint")
        return node.trajectory(torch.randn(n, *SHAPE), torch.linspace(0, 1, evaluations // calls + 1))[-1]


class Wrapped(nn.Module):
    """A library's network as our engine calls one; its noise levels run to 1000."""

    def __init__(self, network: nn.Module, call: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        return self.call(self.network, x, noise)


class OnEngine(Contestant):
    """A network under our engine: the recipe of `images-edm`; Muon trains what is named."""

    samplers = ("adams2", "dpmpp2m")

    def __init__(self, network: nn.Module, muon: tuple[str, ...]) -> None:
        self.network, self.muon = network, muon

    def train(self, steps: int, rate: float, seed: int) -> None:
        training = replace(
            EDM.training, steps=steps, batch_size=BATCH, lr=rate, warmup=WARMUP, seed=seed, muon=self.muon,
            validate_every=steps,
        )  # fmt: skip
        recipe = replace(EDM, classes=0, drop=0.0, inpaint=0.0, training=training)
        adapter = fitted(pictures("train"), Framing())
        denoiser = NetworkDenoiser(self.network, PATHS[recipe.path](), recipe.scaling, recipe.objective)
        items, held = (ImageItems(pictures(split), recipe, adapter) for split in ("train", "validation"))
        done = fit(denoiser, items, held, training, show=False)
        denoiser.load_state_dict(done.tensors)
        nowhere = Provenance("", "", "", steps, steps, seed)
        self.model = ImageModel(
            domain, recipe, adapter, denoiser.eval(), provenance=nowhere, name="", licence=""
        )

    def draw(self, n: int, evaluations: int, seed: int, sampler: str, averaged: bool) -> np.ndarray:
        return self.model.sample(n, steps=evaluations, seed=seed, sampler=sampler).pixels


def ours() -> OnEngine:
    return OnEngine(network(OURS, channels=1, classes=0), EDM.training.muon)


def on_engine(make: Callable[[], Published], muon: tuple[str, ...], call: Callable[..., Tensor]) -> OnEngine:
    return OnEngine(Wrapped(make().network, call), muon)


OURS: UNetSize = replace(SIZES["unet-tiny"])
CONTESTANTS: dict[str, Callable[[], Contestant]] = {
    "diffusers": Diffusers,
    "denoising-diffusion-pytorch": DenoisingDiffusion,
    "torchcfm": TorchCFM,
    "diffusers' U-Net, our engine": lambda: on_engine(
        Diffusers, ("conv1", "conv2"), lambda net, x, t: net(x, 1000 * t, return_dict=False)[0]
    ),
    "denoising-diffusion-pytorch's U-Net, our engine": lambda: on_engine(
        DenoisingDiffusion, ("block1.proj", "block2.proj"), lambda net, x, t: net(x, 1000 * t)
    ),
    "torchcfm's U-Net, our engine": lambda: on_engine(
        TorchCFM, ("in_layers.2", "out_layers.3"), lambda net, x, t: net(t, x)
    ),
    "ours": ours,
}
RATES = {name: (3e-3, 6e-3) if "our" in name else (5e-4, 1e-3, 2e-3) for name in CONTESTANTS}
# What `choose` found.
SETTINGS: dict[str, Settings] = {}
EQUAL_TIME = "ours, equal time"


def scored(pixels: np.ndarray, split: str) -> dict[str, float]:
    """Fréchet distance and KID to the real images of a split."""
    judge = classifier.load("fashion-mnist")
    drawn, real = judge.features(pixels), reference(split)
    return {"Fréchet": metrics.frechet(drawn, real), "KID": metrics.kid(drawn, real)}


@cache
def reference(split: str) -> np.ndarray:
    return classifier.load("fashion-mnist").features(pictures(split).pixels)


def parameters(contestant: Contestant) -> int:
    return sum(p.numel() for p in contestant.network.parameters())


def choosing(name: str, rate: float) -> dict[str, Any]:
    """Validation scores of one rate, with every sampler and with last and averaged weights."""
    contestant = CONTESTANTS[name]()
    contestant.train(STEPS // 2, rate, seed=100)
    averages = (True, False) if isinstance(contestant, Published) else (True,)
    scores = {
        f"{evaluations} {sampler} {'averaged' if averaged else 'last'}": scored(
            contestant.draw(N, evaluations, 100, sampler, averaged), "validation"
        )["Fréchet"]
        for averaged in averages
        for sampler in contestant.samplers
        for evaluations in EVALUATIONS[:2]
    }
    return {"name": name, "rate": rate, "scores": scores}


def comparing(name: str, seed: int, steps: int, sheet: str) -> dict[str, Any]:
    """Test scores of one row and one seed."""
    contestant = (ours if name == EQUAL_TIME else CONTESTANTS[name])()
    settings = SETTINGS["ours" if name == EQUAL_TIME else name]
    start = time.perf_counter()
    contestant.train(steps, settings.rate, seed)
    seconds, scores = time.perf_counter() - start, {}
    for evaluations, sampler in zip(EVALUATIONS, settings.samplers, strict=True):
        pixels = contestant.draw(N, evaluations, seed, sampler, settings.averaged)
        scores[str(evaluations)] = scored(pixels, "test")
    Gallery(pixels[:32], [""] * 32).plot(sheet, columns=8)
    return {
        "name": name,
        "seed": seed,
        "steps": steps,
        "seconds": seconds,
        "parameters": parameters(contestant),
        "scores": scores,
    }


def timing(name: str, turn: int) -> dict[str, Any]:
    """Images a second of a training run, and the peak memory of its process."""
    contestant = CONTESTANTS[name]()
    contestant.train(3, 1e-4, seed=0)
    start = time.perf_counter()
    contestant.train(TIMED, 1e-4, seed=turn)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024)
    return {
        "name": name,
        "parameters": parameters(contestant),
        "images a second": TIMED * BATCH / seconds,
        "MiB": peak,
    }


JOBS: dict[str, Callable[..., dict[str, Any]]] = {"choose": choosing, "compare": comparing, "speed": timing}


def slug(*words: object) -> str:
    return re.sub(r"\W+", "-", " ".join(str(word) for word in words))


def done(folder: Path, job: str, threads: int, **arguments: Any) -> dict[str, Any]:
    """The result of a job, worked out in a process of its own unless it lies in the folder."""
    path = folder / f"{slug(job, *arguments.values())}.json"
    if not path.is_file():
        command = [sys.executable, "-m", "benchmarks.images_peers", "job", job, json.dumps(arguments)]
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        found = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True).stdout
        path.write_text(found.splitlines()[-1])
        print(path.name, "is done", file=sys.stderr, flush=True)
    return json.loads(path.read_text())


def all_done(folder: Path, job: str, many: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results of many jobs, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda arguments: done(folder, job, 1, **arguments), many))


def choose(folder: Path) -> None:
    """For every row the Fréchet distances to validation images that SETTINGS come from."""
    many = [{"name": name, "rate": rate} for name in CONTESTANTS for rate in RATES[name]]
    for result in all_done(folder, "choose", many):
        scores = ", ".join(f"{how}: {value:.1f}" for how, value in result["scores"].items())
        print(f"{result['name']}, {result['rate']:g}: {scores}")


def compare(folder: Path) -> None:
    """The table of every row at every number of evaluations: means of three seeds, lowest and highest."""

    def row(name: str, seed: int, steps: int) -> dict[str, Any]:
        sheet = str(folder / f"{slug(name)}-{seed}.png")
        return {"name": name, "seed": seed, "steps": steps, "sheet": sheet}

    results = all_done(folder, "compare", [row(name, seed, STEPS) for seed in SEEDS for name in CONTESTANTS])
    seconds = {
        name: mean(result["seconds"] for result in results if result["name"] == name) for name in CONTESTANTS
    }
    longer = round(STEPS * min(seconds[name] for name in CONTESTANTS if name != "ours") / seconds["ours"])
    results += all_done(folder, "compare", [row(EQUAL_TIME, seed, longer) for seed in SEEDS])
    floor = [scored(pictures("train").pixels[seed * N : (seed + 1) * N], "test") for seed in SEEDS]
    heads = [f"{measure}, {count}" for measure in ("Fréchet", "KID") for count in EVALUATIONS]
    print(
        "| row | parameters | images | seconds | " + " | ".join(heads) + " |\n|" + "---|" * (4 + len(heads))
    )
    for name in (*CONTESTANTS, EQUAL_TIME):
        own = [result for result in results if result["name"] == name]
        cells = [
            spread([result["scores"][str(count)][measure] for result in own])
            for measure in ("Fréchet", "KID")
            for count in EVALUATIONS
        ]
        print(
            f"| {name} | {own[0]['parameters'] / 1e6:.2f}M | {own[0]['steps'] * BATCH} | "
            f"{mean(result['seconds'] for result in own):.0f} | " + " | ".join(cells) + " |"
        )
    cells = [
        spread([score[measure] for score in floor]) for measure in ("Fréchet", "KID") for _ in EVALUATIONS
    ]
    print("| real images | | | | " + " | ".join(cells) + " |")


def spread(values: list[float]) -> str:
    """Mean, lowest and highest."""
    digits = 1 if max(values) >= 1 else 3
    return f"{mean(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def speed(folder: Path) -> None:
    """Images a second on two threads, the rows taking turns."""
    names = [name for name in CONTESTANTS if "our engine" not in name]
    results = [done(folder, "speed", 2, name=name, turn=turn) for turn in range(TURNS) for name in names]
    print("| | parameters | images a second | MiB |\n|---|---|---|---|")
    for name in names:
        own = [result for result in results if result["name"] == name]
        rates, peak = [result["images a second"] for result in own], max(result["MiB"] for result in own)
        pace = f"{median(rates):.0f} ({min(rates):.0f}–{max(rates):.0f})"
        print(f"| {name} | {own[0]['parameters'] / 1e6:.2f}M | {pace} | {peak:.0f} |")


def declare_vision() -> torch.library.Library:
    """Lets torchvision's build for GPUs, which the peers import, load beside a CPU build of torch.

    Two operators that it looks for are declared, as long as the result lives; no peer calls them here.
    """
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        with suppress(RuntimeError):  # there already: a working build
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("choose", "compare", "speed", "job"))
    parser.add_argument("job", nargs="*", help="for `job` alone: its name and arguments, as JSON")
    parser.add_argument("--folder", type=Path, default=Path("runs/images_peers"), help="of the results")
    chosen = parser.parse_args()
    if chosen.what == "job":
        declared = declare_vision()
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
        print("\n" + json.dumps(JOBS[chosen.job[0]](**json.loads(chosen.job[1]))))
    else:
        chosen.folder.mkdir(parents=True, exist_ok=True)
        {"choose": choose, "compare": compare, "speed": speed}[chosen.what](chosen.folder)
