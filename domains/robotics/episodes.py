"""Demonstrations in memory: what a robot saw and did, step by step, episode after episode."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from zoo.errors import DataError
from zoo.manifest import Source


@dataclass(frozen=True, eq=False)
class Episodes:
    """Episodes one after another.

    Attributes:
        observations: (steps, observed), float32: what is known before each action; may have no columns.
        actions: (steps, acted), float32.
        ends: (episodes,), int64: the index after the last step of each; the last is the number of steps.
        pictures: (steps, H, W, channels), uint8: what a camera sees before each action; None without one.
        position: columns of `observations` that hold where the actor is, in the units of its actions: what
            relative actions are relative to; empty if there is no such thing.
        environment: the name of the one that they were made in; "" if it is none of ours.
        sources: where they come from, for the model card.

    Raises:
        DataError: if lengths do not agree or values are not finite.
    """

    observations: np.ndarray
    actions: np.ndarray
    ends: np.ndarray
    pictures: np.ndarray | None = None
    position: tuple[int, ...] = ()
    environment: str = ""
    sources: tuple[Source, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in (("observations", np.float32), ("actions", np.float32), ("ends", np.int64)):
            try:
                value = np.asarray(getattr(self, name))
                whole = value.ndim == 1 and value.dtype.kind in "iu"
                object.__setattr__(self, name, np.ascontiguousarray(value, kind))
            except (ValueError, TypeError):
                raise DataError(f"{name} are no array of numbers") from None
            if name == "ends" and not whole:
                raise DataError("episode ends are not whole numbers, one for each episode")
        object.__setattr__(self, "position", tuple(int(column) for column in self.position))
        if self.pictures is not None:
            object.__setattr__(self, "pictures", np.asarray(self.pictures))
        seen, done, ends, pictures = self.observations, self.actions, self.ends, self.pictures
        if seen.ndim != 2 or done.ndim != 2 or len(seen) != len(done):
            raise DataError(
                f"observations {seen.shape} and actions {done.shape} are not (steps, values) of as many steps"
            )
        if not len(ends) or (np.diff(ends, prepend=0) < 1).any() or ends[-1] != len(seen):
            raise DataError(f"episode ends must rise from 1 or more to the number of steps, {len(seen)}")
        for name, values in (("observations", seen), ("actions", done)):
            if len(bad := np.flatnonzero(~np.isfinite(values).all(1))):
                raise DataError(f"{name} of step {bad[0]} are not finite")
        if pictures is not None and (
            pictures.ndim != 4 or len(pictures) != len(seen) or pictures.dtype != np.uint8
        ):
            raise DataError(
                f"pictures {pictures.shape} of {pictures.dtype} are not (steps, H, W, channels) of uint8"
            )
        if self.position and len(self.position) != done.shape[1]:
            raise DataError(
                f"{len(self.position)} columns of position for {done.shape[1]} values of an action"
            )
        if any(not 0 <= column < seen.shape[1] for column in self.position):
            raise DataError(f"columns of position {self.position}: there are {seen.shape[1]}, the first is 0")
        if len(set(self.position)) < len(self.position):
            raise DataError(f"columns of position {self.position}: one stands there twice")

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def starts(self) -> np.ndarray:
        """The index of the first step of each episode, (episodes,)."""
        return np.append(0, self.ends[:-1])

    def __iter__(self) -> Iterator[slice]:
        return (slice(int(a), int(b)) for a, b in zip(self.starts, self.ends, strict=True))

    def chosen(self, which: np.ndarray) -> "Episodes":
        """Some of the episodes, by index."""
        spans = zip(self.starts[which].tolist(), self.ends[which].tolist(), strict=True)
        steps = np.concatenate([np.arange(start, end) for start, end in spans])
        return replace(
            self,
            observations=self.observations[steps],
            actions=self.actions[steps],
            ends=(self.ends - self.starts)[which].cumsum(),
            pictures=None if self.pictures is None else self.pictures[steps],
        )

    def arrays(self) -> dict[str, np.ndarray]:
        """What an `.npz` file of them holds; `readers.read` takes it too."""
        found = {
            "observations": self.observations,
            "actions": self.actions,
            "episode_ends": self.ends,
            "position": np.array(self.position, np.int64),
            "environment": np.array(self.environment),
            "sources": np.array([(one.name, one.licence, one.url) for one in self.sources]).reshape(-1, 3),
        }
        return found if self.pictures is None else found | {"pictures": self.pictures}
