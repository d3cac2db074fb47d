"""Demonstrations at will: what an environment's own expert does, a function of the seeds."""

import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from domains.robotics.environments import Demonstrable, check_seeds
from domains.robotics.episodes import Episodes
from zoo.errors import DataError, OptionError


@dataclass(frozen=True)
class Shown:
    """An episode: observations (steps, observed), actions (steps, acted), pictures if there are any."""

    observations: np.ndarray
    actions: np.ndarray
    pictures: np.ndarray | None


@dataclass(frozen=True)
class Task:
    """An environment and how much the expert misses in it: see `demonstrations`."""

    make: Callable[[], Demonstrable]
    noise: float

    def solved(self, seed: int) -> Shown | None:
        """An episode; None if the expert fails."""
        world = self.make()
        seen, looked, done, off = [np.array(world.reset(seed))], [world.picture()], [], 0.0
        rng = np.random.default_rng([seed, 1])
        for action in world.expert():
            off = 0.8 * off + 0.6 * self.noise * world.span * rng.standard_normal(len(action))
            observation, over = world.step(action + off)
            done.append(np.array(action))
            if over:
                pictures = None if looked[0] is None else np.array(looked)
                return Shown(np.stack(seen), np.stack(done), pictures)
            if len(done) == world.longest:
                break
            seen.append(np.array(observation))
            looked.append(world.picture())
        return None


def demonstrations(
    seeds: Sequence[int],
    make: Callable[[], Demonstrable],
    noise: float = 0.0,
    processes: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Episodes:
    """Episodes of the expert from these starts; those that it does not solve are left out.

    Args:
        seeds: at least 0, one an episode, which is a function of it.
        make: makes the environment; importable, if there is more than one process.
        noise: standard deviation of what is done about what is wanted, as a share of the range of actions,
            for a few steps at a time: the demonstrations then show how to recover (Laskey et al. 2017,
            "DART").
        processes: that work at it.
        progress: called with the number of episodes that are done.

    Raises:
        DataError: if the expert solves none.
        OptionError: without seeds, for one that is none, or noise that is no share.
    """
    check_seeds(seeds)
    if not 0 <= noise <= 1:
        raise OptionError(f"noise is a share of the range of actions, 0 to 1, not {noise}")
    world, task, found = make(), Task(make, noise), []  # what is missing is told before any process starts

    def collect(made: "map[Shown | None]") -> None:
        for number, episode in enumerate(made, start=1):
            if episode is not None:
                found.append(episode)
            progress(number)

    if processes == 1:
        collect(map(task.solved, seeds))
    else:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            collect(pool.map(task.solved, seeds))  # type: ignore[arg-type] (an iterator as well)
    if not found:
        raise DataError(f"the expert solved none of {len(seeds)} episodes")
    looks = [one.pictures for one in found if one.pictures is not None]
    return Episodes(
        np.concatenate([one.observations for one in found]),
        np.concatenate([one.actions for one in found]),
        np.cumsum([len(one.actions) for one in found]),
        pictures=np.concatenate(looks) if looks else None,
        position=world.position,
        environment=world.name,
        sources=(world.source,),
    )
