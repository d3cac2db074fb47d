"""Images: our U-Net and our engine beside diffusers, denoising-diffusion-pytorch and torchcfm.

    pip install -e ".[bench]"; export ZOO_DATA=/folder/that/holds/images
    python -m benchmarks.images_peers choose     # on validation images: SETTINGS below; an hour
    python -m benchmarks.images_peers compare    # trains, draws and scores every row; two hours on two cores
    python -m benchmarks.images_peers speed      # training: images a second, peak memory; minutes

Every library stands in two rows: as published (its network, objective, optimiser, average of the weights and
sampler) and its network alone, under our engine, as ours is. All networks have the same number of parameters
(within 5 %) and see the same number of images of Fashion-MNIST, without classes, in batches of the same size,
drawn with replacement. "Ours, equal time" trains for as long as the fastest row of a library took in the same
run. Two rows are worked on at once, each on one thread. What is done lies in the folder of results and is not
computed again, unless what was asked has changed; start with another folder on another machine.
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
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from domains.images import domain
from domains.images.adapter import fitted
from domains.images.backbone import SIZES, network
from domains.images.data import Framing, Pictures, read
from domains.images.dataset import ImageItems
from domains.images.evaluation import classifier, metrics
from domains.images.gallery import Gallery
from domains.images.model import ImageModel
from domains.images.recipes import EDM
from zoo.engine import PATHS, NetworkDenoiser
from zoo.fit import fit
from zoo.manifest import Provenance

BATCH, STEPS = 32, 400
CHOSEN_STEPS, CHOSEN_N = 200, 250  # of a run that settings are chosen by
TIMED = 40  # steps of a timed training
N, ROWS = 400, 200  # images a score; drawn at once
EVALUATIONS = (10, 20, 50)
SEEDS, TURNS = (0, 1, 2), 3
SHAPE = (1, 28, 28)
LIKE = 1_743_000  # parameters of a network
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
    fitted to it in their favour: the learning rate, its warm-up as a share of the run, how much an average
    remembers; and where the last weights do better on validation images, these draw.
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

    samplers = ("dpm++2m", "dpm++2m, thresholds", "ddim", "ddim, trailing")
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
        config = self.noising.config
        self.steppers = {
            "ddim": DDIMScheduler.from_config(config),
            "ddim, trailing": DDIMScheduler.from_config(config, timestep_spacing="trailing"),
            "dpm++2m": DPMSolverMultistepScheduler.from_config(config),
            "dpm++2m, thresholds": DPMSolverMultistepScheduler.from_config(config, thresholding=True),
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

        net = Unet(dim=32, dim_mults=(1, 2, 3), channels=1, attn_heads=3, attn_dim_head=16)
        super().__init__(net)
        self.diffusion = GaussianDiffusion(net, image_size=28)
        # its .995 every ten steps remembers two thousand
        self.ema = EMA(self.diffusion, beta=0.99, update_every=1, update_after_step=0)

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
    """A library's network as our engine calls one; noise levels from 0 to 1 become theirs, to 1000."""

    def __init__(self, network: nn.Module, call: Callable[[nn.Module, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.call = network, call

    def forward(self, x: Tensor, noise: Tensor, cond: dict[str, Tensor], mask: Tensor | None) -> Tensor:
        return self.call(self.network, x, noise)


class OnEngine(Contestant):
    """A network under our engine: the recipe of `images-edm`; Muon trains what is named.

    Muon is named the same share of every network: the 3x3 kernels of its blocks.
    """

    samplers = ("adams2", "dpmpp2m")

    def __init__(self, network: nn.Module, muon: tuple[str, ...]) -> None:
        self.network, self.muon = network, muon

    def train(self, steps: int, rate: float, seed: int) -> None:
        training = replace(
            EDM.training, steps=steps, batch_size=BATCH, lr=rate, warmup=WARMUP, seed=seed, muon=self.muon,
            validate_every=steps, validation_batches=2,
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
    return OnEngine(network(SIZES["unet-tiny"], channels=1, classes=0), EDM.training.muon)


def on_engine(make: Callable[[], Published], muon: tuple[str, ...], call: Callable[..., Tensor]) -> OnEngine:
    return OnEngine(Wrapped(make().network, call), muon)


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
        TorchCFM, ("in_layers.2", "out_layers.3"), lambda net, x, t: net(1000 * t, x)
    ),
    "ours": ours,
}
RATES = {name: (1.5e-3, 3e-3, 6e-3) if "our" in name else (5e-4, 1e-3, 2e-3, 4e-3) for name in CONTESTANTS}
# What `choose` found.
SETTINGS: dict[str, Settings] = {}
EQUAL_TIME = "ours, equal time"
LIBRARIES = tuple(name for name in CONTESTANTS if name != "ours")


def built(name: str, seed: int) -> Contestant:
    """An untrained contestant.

    Raises:
        ValueError: if it is larger or smaller than the others.
    """
    torch.manual_seed(seed)
    contestant = CONTESTANTS["ours" if name == EQUAL_TIME else name]()
    if abs(parameters(contestant) / LIKE - 1) > 0.05:
        raise ValueError(f"{name}: {parameters(contestant)} parameters are not within 5 % of {LIKE}")
    return contestant


def parameters(contestant: Contestant) -> int:
    return sum(p.numel() for p in contestant.network.parameters())


def scored(pixels: np.ndarray, split: str) -> dict[str, float]:
    """Fréchet distance and KID to the real images of a split."""
    drawn, real = classifier.load("fashion-mnist").features(pixels), reference(split)
    return {"Fréchet": metrics.frechet(drawn, real), "KID": metrics.kid(drawn, real)}


@cache
def reference(split: str) -> np.ndarray:
    return classifier.load("fashion-mnist").features(pictures(split).pixels)


# The jobs, each in a process of its own. They return what is written as JSON.


def rating(out: Path, name: str, rate: float, steps: int, n: int) -> dict[str, Any]:
    """Validation scores of a learning rate, with averaged and with last weights."""
    contestant = built(name, seed=100)
    contestant.train(steps, rate, seed=100)
    averages = (True, False) if isinstance(contestant, Published) else (True,)
    drawn = {averaged: contestant.draw(n, 20, 100, contestant.samplers[0], averaged) for averaged in averages}
    return {str(averaged): scored(pixels, "validation")["Fréchet"] for averaged, pixels in drawn.items()}


def stepping(out: Path, name: str, rate: float, averaged: bool, steps: int, n: int) -> dict[str, Any]:
    """Validation scores of every sampler at every number of evaluations."""
    contestant = built(name, seed=100)
    contestant.train(steps, rate, seed=100)
    return {
        sampler: [
            scored(contestant.draw(n, evaluations, 100, sampler, averaged), "validation")["Fréchet"]
            for evaluations in EVALUATIONS
        ]
        for sampler in contestant.samplers
    }


def comparing(
    out: Path, name: str, seed: int, steps: int, rate: float, averaged: bool, samplers: list[str], n: int
) -> dict[str, Any]:
    """Test scores of one row and one seed; beside them a sheet of images."""
    contestant = built(name, seed)
    start = time.perf_counter()
    contestant.train(steps, rate, seed)
    seconds, scores = time.perf_counter() - start, []
    for evaluations, sampler in zip(EVALUATIONS, samplers, strict=True):
        pixels = contestant.draw(n, evaluations, seed, sampler, averaged)
        scores.append(scored(pixels, "test"))
        Gallery(pixels[:32]).plot(out.with_suffix(f".{evaluations}.png"), columns=8)
    return {"seconds": seconds, "parameters": parameters(contestant), "scores": scores}


def timing(out: Path, name: str, turn: int, steps: int) -> dict[str, Any]:
    """Images a second of a training run, and how much memory it takes beyond what was there before it."""
    contestant = built(name, seed=turn)
    pictures("train"), pictures("validation")
    before = peak()
    contestant.train(3, 1e-4, seed=turn)
    start = time.perf_counter()
    contestant.train(steps, 1e-4, seed=turn)
    rate = steps * BATCH / (time.perf_counter() - start)
    return {"parameters": parameters(contestant), "rate": rate, "MiB": peak(), "own MiB": peak() - before}


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "rate": rating,
    "samplers": stepping,
    "compare": comparing,
    "speed": timing,
}


def done(folder: Path, job: str, threads: int, key: str, **asked: Any) -> dict[str, Any]:
    """The result of a job, worked out in a process of its own unless it lies in the folder."""
    path = folder / re.sub(r"[^\w.]+", "-", f"{job} {key}.json")
    if path.is_file() and (found := json.loads(path.read_text()))["asked"] == asked:
        return found["result"]
    command = [sys.executable, "-m", "benchmarks.images_peers", "job", job, json.dumps(asked), str(path)]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, check=True)
    print(path.name, "is done", file=sys.stderr, flush=True)
    return json.loads(path.read_text())["result"]


