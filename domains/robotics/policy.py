"""A policy that acts step by step, as on a robot."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from domains.robotics.evaluation.rollout import Timing
from domains.robotics.model import RobotModel, array_of
from zoo.engine import Members
from zoo.errors import OptionError


class Policy:
    """Keeps what was seen, and the actions of the last chunk that are still to be done.

    `RobotModel.predict_chunk` decides all; this is the queue before and after it. With a latency, the next
    chunk is asked for while as many actions are left, and predicted in a thread: `act` returns at once,
    unless these actions run out first.

    Args:
        model: predicts the chunks.
        n_action_steps: actions of a chunk that are done before the next; None for the model's own.
        latency: steps before a chunk runs out at which the next is asked for.
        overlap: with a latency, tell the model what is done meanwhile, as the beginning of the new chunk.
        warm: begin a chunk with the rest of the last one in place of noise, as far as this share of noise
            leaves it; None begins with noise.
        seed: of the noise; that of each chunk is the one that a trial from this seed has.

    Raises:
        OptionError: if a chunk is too short for that.
    """

    def __init__(
        self,
        model: RobotModel,
        *,
        n_action_steps: int | None = None,
        latency: int = 0,
        overlap: bool = True,
        warm: float | None = None,
        seed: int = 0,
    ) -> None:
        recipe = model.recipe
        n = recipe.n_action_steps if n_action_steps is None else n_action_steps
        self.timing = Timing(
            n_obs_steps=recipe.n_obs_steps, n_action_steps=n, latency=latency, overlap=overlap
        )
        if n + latency > recipe.horizon:
            raise OptionError(
                f"{n} steps after a latency of {latency} are more than a chunk of {recipe.horizon}"
            )
        self.model, self.warm, self.seed = model, warm, seed
        self._thread = ThreadPoolExecutor(1)
        self.reset()

    def reset(self) -> None:
        """Forgets: for the beginning of an episode."""
        n = self.timing.n_obs_steps
        self._seen: deque[np.ndarray] = deque(maxlen=n)
        self._looked: deque[np.ndarray] = deque(maxlen=n)
        self._queue: deque[np.ndarray] = deque()
        self._coming: Future[np.ndarray] | None = None
        self._last: np.ndarray | None = None  # the last chunk
        self._gone = 0  # steps since it was asked for
        self._chunks = 0

    def act(self, observation: Any, picture: Any = None) -> np.ndarray:
        """The action (acted,) to do now, after seeing an observation (observed,) and, if it has a camera,
        a picture (H, W, channels).
        """
        recipe = self.model.recipe
        if (picture is None) == bool(recipe.picture[2]):
            raise OptionError("a picture is wanted at every step of a model with a camera, and of no other")
        # checked before it is remembered, so that the next step may go on
        seen = array_of(observation, "the observation", (recipe.observed,))
        if picture is not None:
            look = np.array(picture)
            if look.shape != recipe.picture or look.dtype != np.uint8:
                raise OptionError(
                    f"the picture is {look.shape} of {look.dtype}; {recipe.picture} of uint8 is wanted"
                )
            _remember(self._looked, look)
        _remember(self._seen, seen)
        if not self._queue:
            self._receive(self._coming or self._asked())
        if self._coming is None and len(self._queue) <= self.timing.latency:
            self._coming = self._asked()
        self._gone += 1
        return self._queue.popleft()

    def _receive(self, coming: "Future[np.ndarray]") -> None:
        self._coming = None
        self._last = coming.result()
        self._queue.extend(self._last[self._gone : self._gone + self.timing.n_action_steps])

    def _asked(self) -> "Future[np.ndarray]":
        previous = None
        if self.warm is not None and self._last is not None:
            previous = np.concatenate([self._last[self._gone :], self._last[-1:].repeat(self._gone, 0)])
        given = np.stack(self._queue) if self._queue and self.timing.overlap else None
        number, self._chunks, self._gone = self._chunks, self._chunks + 1, 0
        return self._thread.submit(
            self.model.predict_chunk,
            np.stack(self._seen),
            pictures=np.stack(self._looked) if self._looked else None,
            given=given,
            previous=previous,
            strength=1.0 if self.warm is None else self.warm,
            members=Members(number, [self.seed]),
        )


def _remember(memory: deque[np.ndarray], now: np.ndarray) -> None:
    """At the beginning of an episode, the first observation stands for those before it."""
    memory.extend([now] if memory else [now] * (memory.maxlen or 1))
