"""LeRobot: its diffusion policy, without a camera, and the 1-D U-Net in it."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from benchmarks.peers.contestants.interface import TASKS, Contestant, Inference, Training, parameters
from benchmarks.peers.vision import declare_operators

declare_operators()

from lerobot.configs.types import FeatureType, PolicyFeature  # noqa: E402 (torchvision must load first)
from lerobot.policies.diffusion.configuration_diffusion import DiffusionConfig  # noqa: E402
from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy  # noqa: E402

STATE, ELSE, ACTION = "observation.state", "observation.environment_state", "action"


def policy(
    horizon: int, acted: int, widths: tuple[int, ...], noise: str = "DDPM", steps: int | None = None
) -> DiffusionPolicy:
    """Of observations of 2 values of the robot and 2 of what is around it, one step of them."""
    return DiffusionPolicy(
        DiffusionConfig(
            input_features={
                STATE: PolicyFeature(FeatureType.STATE, (2,)),
                ELSE: PolicyFeature(FeatureType.ENV, (2,)),
            },
            output_features={ACTION: PolicyFeature(FeatureType.ACTION, (acted,))},
            n_obs_steps=1,
            horizon=horizon,
            down_dims=widths,
            device="cpu",
            noise_scheduler_type=noise,
            num_inference_steps=steps,
        )
    )


def training() -> Training:
    horizon, acted = TASKS[CHUNK]
    model = policy(horizon, acted, (32, 64, 96)).diffusion

    def loss(x: Tensor) -> Tensor:
        seen = x.new_zeros(len(x), 1, 2)
        padded = x.new_zeros(x.shape[:2], dtype=torch.bool)
        return model.compute_loss({STATE: seen, ELSE: seen, ACTION: x, "action_is_pad": padded})

    return Training(model, loss)


def chunk(noise: str = "DDPM", steps: int | None = None) -> Inference:
    """Of 16 actions of 2 values; None: in as many steps as it was trained with."""
    model = policy(16, 2, (64, 96), noise, steps).eval()
    seen = torch.zeros(1, 2)
    return Inference(parameters(model), lambda: act(model, {STATE: seen, ELSE: seen}))


def act(model: DiffusionPolicy, seen: dict[str, Tensor]) -> Tensor:
    model.reset()  # so that the next action needs a new chunk
    return model.select_action(seen)


_, _, CHUNK, *_ = TASKS
CONTESTANT = Contestant(
    trainings={CHUNK: training},
    inferences={
        "a chunk of actions, as published": chunk,
        "a chunk of actions, 10 first-order steps": partial(chunk, "DDIM", 10),
    },
)
