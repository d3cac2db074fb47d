"""Trying a policy out: many episodes side by side, from listed starts.

The environments may live in processes of their own; the policy is asked for the chunks of all at once.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.robotics.environments import Environment, check_seeds
from domains.robotics.evaluation.scores import Scores
from zoo.errors import OptionError, ZooError
from zoo.model import whole

if TYPE_CHECKING:
    import pandas as pd

TOGETHER = 128  # episodes that are played at the same time: a simulator may take 20 MB


class TrialError(ZooError, RuntimeError):
    """An environment failed."""


@dataclass(frozen=True)
class Query:
    """What a policy is asked in B episodes at once.

    Attributes:
        observations: (B, n_obs_steps, observed), the last is now.
        pictures: (B, n_obs_steps, H, W, channels), uint8; None without a camera.
        given: (B, k, acted): what will have been done before the chunk comes; None if nothing is told.
        previous: (B, horizon, acted): the last chunk, moved on to now, its end repeated; None at first.
        seeds: of the episodes.
        number: how many chunks there were before.
    """

    observations: np.ndarray
    pictures: np.ndarray | None
    given: np.ndarray | None
    previous: np.ndarray | None
    seeds: Sequence[int]
    number: int


Predict = Callable[[Query], np.ndarray]
"""Chunks (B, horizon, acted), the first action of each that of now."""


class Worlds:
    """Environments, an episode each, that are stepped together.

    Args:
        make: makes an environment.
        seeds: of the starts, one an episode.
        n_obs_steps: observations that are kept.
        filmed: seeds of the episodes whose images are kept.
    """

    def __init__(
        self,
        make: Callable[[], Environment],
        seeds: Sequence[int],
        n_obs_steps: int,
        filmed: Sequence[int],
    ) -> None:
        self.worlds, self.seeds, self.n = [make() for _ in seeds], list(seeds), n_obs_steps
        first = [world.reset(seed) for world, seed in zip(self.worlds, self.seeds, strict=True)]
        self.seen = [[np.array(one)] * self.n for one in first]
        self.looked = [[world.picture()] * self.n for world in self.worlds]
        self.running, self.steps = np.ones(len(seeds), bool), np.zeros(len(seeds), int)
        self.films = {
            seed: [world.image()]
            for seed, world in zip(self.seeds, self.worlds, strict=True)
            if seed in set(filmed)
        }

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Does actions (episodes, steps, acted) where episodes still run.

        Returns:
            The last observations (episodes, n_obs_steps, observed), pictures, and which episodes still run.
        """
        for step in range(actions.shape[1]):
            for i in np.flatnonzero(self.running).tolist():
                world = self.worlds[i]
                seen, done = world.step(actions[i, step])
                self.seen[i] = [*self.seen[i][1:], np.array(seen)]
                self.looked[i] = [*self.looked[i][1:], world.picture()]
                self.steps[i] += 1
                self.running[i] = not done and self.steps[i] < world.longest
                if self.seeds[i] in self.films:
                    self.films[self.seeds[i]].append(world.image())
        pictures = None if self.looked[0][0] is None else np.array(self.looked)
        return np.array(self.seen), pictures, self.running.copy()

    def outcome(self) -> tuple["pd.DataFrame", dict[int, list[np.ndarray]]]:
        """A row an episode: seed, measures, steps; and the films by seed."""
        import pandas as pd

        rows = []
        for seed, world, steps in zip(self.seeds, self.worlds, self.steps.tolist(), strict=True):
            measures = world.measures()
            if taken := {"seed", "steps"} & measures.keys():
                raise TrialError(f"a measure may not be called {taken.pop()!r}: a column is called so")
            rows.append({"seed": seed, **measures, "steps": steps})
        return pd.DataFrame(rows), self.films


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When a policy is asked, and when it answers.

    Attributes:
        n_obs_steps: observed steps.
        n_action_steps: steps of a chunk that are done.
        latency: steps between the question and the answer; meanwhile the last chunk goes on.
        overlap: tell the policy what is done meanwhile, as the beginning of the new chunk.
    """

    n_obs_steps: int
    n_action_steps: int
    latency: int = 0
    overlap: bool = True

    def __post_init__(self) -> None:
        whole("n_action_steps", self.n_action_steps)
        if whole("latency", self.latency, 0) > self.n_action_steps:
            raise OptionError(
                f"latency must lie in 0 to n_action_steps, {self.n_action_steps}: {self.latency}"
            )


def roll_out(
    predict: Predict,
    make: Callable[[], Environment],
    seeds: Sequence[int],
    timing: Timing,
    *,
    filmed: Sequence[int] = (),
    processes: int = 1,
    progress: Callable[[int], None] = lambda finished: None,
) -> Scores:
    """Plays an episode from each of the seeds.

    Args:
        predict: the policy.
        make: makes an environment; importable, if there is more than one process.
        seeds: of the starts, 0 or more.
        timing: when the policy is asked.
        filmed: seeds of the episodes to film.
        processes: that step the environments.
        progress: called with the number of finished episodes.

    Returns:
        What the environments measure, with the films.

    Raises:
        OptionError: if two episodes begin alike, or a chunk is too short.
        TrialError: if an environment fails.
    """
    check_seeds(seeds)
    if missing := set(filmed) - set(seeds):
        raise OptionError(f"no episode has the seed {min(missing)}, which is to be filmed")
    tables, films, starts = [], {}, set()
    for first in range(0, len(seeds), TOGETHER):
        part = [int(seed) for seed in seeds[first : first + TOGETHER]]
        wanted = [seed for seed in filmed if seed in part]
        with _groups(make, part, timing.n_obs_steps, wanted, processes) as groups:
            for start in groups.start():
                if start in starts:
                    raise OptionError(
                        "two of the episodes begin alike: the seeds, or the environment's starts, repeat"
                    )
                starts.add(start)
            _play(predict, groups, part, timing, lambda done, first=first: progress(first + done))
            for table, own in groups.outcome():
                tables.append(table)
                films |= own
    import pandas as pd

    table = pd.concat(tables, ignore_index=True)
    names = tuple(name for name in table.columns if name not in ("seed", "steps"))
    return Scores(table, names, films)


def _play(
    predict: Predict,
    groups: "_Groups",
    seeds: Sequence[int],
    timing: Timing,
    progress: Callable[[int], None],
) -> None:
    """Plays the episodes to their ends.

    A chunk that is asked for at step s comes at s + latency; until then the last one goes on, and the next is
    asked for at s + n_action_steps. The first is waited for, and so begins at s.
    """
    late, number = timing.latency, 0
    given = previous = None
    seen, looked, running = groups.advance(np.zeros((len(seeds), 0, 0)))
    while running.any():
        rows = np.flatnonzero(running).tolist()
        query = Query(
            seen[rows],
            None if looked is None else looked[rows],
            None if given is None or not timing.overlap else given[rows],
            None if previous is None else previous[rows],
            [seeds[i] for i in rows],
            number,
        )
        fresh = predict(query)
        begin = 0 if given is None else late
        until = begin + timing.n_action_steps - late
        if until + late > fresh.shape[1]:
            raise OptionError(
                f"{timing.n_action_steps} steps and {late} of latency: more than a chunk's {fresh.shape[1]}"
            )
        chunks = np.zeros((len(seeds), *fresh.shape[1:]), fresh.dtype)
        chunks[rows] = fresh
        now = chunks[:, begin:until]
        seen, looked, running = groups.advance(now if given is None else np.concatenate([given, now], 1))
        given = chunks[:, until : until + late] if late else None
        previous = np.concatenate([chunks[:, until:], chunks[:, -1:].repeat(until, 1)], 1)
        number += 1
        progress(int((~running).sum()))


class _Groups:
    """Worlds in this process, or shared among others at the ends of pipes."""

    def __init__(self, worlds: "Sequence[_Local | _Remote]", sizes: Sequence[int]) -> None:
        self.worlds, self.cuts, self.count = worlds, np.cumsum(sizes)[:-1], sum(sizes)

    def start(self) -> list[bytes]:
        """The first observations, and pictures if there are any."""
        seen, looked, _ = self.advance(np.zeros((self.count, 0, 0)))
        return [
            one.tobytes() + (b"" if looked is None else looked[i].tobytes()) for i, one in enumerate(seen)
        ]

    def advance(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """As `Worlds.advance`."""
        for world, own in zip(self.worlds, np.split(actions, self.cuts), strict=True):
            world.send(own)
        seen, looked, running = zip(*(world.receive() for world in self.worlds), strict=True)
        pictures = None if looked[0] is None else np.concatenate(looked)
        return np.concatenate(seen), pictures, np.concatenate(running)

    def outcome(self) -> list[Any]:
        """As `Worlds.outcome`, of each part."""
        for world in self.worlds:
            world.send(None)
        return [world.receive() for world in self.worlds]


class _Local:
    """Worlds in this process. The arguments are those of `Worlds`."""

    def __init__(self, *arguments: Any) -> None:
        with _told():
            self.worlds = Worlds(*arguments)

    def send(self, actions: np.ndarray | None) -> None:
        with _told():
            self.result = self.worlds.outcome() if actions is None else self.worlds.advance(actions)

    def receive(self) -> Any:
        return self.result


class _Remote:
    """Worlds in another process, at the other end of a pipe."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def send(self, actions: np.ndarray | None) -> None:
        try:
            self.pipe.send(actions)
        except OSError:
            raise TrialError("a process with environments died") from None

    def receive(self) -> Any:
        try:
            found = self.pipe.recv()
        except EOFError:
            raise TrialError("a process with environments died") from None
        if isinstance(found, Exception):
            raise found
        return found


