"""Robot actions: a diffusion policy, from demonstrations to chunks of actions.

episodes.py    demonstrations in memory; readers.py reads them
environments/  what a policy is tried out in: Push-T, and the expert that shows how
backbone.py    the networks
recipes.py     how the models are made
adapter.py     between what a robot sees and does and what the network sees
dataset.py     training batches
model.py       the verbs; policy.py acts step by step
evaluation/    trials, and comparisons with demonstrations
plots.py       films and pictures
"""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from domains.robotics.adapter import RobotAdapter, fitted, restored
from domains.robotics.backbone import SeenEncoder, network
from domains.robotics.environments import environment, is_ours
from domains.robotics.episodes import Episodes
from domains.robotics.evaluation.rollout import Timing, roll_out
from domains.robotics.evaluation.scores import Scores
from domains.robotics.model import FIRST_SEED, RobotModel
from domains.robotics.plots import check_film, choices, film
from domains.robotics.policy import Policy
from domains.robotics.recipes import RECIPES, RobotRecipe
from zoo.domain import DataRequest, Domain, EvaluateRequest, SampleRequest, Split, option
from zoo.engine import PATHS, NetworkDenoiser
from zoo.errors import DataError, OptionError
from zoo.model import whole
from zoo.progress import counted, say

if TYPE_CHECKING:
    import pandas as pd

    from domains.robotics.dataset import Chunks

__all__ = ["Episodes", "Policy", "RobotModel", "domain"]

ONE_IN = 20  # episodes are for validation
FILMED = 4  # episodes
UNSURE = 100_007  # a start of Push-T from which there are several ways
BASELINE = 20  # demonstrations that the nearest is sought among
FORMAT = 1  # changes whenever an expert does


@dataclass(frozen=True, kw_only=True)
class ChunkRequest(SampleRequest):
    """What `zoo sample` can ask of robotics."""

    data: Path | None = option(None, "Demonstrations; the first step of the first one is the situation.")
    out: Path | None = option(None, "Write the chunks of actions to this .npz file.")
    plot: Path | None = option(None, "Draw the chunks on a picture of Push-T (.png).")


@dataclass(frozen=True, kw_only=True)
class TrialRequest(EvaluateRequest):
    """What `zoo evaluate` can ask of robotics."""

    data: Path | None = option(None, "Compare actions with these demonstrations. [default: try it out]")
    seed: int = option(FIRST_SEED, "Of the first episode; the others follow.")
    episodes: int = option(100, "How many episodes.")
    n_action_steps: int | None = option(None, "Steps of a chunk that are done. [default: the model's own]")
    steps: int | None = option(None, "Steps of the sampler. [default: the model's own]")
    latency: int = option(0, "Steps of the environment that a chunk takes to come.")
    no_overlap: bool = option(False, "With a latency, do not tell the model what is done meanwhile.")
    warm: float | None = option(None, "Begin a chunk with the last one, mixed with this share of noise.")
    film: Path | None = option(None, "Film episodes (.gif).")
    filmed: str | None = option(None, "Their seeds, such as 100003,100017. [default: the first four]")


@dataclass(frozen=True, kw_only=True)
class EpisodesRequest(DataRequest):
    """What `zoo data` can ask of robotics: demonstrations of an environment's expert."""

    out: Path | None = option(None, "Write them to this .npz file. [default: demonstrations.npz]")
    seed: int = option(0, "Of the first episode; the others follow.")
    episodes: int = option(400, "How many episodes.")
    environment: str = option("pusht", "pusht, or metaworld/ and a task, such as metaworld/reach-v3.")
    noise: float = option(
        0.0, "How far actions miss what is wanted, so that recovery is shown: a share of their range."
    )


