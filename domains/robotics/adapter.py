"""Between what a robot sees and does and what the network sees: numbers of mean 0 and variance 1."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from domains.robotics.episodes import Episodes
from zoo import typed
from zoo.domain import Adapter

SMALLEST = 1e-3  # of a deviation, as a share of the largest value: what hardly varies is not blown up
BEYOND = 0.05  # of its range, by which a value that is passed on may lie outside before it is told


@dataclass(frozen=True)
class Scale:
    """Mean, deviation and range of each value over the training steps."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    def __post_init__(self) -> None:
        if len({len(part) for part in (self.mean, self.std, self.low, self.high)}) != 1:
            raise ValueError("mean, std, low and high have not as many values each")
        if not all(std > 0 for std in self.std):
            raise ValueError("a deviation is not positive")

    @cached_property
    def _tensors(self) -> tuple[Tensor, ...]:
        return tuple(torch.tensor(part) for part in (self.mean, self.std, self.low, self.high))

    def encode(self, values: Tensor) -> Tensor:
        """(*, values) to mean 0 and variance 1."""
        mean, std, _, _ = self._tensors
        return (values - mean) / std

    def decode(self, values: Tensor) -> Tensor:
        """Undoes `encode`."""
        mean, std, _, _ = self._tensors
        return values * std + mean

    def clip(self, values: Tensor) -> Tensor:
        """Into the range of the training steps."""
        _, _, low, high = self._tensors
        return values.clamp(low, high)

    def outside(self, values: Tensor, beyond: float) -> list[int]:
        """The columns of (*, values) in which a value lies outside that range, by more than a share of it."""
        low, high = np.array(self.low, np.float32), np.array(self.high, np.float32)
        room = beyond * (high - low)
        found = values.numpy()  # its calls take a fifth of torch's time, and every chunk makes them
        far = (found < low - room) | (found > high + room)
        return np.flatnonzero(far.any(tuple(range(far.ndim - 1)))).tolist()


@dataclass(frozen=True)
class RobotAdapter(Adapter):
    """Statistics of the demonstrations. All tensors are on the CPU.

    Attributes:
        observation: of what is seen.
        action: of the actions as the network sees them: relative ones, if they are.
        position: columns of an observation that relative actions are relative to; empty for absolute ones.
        outside: what becomes of observations outside the range of the training steps: "pass" hands them on
            as they are, "clip" brings them to its edge.
    """

    observation: Scale
    action: Scale
    position: tuple[int, ...]
    outside: Literal["pass", "clip"]

    def __post_init__(self) -> None:
        if any(not 0 <= column < len(self.observation.mean) for column in self.position):
            raise ValueError(f"position {self.position} is not among {len(self.observation.mean)} columns")

    def encode(self, raw: Tensor) -> Tensor:
        """Observations (*, steps, observed)."""
        return self.observation.encode(self.observation.clip(raw) if self.outside == "clip" else raw)

    def outside_range(self, raw: Tensor) -> list[int]:
        """Columns of observations (*, observed) that leave the range of training: clearly, or at all if they
        are clipped.
        """
        return self.observation.outside(raw, 0.0 if self.outside == "clip" else BEYOND)

    def warn(self, columns: Sequence[int]) -> None:
        """Tells that observations leave the range of training in some columns."""
        if not columns:
            return
        low, high = self.observation.low[columns[0]], self.observation.high[columns[0]]
        done = "brought to its edge" if self.outside == "clip" else "passed on as they are"
        warnings.warn(
            f"observations leave the range of training, first observations[{columns[0]}], "
            f"{low:.4g} to {high:.4g}: {done}",
            stacklevel=3,
        )

    def encode_actions(self, actions: Tensor, now: Tensor) -> Tensor:
        """Actions (*, steps, acted), given the observation of now (*, observed)."""
        return self.action.encode(actions - self.origin(now))

    def decode(self, x: Tensor) -> Tensor:
        """Actions relative to what they are relative to; see `origin`."""
        return self.action.decode(x)

    def origin(self, now: Tensor) -> Tensor:
        """What is added to decoded actions, (*, 1, acted), given the observation of now (*, observed)."""
        if not self.position:
            return now.new_zeros(*now.shape[:-1], 1, 1)
        return now[..., None, list(self.position)]

    def state(self) -> dict[str, Any]:
        return asdict(self)


def fitted(
    episodes: Episodes, horizon: int, relative: bool, outside: Literal["pass", "clip"]
) -> RobotAdapter:
    """The adapter of these episodes; relative actions are looked at over the horizon ahead of each step."""
    position = episodes.position if relative else ()
    actions = episodes.actions
    if position:
        last = np.repeat(episodes.ends - 1, episodes.ends - episodes.starts)
        ahead = np.minimum(np.arange(len(actions))[:, None] + np.arange(horizon), last[:, None])
        here = episodes.observations[:, None, list(position)]
        actions = (actions[ahead] - here).reshape(-1, actions.shape[1])
    return RobotAdapter(_scale(episodes.observations), _scale(actions), position, outside)


def restored(state: dict[str, Any]) -> RobotAdapter:
    """The adapter whose `state` this is."""
    return typed.from_json(RobotAdapter, state)


def _scale(values: np.ndarray) -> Scale:
    values = values.astype(float)
    std = np.maximum(values.std(0), SMALLEST * np.abs(values).max(0))
    std[std == 0] = 1.0  # always 0
    parts = (values.mean(0), std, values.min(0), values.max(0))
    return Scale(*(tuple(part.tolist()) for part in parts))