def work(job: str, asked: dict[str, Any], path: Path) -> None:
    """Does a job in this process."""
    declared = declare_vision()
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    result = JOBS[job](path, **asked)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"asked": asked, "result": result}))
    new.replace(path)
    del declared


def at_once(tasks: list[Callable[[], Any]]) -> list[Any]:
    """The results of tasks that are worked on two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda task: task(), tasks))


def choose(folder: Path) -> None:
    """Prints SETTINGS: for every row the rate, weights and samplers that do best on validation images."""
    brief = {"steps": CHOSEN_STEPS, "n": CHOSEN_N}

    def rated(name: str, rate: float) -> dict[str, float]:
        return done(folder, "rate", 1, f"{name} {rate}", name=name, rate=rate, **brief)

    def stepped(name: str, rate: float, averaged: bool) -> dict[str, list[float]]:
        asked = {"name": name, "rate": rate, "averaged": averaged}
        return done(folder, "samplers", 1, f"{name} {rate} {averaged}", **asked, **brief)

    pairs = [(name, rate) for name in CONTESTANTS for rate in RATES[name]]
    scores = dict(zip(pairs, at_once([partial(rated, *pair) for pair in pairs]), strict=True))
    best = {}
    for name in CONTESTANTS:
        own = {
            (rate, averaged == "True"): score
            for rate in RATES[name]
            for averaged, score in scores[name, rate].items()
        }
        best[name] = min(own, key=lambda way, own=own: own[way])
        print(f"# {name}: " + ", ".join(f"{way}: {score:.1f}" for way, score in own.items()))
    every = at_once([partial(stepped, name, *best[name]) for name in CONTESTANTS])
    for name, found in zip(CONTESTANTS, every, strict=True):
        print(f"# {name}: {found}")
        samplers = tuple(min(found, key=lambda s, i=i: found[s][i]) for i in range(len(EVALUATIONS)))
        print(f"    {name!r}: {Settings(*best[name], samplers)},")


def compare(folder: Path) -> None:
    """The table of every row at every number of evaluations: means of three seeds, lowest and highest."""
    if missing := [name for name in CONTESTANTS if name not in SETTINGS]:
        raise SystemExit(f"SETTINGS has nothing for {', '.join(missing)}: run `choose` first")

    def row(name: str, seed: int, steps: int) -> dict[str, Any]:
        settings = SETTINGS["ours" if name == EQUAL_TIME else name]
        asked = asdict(settings) | {"samplers": list(settings.samplers)}
        asked |= {"name": name, "seed": seed, "steps": steps, "n": N}
        return done(folder, "compare", 1, f"{name} {seed}", **asked)

    pairs = [(name, seed) for seed in SEEDS for name in CONTESTANTS]
    results = at_once([partial(row, *pair, STEPS) for pair in pairs])
    rows = {
        name: [r for pair, r in zip(pairs, results, strict=True) if pair[0] == name] for name in CONTESTANTS
    }
    seconds = {name: mean(result["seconds"] for result in own) for name, own in rows.items()}
    steps = dict.fromkeys(rows, STEPS)
    steps[EQUAL_TIME] = round(STEPS * min(seconds[name] for name in LIBRARIES) / seconds["ours"])
    rows[EQUAL_TIME] = at_once([partial(row, EQUAL_TIME, seed, steps[EQUAL_TIME]) for seed in SEEDS])
    real = np.random.default_rng(0).permutation(len(pictures("train")))
    floor = [scored(pictures("train").pixels[real[seed * N : (seed + 1) * N]], "test") for seed in SEEDS]
    columns = [(measure, i) for measure in ("Fréchet", "KID") for i in range(len(EVALUATIONS))]
    heads = [f"{measure}, {EVALUATIONS[i]}" for measure, i in columns]
    print(
        "| row | parameters | images | seconds | " + " | ".join(heads) + " |\n|" + "---|" * (4 + len(heads))
    )
    for name, own in rows.items():
        cells = [spread([result["scores"][i][measure] for result in own]) for measure, i in columns]
        spent = mean(result["seconds"] for result in own)
        about = f"{own[0]['parameters'] / 1e6:.2f}M | {steps[name] * BATCH} | {spent:.0f}"
        print(f"| {name} | {about} | " + " | ".join(cells) + " |")
    cells = [spread([score[measure] for score in floor]) for measure, _ in columns]
    print("| real images | | | | " + " | ".join(cells) + " |")
    chart(rows, floor, Path(__file__).parents[1] / "docs/figures/images-peers.png")


def chart(rows: dict[str, list[dict[str, Any]]], floor: list[dict[str, float]], file: Path) -> None:
    """Fréchet distance against network evaluations, a line a row, with the range of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for name, own in rows.items():
        values = np.array([[score["Fréchet"] for score in result["scores"]] for result in own])
        style = "--" if "our engine" in name else "-" if name in LIBRARIES else "-."
        axis.plot(EVALUATIONS, values.mean(0), style, marker="o", markersize=3, label=name)
        axis.fill_between(EVALUATIONS, values.min(0), values.max(0), alpha=0.15)
    axis.axhline(mean(score["Fréchet"] for score in floor), color="black", linestyle=":", label="real images")
    axis.set(xlabel="network evaluations", ylabel="Fréchet distance", yscale="log", xticks=EVALUATIONS)
    axis.legend(fontsize=7)
    figure.savefig(file, dpi=120)


