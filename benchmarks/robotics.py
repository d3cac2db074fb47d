"""What the policies are worth: in trials, beside simple ones, in one step, late, and on another task.

    pip install -e ".[robotics]"; export ZOO_DATA=/folder/that/holds/robotics (for `human` alone)
    python -m benchmarks.robotics simple     # behaviour cloning, nearest demonstration and expert beside it
    python -m benchmarks.robotics onestep    # the one-step model: score and milliseconds
    python -m benchmarks.robotics latency    # chunks that come late, with and without overlap
    python -m benchmarks.robotics changed    # twenty episodes with another goal: fine-tuned, from scratch
    python -m benchmarks.robotics human      # human demonstrations: the last ten checkpoints, three seeds

The models that ship were made by

    zoo train robotics --set demonstrations=3000 --set training.steps=STEPS --out runs/long
    zoo finetune ./runs/long --method onestep --steps 5000 --out runs/one
    python -m benchmarks.robotics --ship ./runs/long FOLDER   # in half precision, its figures in the card

Trials begin at seed 100000, demonstrations at 0. All means stand with their 95 % intervals.
"""

import argparse
import os
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean

import numpy as np
import torch

import zoo
from domains.robotics import Episodes, domain, shown
from domains.robotics.environments import environment
from domains.robotics.environments.demonstrations import demonstrations
from domains.robotics.environments.pusht import PushT, observed
from domains.robotics.evaluation.offline import nearest
from domains.robotics.evaluation.rollout import Timing, roll_out
from domains.robotics.evaluation.scores import Estimate, Scores
from domains.robotics.model import RobotModel
from domains.robotics.recipes import FLOW
from zoo import checkpoint
from zoo.engine.objective import Objective, Uniform
from zoo.fit import fit
from zoo.loading import build
from zoo.manifest import Metric, Provenance, Source
from zoo.model import pick_device

NAME = "robotics-flow"
FIRST, FEW_FIRST = 100_000, 50_000
ELSEWHERE = partial(PushT, goal=(200.0, 310.0, 2.4))
CLONING = replace(
    FLOW,
    # at the end of the path, where nothing is left of the actions, the best estimate is their mean
    scaling="x0",
    objective=Objective(Uniform(shift=1e6)),
    sampling=replace(FLOW.sampling, sampler="euler", steps=1),
)


def row(*cells: object) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    row(*cells)
    print("|" + "---|" * len(cells))


def cells(scores: Scores) -> list[object]:
    return [scores["success"], scores["score"], scores["final_coverage"]]


def timed(recipe, data: Episodes | None) -> tuple[zoo.Model, float]:
    start = time.perf_counter()
    model = zoo.train("robotics", data, recipe=recipe, device="auto", show=False)
    return model, time.perf_counter() - start


def floor(model: RobotModel, episodes: int, processes: int) -> Scores:
    """Of what the expert did where things looked most alike, in all demonstrations of a model."""
    made = shown(model.recipe.environment, model.recipe.demonstrations, model.recipe.noise)
    by = nearest(domain.dataset(made, "train", model.recipe, model.adapter))
    return roll_out(
        lambda query: by(query.observations),
        model.environment(),
        range(FIRST, FIRST + episodes),
        Timing(n_obs_steps=model.recipe.n_obs_steps, n_action_steps=model.recipe.n_action_steps),
        processes=processes,
    )


def simple(episodes: int, processes: int) -> None:
    """The shipped model and simple ones, all of the same demonstrations."""
    head("", "success", "score", "final coverage", "seconds of training")
    model = zoo.load(NAME)
    tried = partial(model.evaluate, episodes=episodes, processes=processes)
    row(f"{NAME}, shipped", *cells(tried()), "")
    for actions in (4, 16):
        row(f"{NAME}, {actions} actions of a chunk", *cells(tried(n_action_steps=actions)), "")
    for steps in (1, 2, 10):
        row(f"{NAME}, {steps} steps of the sampler", *cells(tried(steps=steps)), "")
    for name, recipe in (("behaviour cloning, the same network", CLONING), ("flow, ten minutes", FLOW)):
        made, seconds = timed(recipe, None)
        row(name, *cells(made.evaluate(episodes=episodes, processes=processes)), f"{seconds:.0f}")
    row("nearest demonstration", *cells(floor(model, episodes, processes)), "")
    solved = demonstrations(range(FIRST, FIRST + episodes), environment("pusht"), processes=processes)
    row("the expert", Estimate.of(np.arange(episodes) < len(solved), share=True), "", "", "")


def onestep(episodes: int, processes: int) -> None:
    """Many steps and one."""
    head("", "success", "score", "final coverage", "ms a chunk, median", "95 %")
    for name in (NAME, f"{NAME}.onestep"):
        model = zoo.load(name, device="cpu")
        scores = model.evaluate(episodes=episodes, processes=processes)
        row(name, *cells(scores), *(f"{ms:.2f}" for ms in model.latency(500)))


