"""The rows of `images_peers.py`: each library as published, its network under our engine, and ours."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.peers.vision import declare_operators
from domains.images import domain
from domains.images.adapter import fitted
from domains.images.backbone import SIZES, network
from domains.images.data import Framing, Pictures, read
from domains.images.dataset import ImageItems
from domains.images.model import ImageModel
from domains.images.recipes import EDM
from zoo.engine import PATHS, NetworkDenoiser
from zoo.fit import fit
from zoo.manifest import Provenance
from zoo.run import DivergedError, Fitted

BATCH = 32
ROWS = 200  # images drawn at once
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
            loss = self.loss(x)
            if not loss.isfinite():
                raise DivergedError(f"at step {step}", Fitted({}, 0, np.inf, np.inf))
            loss.backward()
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

    # DDIM is left out: on validation images it scored 240 to 310 where these scored 170 to 210
    samplers = ("dpm++2m", "dpm++2m, thresholds")
    betas, weight_decay, cosine = (0.95, 0.999), 1e-6, True

    def __init__(self) -> None:
        from diffusers import DDPMScheduler, DPMSolverMultistepScheduler
        from diffusers.training_utils import EMAModel

        from benchmarks.peers.contestants.diffusers import unet

        net = unet(SHAPE)
        super().__init__(net)
        self.noising = DDPMScheduler()
        config = self.noising.config
        self.steppers = {
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
        from denoising_diffusion_pytorch import GaussianDiffusion
        from ema_pytorch import EMA

        from benchmarks.peers.contestants.lucidrains import unet

        net = unet(SHAPE)
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
        from torch.optim.swa_utils import AveragedModel
        from torchcfm.conditional_flow_matching import ExactOptimalTransportConditionalFlowMatcher

        from benchmarks.peers.contestants.torchcfm import unet

        net = unet(SHAPE)
        super().__init__(net)
        self.matcher = ExactOptimalTransportConditionalFlowMatcher(sigma=0.0)
        # its .9999 remembers ten thousand steps; and at the start, less, as the other libraries do
        self.ema = AveragedModel(
            net, avg_fn=lambda old, new, n: torch.lerp(old, new, 1 - min(0.99, (1 + int(n)) / (10 + int(n))))
        )

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

    samplers = (EDM.sampling.sampler,)  # nothing is chosen for us but the rate

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


def built(name: str, seed: int) -> Contestant:
    """An untrained contestant.

    Raises:
        ValueError: if it is larger or smaller than the others.
    """
    declare_operators()
    torch.manual_seed(seed)
    contestant = CONTESTANTS[name]()
    if abs(parameters(contestant) / LIKE - 1) > 0.05:
        raise ValueError(f"{name}: {parameters(contestant)} parameters are not within 5 % of {LIKE}")
    return contestant


def parameters(contestant: Contestant) -> int:
    return sum(p.numel() for p in contestant.network.parameters())
