"""Meta-World (Yu et al. 2019): fifty tasks of a robot arm, with scripted policies. Extra: `metaworld`.

An example of an environment of one's own: five methods around a simulator, and an expert to learn from.
"""

from collections.abc import Iterator

import numpy as np

from zoo.errors import MissingExtraError, OptionError
from zoo.manifest import Source


class MetaWorld:
    """A task as an `Environment`.

    What is seen (39,): hand, gripper and up to two objects, now and a step before, and the goal; metres.
    Actions (4,): how far the hand moves, and the effort of the gripper, each in [-1, 1].

    Args:
        task: its name, such as "reach-v3".

    Raises:
        MissingExtraError: without metaworld.
        OptionError: if there is no such task.
    """

    longest = 200
    position: tuple[int, ...] = ()
    span = 2.0
    source = Source("Meta-World, scripted policies", "MIT")

    def __init__(self, task: str) -> None:
        try:
            from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE
            from metaworld.policies import ENV_POLICY_MAP
        except ImportError as error:
            raise MissingExtraError("metaworld", "metaworld") from error
        if task not in ENV_POLICY_MAP:
            raise OptionError(f"no task {task!r} in Meta-World; there are: {', '.join(ENV_POLICY_MAP)}")
        self.name, self.policy = f"metaworld/{task}", ENV_POLICY_MAP[task]()
        self.simulator = ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE[f"{task}-goal-observable"](
            render_mode="rgb_array"
        )
        self.simulator.seeded_rand_vec, self.simulator._freeze_rand_vec = True, False

    def reset(self, seed: int) -> np.ndarray:
        self.simulator.seed(seed)
        self.state, _ = self.simulator.reset()
        self.success = False
        return self.state.astype(np.float32)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, bool]:
        self.state, _, _, _, info = self.simulator.step(np.clip(action, -1, 1))
        self.success = bool(info["success"])
        return self.state.astype(np.float32), self.success

    def measures(self) -> dict[str, float]:
        return {"success": float(self.success)}

    def picture(self) -> None:
        return None

    def image(self) -> np.ndarray:
        try:
            return np.asarray(self.simulator.render())[::-1]  # the camera hangs upside down
        except Exception as error:  # of MuJoCo's own kinds, or of the driver's
            raise OptionError(f"MuJoCo cannot draw here ({error}): set MUJOCO_GL=egl or osmesa") from None

    def expert(self) -> Iterator[np.ndarray]:
        """The actions of Meta-World's own policy."""
        while True:
            yield np.clip(self.policy.get_action(self.state), -1, 1)