def latency(episodes: int, processes: int) -> None:
    """A step is a tenth of a second."""
    model = zoo.load(NAME)
    head("steps of latency", "a chunk begins with", "success", "score", "final coverage")
    ways = {
        "noise": {"overlap": False},
        "what is done meanwhile": {"overlap": True},
        "the last chunk": {"overlap": False, "warm": 0.7},
    }
    for late in (0, 1, 2, 4):
        for name, how in ways.items():
            if late or not how["overlap"]:
                scores = model.evaluate(episodes=episodes, processes=processes, latency=late, **how)
                row(late, name, *cells(scores))


def changed(episodes: int, processes: int) -> None:
    """Twenty demonstrations with the mark elsewhere."""
    few = demonstrations(range(FEW_FIRST, FEW_FIRST + 20), ELSEWHERE, processes=processes)
    model = zoo.load(NAME)
    head("", "success", "score", "final coverage", "seconds of training")

    def tried(name: str, policy: zoo.Model, seconds: str = "") -> None:
        scores = policy.evaluate(episodes=episodes, within=ELSEWHERE, processes=processes)
        row(name, *cells(scores), seconds)

    tried("not tuned", model)
    start = time.perf_counter()
    tuned = zoo.finetune(model, few, show=False)
    tried("fine-tuned", tuned, f"{time.perf_counter() - start:.0f}")
    for rate in (FLOW.finetuning.lr, FLOW.training.lr):
        recipe = replace(FLOW, training=replace(FLOW.finetuning, lr=rate))
        scratch, seconds = timed(recipe, few)
        tried(f"from scratch, rate {rate:g}", scratch, f"{seconds:.0f}")


def human_demonstrations() -> Episodes:
    """The 206 episodes of Diffusion Policy."""
    file = Path(os.environ["ZOO_DATA"]) / "robotics" / "pusht" / "pusht_cchi_v7_lowdim.npz"
    with np.load(file, allow_pickle=False) as found:
        return Episodes(
            observed(found["state"]), found["action"], found["episode_ends"], position=(0, 1),
            environment="pusht", sources=(Source("Push-T, human demonstrations (Chi et al. 2023)", "MIT"),),
        )  # fmt: skip


def by_hand(folder: str) -> None:
    """Trains a model on the human demonstrations, in ten minutes, and saves it."""
    zoo.train("robotics", human_demonstrations(), out=folder)


def human(episodes: int, processes: int) -> None:
    """Diffusion Policy's protocol: the mean score of the last ten checkpoints of a run, 50 episodes each."""
    made, spread = human_demonstrations(), []
    head("seed", "score, mean of the last ten", "highest", "success, mean of the last ten")
    for seed in range(3):
        training = replace(FLOW.training, validate_every=FLOW.training.steps // 50, seed=seed)
        recipe = domain.suited(FLOW, domain.dataset(made, "train", FLOW))
        adapter = domain.adapter(recipe, domain.dataset(made, "train", recipe))
        denoiser = build(domain, recipe, seed=seed).to(pick_device("auto"))
        train, held = (domain.dataset(made, split, recipe, adapter) for split in ("train", "validation"))
        found: list[Scores] = []

        def tried(
            step: int, averaged, recipe=recipe, adapter=adapter, training=training, found=found
        ) -> None:
            if step > 0.81 * training.steps:
                nowhere = Provenance("", "", "", step, training.steps, training.seed)
                model = RobotModel(domain, recipe, adapter, averaged, provenance=nowhere, name="", licence="")
                found.append(model.evaluate(episodes=50, processes=processes))

        fit(denoiser, train, held, training, show=False, watch=tried)
        scores = [float(one["score"]) for one in found]
        spread.append(mean(scores))
        row(
            seed,
            f"{mean(scores):.3f}",
            f"{max(scores):.3f}",
            f"{mean(float(o['success']) for o in found):.3f}",
        )
    row("mean", f"{mean(spread):.3f} ({min(spread):.3f} to {max(spread):.3f})", "", "")


def ship(reference: str, folder: str, episodes: int, processes: int) -> None:
    """Saves a model in half precision, its figures beside those of the nearest demonstration in its card."""
    given = zoo.load(reference, device="cpu")
    checkpoint.write(Path(folder), given.pack(ref=given.name, precision="float16"))
    model = zoo.load(folder, device="cpu")  # as it will be used
    own, simple = model.evaluate(episodes=episodes, processes=processes), floor(model, episodes, processes)
    floor_name = f"nearest of {model.recipe.demonstrations} demonstrations"
    given.metrics = tuple(
        Metric(f"{name}, {episodes} unseen starts", own[name], simple[name], floor_name, False)
        for name in ("success", "score", "final_coverage")
    )
    checkpoint.write(Path(folder), given.pack(ref=given.name, precision="float16"))


PARTS = {part.__name__: part for part in (simple, onestep, latency, changed, human)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--episodes", type=int, default=500)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--ship", nargs=2, metavar=("MODEL", "FOLDER"), help="save a model, and stop")
    parser.add_argument("--human", metavar="FOLDER", help="train on human demonstrations, and stop")
    chosen = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    if chosen.ship is not None:
        ship(*chosen.ship, chosen.episodes, chosen.processes)
    elif chosen.human is not None:
        by_hand(chosen.human)
    else:
        for what in PARTS if chosen.what == "all" else [chosen.what]:
            print(f"\n{what}, {chosen.episodes} episodes\n")
            PARTS[what](chosen.episodes, chosen.processes)
