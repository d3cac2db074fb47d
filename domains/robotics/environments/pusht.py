"""Push-T (Florence et al. 2021; Chi et al. 2023): push a T onto its mark.

The extra `robotics` brings the simulator, gym-pusht. Places are pixels of a board of 512 x 512.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from zoo.errors import MissingExtraError
from zoo.manifest import Source

OUTLINE = np.array(
    [(-60, 0), (60, 0), (60, 30), (15, 30), (15, 120), (-15, 120), (-15, 30), (-60, 30)], float
)
"""Corners of the T in its own frame."""
GOAL = (256.0, 256.0, math.pi / 4)
SOLVED = 0.95  # share of the mark that is covered


def corners(pose: np.ndarray) -> np.ndarray:
    """Corners of the T, (*, 8, 2), at poses (*, 3): x, y, angle.

    >>> corners(np.array([10.0, 20.0, math.pi / 2]))[1].round()
    array([10., 80.])
    """
    cos, sin = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    return OUTLINE @ turn + pose[..., None, :2]


def observed(state: np.ndarray) -> np.ndarray:
    """Observations (*, 18): the pusher's place, then the corners of the T, from states (*, 5).

    A state is the simulator's: the pusher's x and y, the T's x, y and angle.
    """
    places = corners(state[..., 2:]).reshape(*state.shape[:-1], 16)
    return np.concatenate([state[..., :2], places], -1).astype(np.float32)


class PushT:
    """The simulator as an `Environment`.

    Args:
        goal: pose of the mark: x, y, angle.
        damping: share of its speed that the T keeps for a second when it is not pushed.

    Raises:
        MissingExtraError: without gym-pusht.
    """

    name, longest = "pusht", 300
    position: tuple[int, ...] = (0, 1)
    span = 512.0  # pixels
    source = Source("Push-T, scripted expert", "MIT")

    def __init__(self, goal: tuple[float, float, float] = GOAL, damping: float = 0.0) -> None:
        try:
            from gym_pusht.envs.pusht import PushTEnv
        except ImportError as error:
            raise MissingExtraError("gym-pusht", "robotics") from error
        self.goal = np.array(goal)
        if (goal, damping) != (GOAL, 0.0):
            self.name = ""  # what learns from it is not to be tried out with the usual one
        self.simulator: Any = PushTEnv(
            obs_type="state", damping=damping, visualization_width=256, visualization_height=256
        )

    @property
    def state(self) -> np.ndarray:
        """The pusher's x and y, the T's x, y and angle: (5,)."""
        return self.simulator.get_obs()

    def reset(self, seed: int) -> np.ndarray:
        self.simulator.reset(seed=seed)
        self.simulator.goal_pose = self.goal
        self.best = self.coverage = 0.0
        return self.observe(self.state)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        state, _, done, _, info = self.simulator.step(np.clip(action, 0, 512).astype(float))
        self.coverage = float(info["coverage"])
        self.best = max(self.best, self.coverage)
        return self.observe(state), bool(done)

    def measures(self) -> dict[str, float]:
        """Success; Diffusion Policy's score: the best coverage over .95, at most 1; the last coverage."""
        return {
            "success": float(self.best > SOLVED),
            "score": min(self.best / SOLVED, 1.0),
            "final_coverage": self.coverage,
        }

    def observe(self, state: np.ndarray) -> np.ndarray:
        """What is seen of a state (5,)."""
        return observed(state)

    def picture(self) -> np.ndarray | None:
        return None

    def image(self) -> np.ndarray:
        return self.simulator.render()

    def expert(self) -> Iterator[np.ndarray]:
        from domains.robotics.environments import expert

        return expert.actions(lambda: self.state, self.goal)


class PushTPixels(PushT):
    """Push-T as a camera sees it, (96, 96, 3); of values, the pusher's place alone is told."""

    name = "pusht/pixels"

    def observe(self, state: np.ndarray) -> np.ndarray:
        return state[:2].astype(np.float32)

    def picture(self) -> np.ndarray:
        return self.simulator._render(visualize=False)
