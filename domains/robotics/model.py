"""The verbs of robotics."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from domains.robotics.adapter import RobotAdapter
from domains.robotics.environments import Demonstrable, Environment, check_seeds, environment
from domains.robotics.evaluation.rollout import Query, Timing, roll_out
from domains.robotics.evaluation.scores import Scores
from domains.robotics.recipes import RobotRecipe
from zoo.engine import Members
from zoo.engine.noise import NoiseSource
from zoo.errors import OptionError
from zoo.model import Model, whole

FIRST_SEED = 100_000  # of evaluations: demonstrations begin at 0


class RobotModel(Model):
    """Predicts chunks of actions."""

    recipe: RobotRecipe
    adapter: RobotAdapter

    def predict_chunk(
        self,
        observations: Any,
        n: int | None = None,
        *,
        pictures: Any = None,
        given: Any = None,
        previous: Any = None,
        strength: float = 0.5,
        steps: int | None = None,
        sampler: str | None = None,
        seed: int = 0,
        members: NoiseSource | None = None,
        quiet: bool = False,
        device: str | None = None,
    ) -> np.ndarray:
        """What to do next, in one situation or in many; a function of its arguments alone.

        Args:
            observations: (n_obs_steps, observed), or (B, n_obs_steps, observed) for many situations; the last
                is now. At the beginning of an episode, repeat the first one.
            n: for a single situation: how many chunks, each another choice.
            pictures: (n_obs_steps, H, W, channels), or (B, ...), uint8, for a model that has a camera.
            given: the first actions of the chunk, (k, acted) or (B, k, acted), which come back as they are:
                those that will have been done before this chunk can be (Black et al. 2025, "Real-time
                execution of action chunking flow policies").
            previous: a chunk to begin with in place of noise, as far as `strength` leaves it: the rest of the
                last one (warm start); (horizon, acted) or (B, horizon, acted).
            strength: with `previous`, the share of noise in the mixture, in (0, 1].
            steps, sampler, seed, device: as in `sample`.
            members: noise of the caller's own, in place of the seed's.
            quiet: do not tell that observations leave the range of training, as the caller does.

        Returns:
            (horizon, acted), float32, in the units of the demonstrations; (n, ...) or (B, ...) for many. The
            first action is that of the last observation.

        Raises:
            OptionError: if shapes do not fit, or values are not finite.
        """
        recipe = self.recipe
        shape = (recipe.horizon, recipe.acted)
        seen = _tensor(observations, "observations", (recipe.n_obs_steps, recipe.observed))
        single = seen.ndim == 2
        if n is not None and (whole("n", n) < 1 or not single):
            raise OptionError("n asks for that many chunks in one situation: give observations of one")
        rows = (n or 1) if single else len(seen)
        seen = seen.expand(rows, *seen.shape[-2:])
        if not quiet:
            self.adapter.warn(self.adapter.outside_range(seen))
        now = seen[:, -1]
        cond = {"observations": self.adapter.encode(seen)} | self._looked(pictures, rows)
        mask = known = start = None
        if not isinstance(strength, (int, float)) or not 0 < strength <= 1:
            raise OptionError(f"strength must lie in (0, 1], not {strength}")
        if given is not None:
            done = _rows(_tensor(given, "given", (None, recipe.acted)), "given", rows)
            if done.shape[1] >= recipe.horizon:
                raise OptionError(
                    f"{done.shape[1]} given actions leave nothing of a chunk of {recipe.horizon}"
                )
            mask = (torch.arange(recipe.horizon) >= done.shape[1])[None, :, None].expand(1, *shape)
            known = torch.zeros(rows, *shape)
            known[:, : done.shape[1]] = self.adapter.encode_actions(done, now)
        if previous is not None and strength < 1:
            before = _rows(_tensor(previous, "previous", shape), "previous", rows)
            start = self.adapter.encode_actions(before, now)
        with torch.inference_mode():  # a tenth faster than without gradients alone
            drawn = self.draw(
                Members(seed, range(rows)) if members is None else members,
                shape,
                cond=cond,
                mask=mask,
                known=known,
                start=start,
                strength=strength if start is not None else 1.0,
                steps=steps,
                sampler=sampler,
                device=device,
            )
        chunks = (self.adapter.decode(drawn.x.cpu()) + self.adapter.origin(now)).numpy()
        return chunks[0] if single and n is None else chunks

    def sample(
        self,
        n: int = 1,
        *,
        observations: Any = None,
        pictures: Any = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> np.ndarray:
        """n chunks of actions in one situation, (n, horizon, acted): see `predict_chunk`.

        Args:
            observations: None for the first ones of the environment's episode `seed`; where no environment is
                known, for the mean of the demonstrations.
            n, pictures, steps, sampler, seed, device: as in `predict_chunk`; guidance: there is none here.
        """
        if guidance is not None:
            raise OptionError("a policy takes no guidance")
        if observations is None:
            check_seeds([seed])
            known = bool(self.recipe.environment)
            world = self.environment()() if known else None
            first = self.adapter.observation.mean if world is None else world.reset(seed)
            observations = np.stack([np.asarray(first)] * self.recipe.n_obs_steps)
            if world is not None and pictures is None and self.recipe.picture[2]:
                pictures = np.stack([np.asarray(world.picture())] * self.recipe.n_obs_steps)
        return self.predict_chunk(
            observations, n, pictures=pictures, steps=steps, sampler=sampler, seed=seed, device=device
        )

    def evaluate(
        self,
        data: Any = None,
        *,
        seed: int = FIRST_SEED,
        episodes: int = 100,
        within: Callable[[], Environment] | None = None,
        n_action_steps: int | None = None,
        steps: int | None = None,
        latency: int = 0,
        overlap: bool = True,
        warm: float | None = None,
        filmed: Sequence[int] = (),
        processes: int = 1,
        progress: Callable[[int], None] = lambda finished: None,
    ) -> Scores:
        """Tries the policy out in an environment, or compares its actions with demonstrations.

        Args:
            data: demonstrations to compare with; None to try it out.
            seed: of the first episode; the others follow. With data, of the noise.
            episodes: how many.
            within: makes the environment; None for the recipe's own. Importable, if there are more processes.
            n_action_steps: steps of a chunk that are done; None for the model's own.
            steps: of the sampler; None for the model's own.
            latency: steps of the environment that a chunk takes to come; meanwhile the last one goes on.
            overlap: tell the policy what is done meanwhile, as the beginning of the new chunk.
            warm: begin a chunk with the rest of the last one, as far as this share of noise leaves it.
            filmed: seeds of the episodes whose images are kept, in `Scores.films`.
            processes: that step the environments.
            progress: called with the number of finished episodes.

        Returns:
            What the environment measures, success among it; a mapping from names to means with intervals. Of
            demonstrations: see `evaluation.offline`.

        Raises:
            DataError: if the data cannot be used.
            OptionError: if two episodes begin alike, or data are given and what is of trials alone.
        """
        if data is not None:
            from domains.robotics.evaluation.offline import compared

            tried = (within, n_action_steps, warm, latency or None, *filmed)
            if any(one is not None for one in tried):
                raise OptionError(
                    "with data, actions are compared with what was shown: within, n_action_steps, latency, "
                    "warm and films are of trials, without data"
                )
            return compared(self, data, seed=seed, steps=steps)
        timing = Timing(
            n_obs_steps=self.recipe.n_obs_steps,
            n_action_steps=self.recipe.n_action_steps if n_action_steps is None else n_action_steps,
            latency=latency,
            overlap=overlap,
        )
        outside: set[int] = set()

        def predict(query: Query) -> np.ndarray:
            chunks = self.predict_chunk(
                query.observations,
                pictures=query.pictures,
                given=query.given,
                previous=None if warm is None else query.previous,
                strength=1.0 if warm is None else warm,
                steps=steps,
                # of an episode's chunk, a function of the episode's seed and the number of the chunk alone
                members=Members(query.number, query.seeds),
                quiet=True,
            )
            outside.update(self.adapter.outside_range(torch.from_numpy(query.observations)))
            return chunks

        scores = roll_out(
            predict,
            self.environment() if within is None else within,
            range(seed, seed + whole("episodes", episodes)),
            timing,
            filmed=filmed,
            processes=processes,
            progress=progress,
        )
        self.adapter.warn(sorted(outside))
        return scores

    def latency(self, chunks: int = 100, steps: int | None = None) -> tuple[float, float]:
        """Milliseconds that a chunk takes on one thread: the median, and the 95th percentile."""
        observations = np.tile(self.adapter.observation.mean, (self.recipe.n_obs_steps, 1))
        pictures = None
        if self.recipe.picture[2]:
            pictures = np.zeros((self.recipe.n_obs_steps, *self.recipe.picture), np.uint8)
        threads, spent = torch.get_num_threads(), []
        torch.set_num_threads(1)
        try:
            for seed in range(chunks + 5):
                start = time.perf_counter()
                self.predict_chunk(observations, pictures=pictures, seed=seed, steps=steps)
                spent.append(1e3 * (time.perf_counter() - start))
        finally:
            torch.set_num_threads(threads)
        median, late = np.quantile(spent[5:], (0.5, 0.95))  # the first ones warm up
        return float(median), float(late)

    def environment(self) -> Callable[[], Demonstrable]:
        """What makes the environment that this model was trained for.

        Raises:
            OptionError: if it is known to nobody here.
        """
        if not self.recipe.environment:
            raise OptionError(
                "this model knows no environment: give one of your own (within=...), or demonstrations to "
                "compare with (data=..., --data)"
            )
        return environment(self.recipe.environment)

    def _looked(self, pictures: Any, rows: int) -> dict[str, Tensor]:
        height, width, channels = self.recipe.picture
        if not channels:
            if pictures is not None:
                raise OptionError("this model has no camera: leave pictures out")
            return {}
        array = np.array(pictures)  # a copy: theirs may be read-only or run backwards
        wanted = (self.recipe.n_obs_steps, height, width, channels)
        if array.shape not in (wanted, (rows, *wanted)) or array.dtype != np.uint8:
            raise OptionError(
                f"pictures are {array.shape} of {array.dtype}; {wanted} or (B, ...) of uint8 is wanted"
            )
        tensor = torch.from_numpy(array).movedim(-1, -3)
        return {"pictures": tensor.expand(rows, *tensor.shape[-4:])}


def array_of(values: Any, name: str, shape: Sequence[int | None]) -> np.ndarray:
    """A copy of values as finite float32 of that shape; None stands for any size.

    Raises:
        OptionError: if they are no such thing.
    """
    try:
        array = np.array(values, np.float32)
    except (ValueError, TypeError):
        raise OptionError(f"{name}: no array of numbers") from None
    if array.ndim != len(shape) or any(w not in (None, h) for w, h in zip(shape, array.shape, strict=True)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise OptionError(f"{name} of shape {array.shape}; ({wanted}) is wanted")
    if not np.isfinite(array).all():
        raise OptionError(f"{name}: not all finite")
    return array


def _tensor(values: Any, name: str, shape: Sequence[int | None]) -> Tensor:
    """float32 of that shape, or with rows before it."""
    many = np.ndim(values) > len(shape)
    return torch.from_numpy(array_of(values, name, (None, *shape) if many else shape))


def _rows(values: Tensor, name: str, rows: int) -> Tensor:
    """One for all rows, or one for each: (rows, ...)."""
    if values.ndim == 3 and len(values) not in (1, rows):
        raise OptionError(f"{name} are for {len(values)} situations, but there are {rows}")
    return values.expand(rows, *values.shape[-2:])