class Robotics(Domain):
    """The domain object; see `zoo.domain.Domain` for the contract."""

    name = "robotics"
    recipes = RECIPES
    recipe_class = RobotRecipe
    model_class = RobotModel
    sample_request = ChunkRequest
    evaluate_request = TrialRequest
    data_request = EpisodesRequest

    def suited(self, recipe: RobotRecipe, dataset: "Chunks") -> RobotRecipe:
        found = dataset.episodes
        known = found.environment if is_ours(found.environment) else ""
        if recipe.relative and not found.position and not known:
            warnings.warn(
                "actions are learnt as they are, not relative to where the actor is, which often decides: "
                "say which columns of an observation hold its place (position in the data or the recipe, or "
                "--set position=[0,1])",
                stacklevel=2,
            )
        if recipe.n_action_steps > recipe.horizon:
            raise OptionError(
                f"n_action_steps {recipe.n_action_steps} are more than a chunk of {recipe.horizon}"
            )
        picture = (0, 0, 0) if found.pictures is None else found.pictures.shape[1:]
        if not found.observations.shape[1] and found.pictures is None:
            raise DataError("nothing is observed: neither values nor pictures")
        return replace(
            recipe,
            environment=known,
            relative=recipe.relative and bool(found.position),
            observed=found.observations.shape[1],
            acted=found.actions.shape[1],
            picture=picture,
        )

    def denoiser(self, recipe: RobotRecipe) -> NetworkDenoiser:
        return NetworkDenoiser(
            network(recipe.network, recipe.horizon, recipe.acted),
            PATHS[recipe.path](),
            recipe.scaling,
            recipe.objective,
            encoder=SeenEncoder(
                recipe.network.condition, recipe.n_obs_steps, recipe.observed, recipe.picture[2]
            ),
        )

    def dataset(
        self, source: Any, split: Split, recipe: RobotRecipe, adapter: RobotAdapter | None = None
    ) -> "Chunks":
        from domains.robotics.dataset import Chunks
        from domains.robotics.readers import read

        if source is None and not recipe.environment:
            raise DataError("this model has no data of its own: give demonstrations")
        if source is None:
            source = shown(recipe.environment, recipe.demonstrations, recipe.noise)
        episodes = read(source, recipe.observe, recipe.position)
        if adapter is not None:
            check(episodes, recipe, adapter)
        if len(episodes) < 2:
            raise DataError("one episode alone: there must be another, to hold out")
        held = np.arange(len(episodes)) % ONE_IN == ONE_IN - 1
        held[-1] |= not held.any()
        episodes = episodes.chosen(np.flatnonzero(~held if split == "train" else held))
        if adapter is not None and split == "train":
            adapter.warn(adapter.outside_range(torch.from_numpy(episodes.observations)))
        return Chunks(episodes, recipe, adapter)

    def extend(self, model: RobotModel, source: Any) -> RobotModel:
        """What is tuned on demonstrations of an environment that nobody knows is not tried out in another."""
        found = self.dataset(source, "validation", model.recipe, model.adapter).episodes
        model.recipe = replace(model.recipe, environment=found.environment)
        return model

    def adapter(self, recipe: RobotRecipe, dataset: "Chunks") -> RobotAdapter:
        return fitted(dataset.episodes, recipe.horizon, recipe.relative, recipe.outside)

    def adapter_from(self, state: dict[str, Any]) -> RobotAdapter:
        return restored(state)

    def example(self) -> Episodes:
        """A point that walks to another: 40 episodes of 30 steps."""
        rng = np.random.default_rng(0)
        goals, places = rng.uniform(-1, 1, (2, 40, 1, 2))
        way = places + np.linspace(0, 1, 31)[None, :, None] * (goals - places)
        seen = np.concatenate([way[:, :-1], goals.repeat(30, 1)], -1).reshape(-1, 4)
        done = way[:, 1:].reshape(-1, 2)
        return Episodes(
            seen.astype(np.float32), done.astype(np.float32), 30 * np.arange(1, 41), position=(0, 1)
        )

    def sample(self, model: RobotModel, request: ChunkRequest) -> list[Path]:
        if request.out is not None and request.out.suffix != ".npz":
            raise OptionError(f"{request.out}: chunks are written as .npz")
        if request.plot is not None and (model.recipe.environment != "pusht" or request.data is not None):
            raise OptionError("chunks are drawn on the start of an episode of Push-T alone")
        seen = pictures = None
        if request.data is not None:
            first = self.dataset(request.data, "train", model.recipe, model.adapter).episodes
            seen = first.observations[:1].repeat(model.recipe.n_obs_steps, 0)
            if first.pictures is not None:
                pictures = first.pictures[:1].repeat(model.recipe.n_obs_steps, 0)
        drawn = model.sample(
            request.n,
            observations=seen,
            pictures=pictures,
            steps=request.steps,
            sampler=request.sampler,
            guidance=request.guidance,
            seed=request.seed,
        )
        files = []
        if request.out is not None:
            np.savez(request.out, actions=drawn)
            files.append(request.out)
        if request.plot is not None:
            world = model.environment()()
            world.reset(request.seed)
            files.append(choices(world.image(), drawn, request.plot))
        return files

    def evaluate(self, model: RobotModel, request: TrialRequest) -> "pd.DataFrame":
        import pandas as pd

        asked: dict[str, Any] = {"n_action_steps": request.n_action_steps, "latency": request.latency}
        how: dict[str, Any] = {
            "warm": request.warm,
            "steps": request.steps,
            "overlap": not request.no_overlap,
        }
        if request.data is not None:
            if request.film is not None or request.filmed is not None:
                raise OptionError("films are of trials, without --data")
            return model.evaluate(request.data, seed=request.seed, **asked, **how).to_frame()
        seeds = range(request.seed, request.seed + whole("episodes", request.episodes))
        filmed = _seeds(request.filmed) or list(seeds[:FILMED])
        if request.film is not None:
            check_film(request.film)
        elif request.filmed is not None:
            raise OptionError("say where the film is to be written: --film FILE.gif")
        with counted(len(seeds), "episodes") as progress:
            scores = model.evaluate(
                seed=request.seed,
                episodes=len(seeds),
                filmed=filmed if request.film is not None else (),
                processes=processes(),
                progress=progress,
                **asked,
                **how,
            )
        if request.film is not None:
            film([scores.films[seed] for seed in filmed], request.film)
        table = scores.to_frame()
        if not model.recipe.picture[2]:  # what is most alike is sought among values
            simple = self._nearest(model, seeds, **asked)
            table[f"nearest of {BASELINE} demonstrations"] = [str(one) for one in simple.values()]
        median, late = model.latency(steps=request.steps)
        times = [
            {"measure": f"ms a chunk, {what}", "value": ms}
            for what, ms in (("median", median), ("95 %", late))
        ]
        about = {"measure": f"episodes {seeds[0]} to {seeds[-1]}", "value": len(seeds)}
        return pd.concat([table, pd.DataFrame([*times, about])], ignore_index=True)

    def _nearest(
        self, model: RobotModel, seeds: Sequence[int], *, n_action_steps: int | None, latency: int
    ) -> Scores:
        """The same trials of a policy that does what the expert did where things looked most alike."""
        from domains.robotics.dataset import Chunks
        from domains.robotics.evaluation.offline import nearest

        made = shown(model.recipe.environment, BASELINE, model.recipe.noise)
        by = nearest(Chunks(made, model.recipe, model.adapter))
        timing = Timing(
            n_obs_steps=model.recipe.n_obs_steps,
            n_action_steps=model.recipe.n_action_steps if n_action_steps is None else n_action_steps,
            latency=latency,
        )
        with counted(len(seeds), "episodes of the baseline") as progress:
            return roll_out(
                lambda query: by(query.observations),
                model.environment(),
                seeds,
                timing,
                processes=processes(),
                progress=progress,
            )

    def data(self, request: EpisodesRequest) -> list[Path]:
        from domains.robotics.environments.demonstrations import demonstrations

        file = Path("demonstrations.npz") if request.out is None else request.out
        if file.suffix != ".npz":
            raise OptionError(f"{file}: demonstrations are written as .npz")
        seeds = range(request.seed, request.seed + whole("episodes", request.episodes))
        file.parent.mkdir(parents=True, exist_ok=True)
        # under another name first: nobody finds half a file
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            with counted(len(seeds), "episodes") as progress:
                made = demonstrations(
                    seeds,
                    environment(request.environment),
                    noise=request.noise,
                    processes=processes(),
                    progress=progress,
                )
            say(f"the expert solved {len(made)} of {len(seeds)} episodes, in {len(made.actions)} steps")
            new, arrays = Path(folder) / file.name, dict[str, Any](made.arrays())
            np.savez_compressed(new, **arrays)
            new.replace(file)
        return [file]

    def demo(self, model: RobotModel, folder: Path) -> list[Path]:
        """Four episodes, and on Push-T forty chunks from one observation."""
        scores = model.evaluate(
            seed=FIRST_SEED, episodes=FILMED, filmed=range(FIRST_SEED, FIRST_SEED + FILMED)
        )
        files = [film(list(scores.films.values()), folder / "robotics.gif")]
        if model.recipe.environment.startswith("pusht"):
            world = model.environment()()
            world.reset(UNSURE)
            chunks = model.sample(40, seed=UNSURE)
            files.append(choices(world.image(), chunks, folder / "robotics-choices.png"))
        return files


