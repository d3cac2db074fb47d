"""denoising-diffusion-pytorch: its samplers, Unet and Unet1D."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.peers.contestants.interface import FIRST, STOCHASTIC, TASKS, Contestant, Loop, Training, half
from benchmarks.peers.vision import declare_operators

declare_operators()

from denoising_diffusion_pytorch import (  # noqa: E402 (torchvision must load first)
    GaussianDiffusion,
    GaussianDiffusion1D,
    Unet,
    Unet1D,
)


class Half(nn.Module):
    """`half`, with what the library asks of a network."""

    self_condition = random_or_learned_sinusoidal_cond = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = self.out_dim = channels
        self.anchor = nn.Parameter(torch.zeros(1))  # tells the device

    def forward(self, x: Tensor, t: Tensor, cond: Tensor | None = None) -> Tensor:
        return half(x)


def loops(shape: tuple[int, ...], steps: int) -> dict[str, Loop]:
    """The library draws the noise itself."""
    if len(shape) == 4:
        make = partial(GaussianDiffusion, Half(shape[1]), image_size=shape[2])
    else:
        make = partial(GaussianDiffusion1D, Half(1), seq_length=shape[1])
    ddim, ddpm = make(timesteps=2 * steps, sampling_timesteps=steps), make(timesteps=steps)
    return {
        "DDIM": Loop(FIRST, lambda x: ddim.sample(batch_size=len(x))),
        "DDPM": Loop(STOCHASTIC, lambda x: ddpm.sample(batch_size=len(x))),
    }


def unet(shape: tuple[int, ...]) -> Unet:
    return Unet(
        dim=32, dim_mults=(1, 2, 3), channels=shape[0], attn_heads=3, attn_dim_head=16, flash_attn=True
    )


def training(shape: tuple[int, ...]) -> Training:
    network = unet(shape)
    loss = learned(GaussianDiffusion(network, image_size=shape[1]), lambda x: x)
    return Training(network, loss, torch.channels_last)


def training_1d(shape: tuple[int, ...]) -> Training:
    network = Unet1D(dim=28, dim_mults=(1, 2, 4), channels=shape[1])
    loss = learned(GaussianDiffusion1D(network, seq_length=shape[0]), lambda x: x.transpose(1, 2))
    return Training(network, loss)


def learned(diffusion: nn.Module, arrange: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: diffusion(arrange(x).clamp(0, 1))  # it wants data in [0, 1]


IMAGE, GRAY, CHUNK, *_ = TASKS
CONTESTANT = Contestant(
    loops=loops,
    trainings={
        IMAGE: partial(training, TASKS[IMAGE]),
        GRAY: partial(training, TASKS[GRAY]),
        CHUNK: partial(training_1d, TASKS[CHUNK]),
    },
)
