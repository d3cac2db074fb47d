"""What a policy can be tried out in."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import numpy as np

from domains.robotics.environments.metaworld import MetaWorld
from domains.robotics.environments.pusht import PushT, PushTPixels
from zoo.errors import OptionError
from zoo.manifest import Source

__all__ = ["Demonstrable", "Environment", "check_seeds", "environment", "is_ours"]


class Environment(Protocol):
    """A task; write one of your own to evaluate a policy in it.

    Attributes:
        longest: steps of an episode.
    """

    longest: int

    def reset(self, seed: int) -> np.ndarray:
        """Starts an episode, a function of the seed alone: its first observation (observed,)."""
        ...

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        """Does an action (acted,): the next observation, and whether the task is done."""
        ...

    def measures(self) -> dict[str, float]:
        """What came of the episode so far; "success" is among them, 0 or 1."""
        ...

    def picture(self) -> np.ndarray | None:
        """What the robot's camera sees now, (H, W, channels), uint8; None if it has none."""
        ...

    def image(self) -> np.ndarray:
        """What it looks like now to a visitor, (H, W, 3), uint8."""
        ...


class Demonstrable(Environment, Protocol):
    """An environment with an expert, to make demonstrations.

    Attributes:
        name: see `environment`; "" for one that differs from what has that name.
        position: see `Episodes.position`.
        span: between the least and the greatest value of an action.
        source: of the demonstrations, for the model card.
    """

    name: str
    position: tuple[int, ...]
    span: float
    source: Source

    def expert(self) -> Iterator[np.ndarray]:
        """The expert's actions (acted,), each of which is done before the next is asked for."""
        ...


def check_seeds(seeds: Sequence[int]) -> None:
    """Refuses what no simulator takes for seeds of episodes.

    Raises:
        OptionError: if there is none, or one is below 0 or 2^32 or more.
    """
    if not seeds:
        raise OptionError("there must be an episode at least")
    if min(seeds) < 0 or max(seeds) >= 2**32:
        raise OptionError(f"seeds lie in 0 to 2^32 - 1, not {min(seeds)} to {max(seeds)}")


def environment(name: str) -> Callable[[], Demonstrable]:
    """What makes the environment of that name: "pusht", "pusht/pixels", or "metaworld/" and a task's name.

    Raises:
        OptionError: if there is none.
    """
    if name in ("pusht", "pusht/pixels"):
        return PushT if name == "pusht" else PushTPixels
    family, _, task = name.partition("/")
    if family == "metaworld":
        return partial(MetaWorld, task)
    raise OptionError(f"no environment {name!r}; there are 'pusht', 'pusht/pixels' and 'metaworld/<task>'")


def is_ours(name: str) -> bool:
    """Whether `environment` knows that name."""
    return name in ("pusht", "pusht/pixels") or name.startswith("metaworld/")