def processes() -> int:
    """How many work at episodes, where that is for a command to decide."""
    return os.cpu_count() or 1


@cache
def shown(name: str, episodes: int, noise: float) -> Episodes:
    """Demonstrations of an environment's expert from its first starts, made once and kept in a cache.

    They are made by a command of its own, which may use several processes whoever asks.

    Raises:
        DataError: if they cannot be made.
    """
    from domains.robotics.readers import read

    home = Path(os.environ.get("ZOO_CACHE") or Path("~", ".cache", "diffusion-zoo")).expanduser()
    file = home / "robotics" / f"{name.replace('/', '-')}-{episodes}-{noise!r}.{FORMAT}.npz"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        asked = ["data", "robotics", "--environment", name, "--episodes", str(episodes)]
        asked += ["--noise", str(noise), "--out", str(file)]
        made = subprocess.run([sys.executable, "-m", "zoo", *asked], stdout=subprocess.DEVNULL, check=False)
        if made.returncode or not file.is_file():
            raise DataError(f"the demonstrations of {name!r} could not be made: zoo {' '.join(asked)}")
    return read(file)


def _seeds(told: str | None) -> list[int]:
    """From numbers with commas between them.

    Raises:
        OptionError: if they are none.
    """
    try:
        return [int(part) for part in told.split(",")] if told is not None else []
    except ValueError:
        raise OptionError(f"--filmed {told}: give seeds with commas between them") from None


def check(episodes: Episodes, recipe: RobotRecipe, adapter: RobotAdapter) -> None:
    """That a model can work with demonstrations.

    Raises:
        DataError: if they are of another robot or task.
    """
    for name, there, own in (
        ("environment", episodes.environment, recipe.environment),
        ("position", episodes.position, adapter.position),
    ):
        if there and own and there != own:
            raise DataError(f"{name}: {there!r} in the data, but {own!r} in the model")
    shape = (0, 0, 0) if episodes.pictures is None else episodes.pictures.shape[1:]
    for name, own, wanted in (
        ("values of an observation", episodes.observations.shape[1], recipe.observed),
        ("values of an action", episodes.actions.shape[1], recipe.acted),
        ("the shape of a picture", shape, recipe.picture),
    ):
        if own != wanted:
            raise DataError(f"{name}: {own} in the data, but {wanted} in the model")


domain = Robotics()