def spread(values: list[float]) -> str:
    """Mean, lowest and highest."""
    digits = 1 if max(values) >= 1 else 3
    return f"{mean(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


def speed(folder: Path) -> None:
    """Images a second on two threads, the rows taking turns."""
    names = [name for name in CONTESTANTS if "our engine" not in name]
    results = {
        (turn, name): done(folder, "speed", 2, f"{name} {turn}", name=name, turn=turn, steps=TIMED)
        for turn in range(TURNS)
        for name in names
    }
    print("| | parameters | images a second | peak MiB | of these, by training |\n|" + "---|" * 5)
    for name in names:
        own = [results[turn, name] for turn in range(TURNS)]
        rates = [result["rate"] for result in own]
        pace = f"{median(rates):.0f} ({min(rates):.0f}–{max(rates):.0f})"
        memory = " | ".join(f"{median(result[kind] for result in own):.0f}" for kind in ("MiB", "own MiB"))
        print(f"| {name} | {own[0]['parameters'] / 1e6:.2f}M | {pace} | {memory} |")


def declare_vision() -> torch.library.Library | None:
    """Lets torchvision's build for GPUs, which the peers import, load beside a CPU build of torch.

    Where it does not load, two operators that it looks for are declared, as long as the result lives; no peer
    calls them here.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        return library
    return None


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {"choose": (choose,), "compare": (compare,), "speed": (speed,), "both": (compare, speed)}
    parser.add_argument("what", nargs="?", choices=(*parts, "job"), default="both")
    parser.add_argument("job", nargs="*", help="for `job` alone: its name, its arguments as JSON, a file")
    parser.add_argument("--folder", type=Path, default=Path("runs/images_peers"), help="of the results")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.what == "job":
        work(chosen.job[0], json.loads(chosen.job[1]), Path(chosen.job[2]))
    else:
        for part in parts[chosen.what]:
            part(chosen.folder)
