"""diffusers: schedulers, UNet2DModel, UNet1DModel and DiTTransformer2DModel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import diffusers as D
import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.peers.contestants.interface import (
    FIRST,
    SECOND,
    SECOND_TWO,
    STOCHASTIC,
    TASKS,
    THIRD,
    Contestant,
    Loop,
    Solver,
    Start,
    Training,
    half,
    parameters,
)
from benchmarks.peers.mixture import DATA_STD, Mixture

FLOW = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}


def loops(shape: tuple[int, ...], steps: int) -> dict[str, Loop]:
    def case(kind: str, scheduler: Any, calls: int = 1, scales: bool = True) -> Loop:
        def run(x: Tensor) -> Tensor:
            for t in scheduler.timesteps:
                seen = scheduler.scale_model_input(x, t) if scales else x
                x = scheduler.step(half(seen), t, x, return_dict=False)[0]
            return x

        return Loop(kind, run, calls, reset=lambda: scheduler.set_timesteps(steps))

    levels = max(1000, 4 * steps)
    return {
        "FlowMatchEuler": case(FIRST, D.FlowMatchEulerDiscreteScheduler(levels), scales=False),
        "Euler": case(FIRST, D.EulerDiscreteScheduler(levels)),
        "DDIM": case(FIRST, D.DDIMScheduler(levels)),
        "DPM++2M": case(SECOND, D.DPMSolverMultistepScheduler(levels)),
        "UniPC": case(SECOND, D.UniPCMultistepScheduler(levels)),
        "Heun": case(SECOND_TWO, D.HeunDiscreteScheduler(levels), calls=2),
        "DPM++3M": case(THIRD, D.DPMSolverMultistepScheduler(levels, solver_order=3)),
        "DDPM": case(STOCHASTIC, D.DDPMScheduler(levels)),
    }


def by_variance(make: Callable[[], Any], step: Mapping[str, float] | None = None) -> Solver:
    """DDIM and DDPM, with options of their steps: on α² + σ² = 1, at levels of the training."""

    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start]:
        scheduler, x = make(), z
        scheduler.set_timesteps(evaluations)
        power = scheduler.alphas_cumprod.double()
        for t in scheduler.timesteps:
            a, s = power[t].sqrt().item(), (1 - power[t]).sqrt().item()
            x = scheduler.step((x - a * mixture.denoise(x, a, s)) / s, t, x, **(step or {})).prev_sample
        first = power[scheduler.timesteps[0]]
        return x, ((1 / first - 1).sqrt().item(), first.rsqrt().item())

    return run


def multistep(make: Callable[[], Any], flow: bool = False) -> Solver:
    """DPM-Solver, UniPC and DEIS: ε on α² + σ² = 1, or the velocity of the flow."""

    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start | None]:
        scheduler, x = make(), z
        scheduler.set_timesteps(evaluations)
        sigmas = scheduler.sigmas.double().tolist()
        for sigma, t in zip(sigmas, scheduler.timesteps, strict=False):
            a = 1 if flow else 1 / math.hypot(1, sigma)
            out = (
                (x - mixture.denoise(x, 1 - sigma, sigma)) / sigma
                if flow
                else (x - a * mixture.denoise(x, a, sigma * a)) / (sigma * a)
            )
            x = scheduler.step(out, t, x).prev_sample
        return x, flow_start(sigmas[0]) if flow else (sigmas[0], math.hypot(1, sigmas[0]))

    return run


def exploding(make: Callable[[], Any], calls: int = 1) -> Solver:
    """Euler's and Heun's method for ε at α = 1."""

    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start]:
        scheduler = make()
        scheduler.set_timesteps(-(-evaluations // calls))
        scale = float(scheduler.init_noise_sigma)
        sigmas, x = scheduler.sigmas.double().tolist(), z * scale
        for sigma, t in zip(sigmas, scheduler.timesteps, strict=False):
            scheduler.scale_model_input(x, t)  # it keeps count of the steps
            x = scheduler.step((x - mixture.denoise(x, 1, sigma)) / sigma, t, x).prev_sample
        return x, (sigmas[0], scale)

    return run


def edm(make: Callable[[], Any]) -> Solver:
    """EDM's schedulers, at α = 1 under EDM's preconditioning."""

    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start]:
        scheduler = make()
        scheduler.set_timesteps(evaluations)
        scale = float(scheduler.init_noise_sigma)
        sigmas, x = scheduler.sigmas.double().tolist(), z * scale
        for sigma, t in zip(sigmas, scheduler.timesteps, strict=False):
            scheduler.scale_model_input(x, t)
            power = sigma**2 + DATA_STD**2
            skip, out = DATA_STD**2 / power, sigma * DATA_STD / math.sqrt(power)
            x = scheduler.step((mixture.denoise(x, 1, sigma) - skip * x) / out, t, x).prev_sample
        return x, (sigmas[0], scale)

    return run


def flow_matching(make: Callable[[], Any], calls: int = 1, even: bool = False) -> Solver:
    """The velocity of the flow, from pure noise where the grid says so."""

    def run(mixture: Mixture, z: Tensor, evaluations: int) -> tuple[Tensor, Start | None]:
        scheduler, x, steps = make(), z, -(-evaluations // calls)
        if even:
            scheduler.set_timesteps(sigmas=np.linspace(1, 1 / steps, steps).tolist())
        else:
            scheduler.set_timesteps(steps)
        sigmas = scheduler.sigmas.double().tolist()
        for sigma, t in zip(sigmas, scheduler.timesteps, strict=False):
            x = scheduler.step((x - mixture.denoise(x, 1 - sigma, sigma)) / sigma, t, x).prev_sample
        return x, flow_start(sigmas[0])

    return run


def flow_start(sigma: float) -> Start | None:
    return None if sigma > 1 - 1e-6 else (sigma / (1 - sigma), 1 / (1 - sigma))


DPM, UNIPC, HEUN = D.DPMSolverMultistepScheduler, D.UniPCMultistepScheduler, D.HeunDiscreteScheduler
KARRAS = {"use_karras_sigmas": True}
TRAILING = {"clip_sample": False, "timestep_spacing": "trailing"}
DETERMINISTIC = {
    "DDIM trailing": by_variance(partial(D.DDIMScheduler, **TRAILING)),
    "DPM++2M": multistep(DPM),
    "DPM++2M trailing": multistep(partial(DPM, timestep_spacing="trailing")),
    "DPM++2M karras": multistep(partial(DPM, **KARRAS)),
    "DPM++2M lu_lambdas": multistep(partial(DPM, use_lu_lambdas=True)),
    "DPM++2M flow": multistep(partial(DPM, **FLOW), flow=True),
    "DPM++3M lu_lambdas": multistep(partial(DPM, solver_order=3, use_lu_lambdas=True)),
    "UniPC2": multistep(UNIPC),
    "UniPC2 karras": multistep(partial(UNIPC, **KARRAS)),
    "UniPC3 karras": multistep(partial(UNIPC, solver_order=3, **KARRAS)),
    "UniPC2 flow": multistep(partial(UNIPC, **FLOW), flow=True),
    "DEIS2 karras": multistep(partial(D.DEISMultistepScheduler, **KARRAS)),
    "Euler": exploding(D.EulerDiscreteScheduler),
    "Euler karras": exploding(partial(D.EulerDiscreteScheduler, **KARRAS)),
    "Heun karras": exploding(partial(HEUN, beta_start=1e-4, beta_end=0.02, **KARRAS), calls=2),
    "EDMEuler": edm(D.EDMEulerScheduler),
    "EDM-DPM++2M": edm(D.EDMDPMSolverMultistepScheduler),
    "EDM-DPM++3M": edm(partial(D.EDMDPMSolverMultistepScheduler, solver_order=3)),
    "FlowMatchEuler": flow_matching(D.FlowMatchEulerDiscreteScheduler),
    "FlowMatchEuler even": flow_matching(D.FlowMatchEulerDiscreteScheduler, even=True),
    "FlowMatchEuler even, shift 3": flow_matching(
        partial(D.FlowMatchEulerDiscreteScheduler, shift=3.0), even=True
    ),
    "FlowMatchHeun": flow_matching(D.FlowMatchHeunDiscreteScheduler, calls=2),
}
STOCHASTIC_ONES = {
    "DDPM trailing": by_variance(partial(D.DDPMScheduler, **TRAILING)),
    "DDIM eta=1": by_variance(partial(D.DDIMScheduler, **TRAILING), {"eta": 1.0}),
    "SDE-DPM++2M karras": multistep(partial(DPM, algorithm_type="sde-dpmsolver++", **KARRAS)),
    "EulerAncestral": exploding(D.EulerAncestralDiscreteScheduler),
}


def unet(shape: tuple[int, ...], widths: tuple[int, ...] = (32, 64, 96), layers: int = 1) -> D.UNet2DModel:
    """Attention at half the resolution."""
    down = ["DownBlock2D", "AttnDownBlock2D", *["DownBlock2D"] * (len(widths) - 2)]
    return D.UNet2DModel(
        sample_size=shape[1],
        in_channels=shape[0],
        out_channels=shape[0],
        layers_per_block=layers,
        attention_head_dim=widths[0] // 2,
        block_out_channels=widths,
        down_block_types=down,
        up_block_types=[name.replace("Down", "Up") for name in reversed(down)],
    )


def unet_1d(shape: tuple[int, ...]) -> D.UNet1DModel:
    """As in the planner of Janner et al. 2022, which diffusers ships for robots."""
    return D.UNet1DModel(
        sample_size=shape[0],
        in_channels=shape[1],
        out_channels=shape[1],
        block_out_channels=(32, 64, 128),
        down_block_types=("DownResnetBlock1D",) * 3,
        up_block_types=("UpResnetBlock1D",) * 2,
        mid_block_type="MidResTemporalBlock1D",
        out_block_type="OutConv1DBlock",
        time_embedding_type="positional",
        use_timestep_embedding=True,
        flip_sin_to_cos=False,
        freq_shift=1,
        layers_per_block=1,
        act_fn="mish",
    )


def dit(shape: tuple[int, ...], heads: int, head: int, depth: int) -> D.DiTTransformer2DModel:
    """On patches of 2 x 2 pixels, as ours."""
    return D.DiTTransformer2DModel(
        num_attention_heads=heads,
        attention_head_dim=head,
        in_channels=shape[0],
        out_channels=shape[0],
        num_layers=depth,
        sample_size=shape[1],
        patch_size=2,
        num_embeds_ada_norm=1,
        norm_num_groups=1,
    )


def training(
    network: nn.Module, labelled: bool = False, memory_format: torch.memory_format = torch.preserve_format
) -> Training:
    """DDPM's ε-loss, as in the examples of the library; a DiT wants to be told a class."""
    noising = D.DDPMScheduler()

    def loss(x: Tensor) -> Tensor:
        t, noise = torch.randint(0, 1000, (len(x),), device=x.device), torch.randn_like(x)
        told = {"class_labels": torch.zeros_like(t)} if labelled else {}
        out = network(noising.add_noise(x, noise, t), timestep=t, return_dict=False, **told)[0]
        return (out - noise).square().mean()

    return Training(network, loss, memory_format)


def training_1d(network: nn.Module) -> Training:
    of_channels = training(network)
    return Training(network, lambda x: of_channels.loss(x.transpose(1, 2)))


def save(folder: Path) -> int:
    torch.manual_seed(0)
    network = unet((3, 32, 32), (64, 128, 160))
    network.save_pretrained(folder)
    return parameters(network)


IMAGE, GRAY, CHUNK, DIT, BASE, BASE_DIT, *_ = TASKS
SHAPE = TASKS[IMAGE]
CONTESTANT = Contestant(
    loops=loops,
    deterministic=DETERMINISTIC,
    stochastic=STOCHASTIC_ONES,
    trainings={
        IMAGE: lambda: training(unet(SHAPE)),
        GRAY: lambda: training(unet(TASKS[GRAY])),
        CHUNK: lambda: training_1d(unet_1d(TASKS[CHUNK])),
        DIT: lambda: training(dit(SHAPE, 4, 32, 5), labelled=True),
        BASE: lambda: training(
            unet(SHAPE, (128, 160, 224, 256), layers=2), memory_format=torch.channels_last
        ),
        BASE_DIT: lambda: training(dit(SHAPE, 6, 64, 12), labelled=True),
    },
    save=save,
)