@contextmanager
def _groups(
    make: Callable[[], Environment],
    seeds: Sequence[int],
    n_obs_steps: int,
    filmed: Sequence[int],
    processes: int,
) -> Iterator[_Groups]:
    """Worlds for these episodes, shared among processes."""
    count = max(1, min(processes, len(seeds)))
    parts = [part.tolist() for part in np.array_split(np.array(seeds), count)]
    with ExitStack() as stack:
        if count == 1:
            worlds: list[_Local | _Remote] = [_Local(make, parts[0], n_obs_steps, filmed)]
        else:
            worlds = [stack.enter_context(_remote(make, part, n_obs_steps, filmed)) for part in parts]
        yield _Groups(worlds, [len(part) for part in parts])


@contextmanager
def _remote(*arguments: Any) -> Iterator[_Remote]:
    # not forked: the threads of torch do not survive that
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, *arguments), daemon=True)
    try:
        process.start()
    except (AttributeError, TypeError, PicklingError) as error:
        raise OptionError(
            f"the environment must be made by something importable, for other processes: {error}"
        ) from None
    there.close()
    try:
        yield _Remote(here)
    finally:
        here.close()
        process.terminate()
        process.join()


def _serve(pipe: Connection, *arguments: Any) -> None:
    try:
        worlds = _Local(*arguments)
        while True:
            worlds.send(pipe.recv())
            pipe.send(worlds.receive())
    except EOFError:  # nobody listens any more
        return
    except ZooError as error:  # the other process tells
        pipe.send(error)


@contextmanager
def _told() -> Iterator[None]:
    """An environment may fail in any way."""
    try:
        yield
    except ZooError:
        raise
    except Exception as error:
        raise TrialError(f"an environment failed: {type(error).__name__}: {error}") from error
