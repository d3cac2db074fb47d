"""Images: our U-Net and our engine beside diffusers, denoising-diffusion-pytorch and torchcfm.

    pip install -e ".[bench]"; export ZOO_DATA=/folder/that/holds/images
    python -m benchmarks.images_peers choose     # on validation images: SETTINGS below; an hour
    python -m benchmarks.images_peers compare    # trains, draws and scores every row; two hours on two cores
    python -m benchmarks.images_peers speed      # training: images a second, peak memory; minutes

Every library stands in two rows: as published (its network, objective, optimiser, average of the weights and
sampler) and its network alone, under our engine, as ours is. All networks have the same number of parameters
(within 5 %) and see the same number of images of Fashion-MNIST, without classes, in batches of the same size,
drawn with replacement. "Ours, equal time" trains for as long as the fastest row of a library took in the same
run. Two rows are worked on at once, each on one thread. What is done lies in the folder of results and is not
computed again, unless what was asked has changed; start with another folder on another machine.
"""

import argparse
import json
import math
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
import torch

from benchmarks.images import spread
from benchmarks.images_contestants import (
    BATCH,
    CONTESTANTS,
    Contestant,
    Published,
    built,
    parameters,
    pictures,
)
from domains.images.evaluation import classifier, metrics
from domains.images.gallery import Gallery
from domains.images.recipes import EDM
from zoo.run import DivergedError

STEPS = 320
RATED_STEPS, RATED_N = 200, 250  # of a run that a rate is chosen by; its images
SAMPLED_N = 150  # images that weights and samplers are chosen by, after STEPS
TIMED = 40  # steps of a timed training
N = 250  # images a score
EVALUATIONS = (10, 20, 50)
SEEDS, TURNS = (0, 1, 2), 3
DIGITS = {"Fréchet": 1, "KID": 3}  # the measures, and the decimals that are shown


@dataclass(frozen=True)
class Settings:
    """What was chosen on validation images for a row.

    Attributes:
        rate: the highest learning rate.
        averaged: whether the average of the weights draws, or the last ones.
        samplers: one for each of EVALUATIONS.
    """

    rate: float
    averaged: bool
    samplers: tuple[str, ...]


OURS = {name for name in CONTESTANTS if "our" in name}  # under our engine, with one average and one sampler
# to begin with: where the best is the lowest or highest, `choose` goes on
RATES = {name: (1.5e-3, 3e-3, 6e-3) if name in OURS else (5e-4, 1e-3, 2e-3, 4e-3) for name in CONTESTANTS}
# What `choose` found.
SETTINGS = {
    "diffusers": Settings(8e-3, True, ("dpm++2m",) * 3),
    "denoising-diffusion-pytorch": Settings(2e-3, True, ("ddim",) * 3),
    "torchcfm": Settings(4e-3, False, ("midpoint",) * 3),
    "diffusers' U-Net, our engine": Settings(6e-3, True, ("adams2",) * 3),
    "denoising-diffusion-pytorch's U-Net, our engine": Settings(3e-3, True, ("adams2",) * 3),
    "torchcfm's U-Net, our engine": Settings(3e-3, True, ("adams2",) * 3),
    "ours": Settings(3e-3, True, ("adams2",) * 3),
}
EQUAL_TIME = "ours, equal time"
OTHERS = tuple(name for name in CONTESTANTS if name != "ours")


def scored(pixels: np.ndarray, split: str) -> dict[str, float]:
    """Fréchet distance and KID to the real images of a split."""
    drawn, real = classifier.load("fashion-mnist").features(pixels), reference(split)
    return {"Fréchet": metrics.frechet(drawn, real), "KID": metrics.kid(drawn, real)}


@cache
def reference(split: str) -> np.ndarray:
    return classifier.load("fashion-mnist").features(pictures(split).pixels)


# The jobs, each in a process of its own. They return what is written as JSON.


def weights(contestant: Contestant) -> tuple[bool, ...]:
    """Whether the averaged or the last weights draw: a choice for libraries' own rows alone."""
    return (True, False) if isinstance(contestant, Published) else (True,)


def rating(out: Path, name: str, rate: float, steps: int, n: int) -> dict[str, Any]:
    """Validation scores of a learning rate at 20 evaluations; of a library's row, with all its samplers."""
    contestant = built(name, seed=100)
    try:
        contestant.train(steps, rate, seed=100)
    except DivergedError:
        return {"diverged": math.inf}
    return {
        f"{averaged}, {sampler}": scored(contestant.draw(n, 20, 100, sampler, averaged), "validation")[
            "Fréchet"
        ]
        for averaged in weights(contestant)
        for sampler in contestant.samplers
    }


def stepping(out: Path, name: str, rate: float, steps: int, n: int) -> dict[str, Any]:
    """Validation scores of averaged and of last weights, and with the better ones of every sampler."""
    contestant = built(name, seed=100)
    contestant.train(steps, rate, seed=100)

    @cache
    def score(sampler: str, evaluations: int, averaged: bool) -> float:
        return scored(contestant.draw(n, evaluations, 100, sampler, averaged), "validation")["Fréchet"]

    both = {
        averaged: min(score(sampler, 20, averaged) for sampler in contestant.samplers)
        for averaged in weights(contestant)
    }
    best = min(both, key=lambda averaged: both[averaged])
    each = {sampler: [score(sampler, e, best) for e in EVALUATIONS] for sampler in contestant.samplers}
    return {"weights": {str(averaged): value for averaged, value in both.items()}, "samplers": each}


def comparing(
    out: Path, name: str, seed: int, steps: int, rate: float, averaged: bool, samplers: list[str], n: int
) -> dict[str, Any]:
    """Test scores of one row and one seed; beside them a sheet of images."""
    contestant = built("ours" if name == EQUAL_TIME else name, seed)
    start = time.process_time()  # of the one thread: other work on the machine does not count
    contestant.train(steps, rate, seed)
    seconds, scores = time.process_time() - start, []
    for evaluations, sampler in zip(EVALUATIONS, samplers, strict=True):
        pixels = contestant.draw(n, evaluations, seed, sampler, averaged)
        scores.append(scored(pixels, "test"))
        Gallery(pixels[:32]).plot(out.with_suffix(f".{evaluations}.png"), columns=8)
    return {"seconds": seconds, "parameters": parameters(contestant), "scores": scores}


def timing(out: Path, name: str, turn: int, steps: int) -> dict[str, Any]:
    """Images a second of a training run, and how much memory it takes beyond what was there before it."""
    contestant = built(name, seed=turn)
    pictures("train"), pictures("validation")
    before = peak()
    contestant.train(3, 1e-4, seed=turn)
    start = time.perf_counter()
    contestant.train(steps, 1e-4, seed=turn)
    rate = steps * BATCH / (time.perf_counter() - start)
    return {"parameters": parameters(contestant), "rate": rate, "MiB": peak(), "own MiB": peak() - before}


def peak() -> float:
    """The most memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


JOBS: dict[str, Callable[..., dict[str, Any]]] = {
    "rate": rating,
    "samplers": stepping,
    "compare": comparing,
    "speed": timing,
}


def done(folder: Path, job: str, threads: int, key: str, **asked: Any) -> dict[str, Any]:
    """The result of a job, worked out in a process of its own unless it lies in the folder."""
    path = folder / re.sub(r"[^\w.]+", "-", f"{job} {key}.json")
    if path.is_file() and (found := json.loads(path.read_text()))["asked"] == asked:
        return found["result"]
    command = [sys.executable, "-m", "benchmarks.images_peers", "job", job, json.dumps(asked), str(path)]
    subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, check=True)
    print(path.name, "is done", file=sys.stderr, flush=True)
    return json.loads(path.read_text())["result"]


def work(job: str, asked: dict[str, Any], path: Path) -> None:
    """Does a job in this process."""
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    result = JOBS[job](path, **asked)
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"asked": asked, "result": result}))
    new.replace(path)


def at_once(tasks: list[Callable[[], Any]]) -> list[Any]:
    """The results of tasks that are worked on two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda task: task(), tasks))


def choose(folder: Path) -> None:
    """Prints SETTINGS: for every row the rate, weights and samplers that do best on validation images."""

    def rated(name: str, rate: float) -> float:
        asked = {"name": name, "rate": rate, "steps": RATED_STEPS, "n": RATED_N}
        return min(done(folder, "rate", 1, f"{name} {rate}", **asked).values())

    def stepped(name: str, rate: float) -> dict[str, Any]:
        asked = {"name": name, "rate": rate, "steps": STEPS, "n": SAMPLED_N}
        return done(folder, "samplers", 1, f"{name} {rate}", **asked)

    scores: dict[str, dict[float, float]] = {name: {} for name in CONTESTANTS}
    best: dict[str, float] = {}
    todo = [(name, rate) for name in CONTESTANTS for rate in RATES[name]]
    while todo:
        for (name, rate), score in zip(todo, at_once([partial(rated, *pair) for pair in todo]), strict=True):
            scores[name][rate] = score
        todo = []
        for name, own in scores.items():
            best[name] = min(own, key=lambda rate, own=own: own[rate])
            if best[name] in (min(own), max(own)):
                todo.append((name, best[name] * (2 if best[name] == max(own) else 0.5)))
    published = [name for name in CONTESTANTS if name not in OURS]
    found = dict(
        zip(published, at_once([partial(stepped, name, best[name]) for name in published]), strict=True)
    )
    for name, rate in best.items():
        print(f"# {name}: " + ", ".join(f"{rate}: {one:.1f}" for rate, one in sorted(scores[name].items())))
        averaged, samplers = True, (EDM.sampling.sampler,) * len(EVALUATIONS)
        if name in found:
            print(f"# {found[name]}")
            both, each = found[name]["weights"], found[name]["samplers"]
            averaged = both["True"] <= both["False"]
            samplers = tuple(min(each, key=lambda s, i=i: each[s][i]) for i in range(len(EVALUATIONS)))
        print(f"    {name!r}: {Settings(rate, averaged, samplers)},", flush=True)


def compare(folder: Path) -> None:
    """The table of every row at every number of evaluations: means of three seeds, lowest and highest."""
    if missing := [name for name in CONTESTANTS if name not in SETTINGS]:
        raise SystemExit(f"SETTINGS has nothing for {', '.join(missing)}: run `choose` first")

    def row(name: str, seed: int, steps: int) -> dict[str, Any]:
        settings = SETTINGS["ours" if name == EQUAL_TIME else name]
        asked = asdict(settings) | {"samplers": list(settings.samplers)}
        asked |= {"name": name, "seed": seed, "steps": steps, "n": N}
        return done(folder, "compare", 1, f"{name} {seed}", **asked)

    pairs = [(name, seed) for seed in SEEDS for name in CONTESTANTS]
    results = at_once([partial(row, *pair, STEPS) for pair in pairs])
    rows = {
        name: [r for pair, r in zip(pairs, results, strict=True) if pair[0] == name] for name in CONTESTANTS
    }
    seconds = {name: mean(result["seconds"] for result in own) for name, own in rows.items()}
    steps = dict.fromkeys(rows, STEPS)
    steps[EQUAL_TIME] = round(STEPS * min(seconds[name] for name in OTHERS) / seconds["ours"])
    rows[EQUAL_TIME] = at_once([partial(row, EQUAL_TIME, seed, steps[EQUAL_TIME]) for seed in SEEDS])
    real = np.random.default_rng(0).permutation(len(pictures("train")))
    floor = [scored(pictures("train").pixels[real[seed * N : (seed + 1) * N]], "test") for seed in SEEDS]
    columns = [(measure, i, digits) for measure, digits in DIGITS.items() for i in range(len(EVALUATIONS))]
    heads = [f"{measure}, {EVALUATIONS[i]}" for measure, i, _ in columns]
    print(
        "| row | parameters | images | seconds | " + " | ".join(heads) + " |\n|" + "---|" * (4 + len(heads))
    )
    for name, own in rows.items():
        cells = [
            spread([result["scores"][i][measure] for result in own], digits) for measure, i, digits in columns
        ]
        spent = mean(result["seconds"] for result in own)
        about = f"{own[0]['parameters'] / 1e6:.2f}M | {steps[name] * BATCH} | {spent:.0f}"
        print(f"| {name} | {about} | " + " | ".join(cells) + " |")
    cells = [spread([score[measure] for score in floor], digits) for measure, _, digits in columns]
    print("| real images | | | | " + " | ".join(cells) + " |")
    chart(rows, floor, Path(__file__).parents[1] / "docs/figures/images-peers.png")


def chart(rows: dict[str, list[dict[str, Any]]], floor: list[dict[str, float]], file: Path) -> None:
    """Fréchet distance against network evaluations, a line a row, with the range of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axis = figure.subplots()
    for name, own in rows.items():
        values = np.array([[score["Fréchet"] for score in result["scores"]] for result in own])
        style = "--" if "our engine" in name else "-" if name in OTHERS else "-."
        axis.plot(EVALUATIONS, values.mean(0), style, marker="o", markersize=3, label=name)
        axis.fill_between(EVALUATIONS, values.min(0), values.max(0), alpha=0.15)
    axis.axhline(mean(score["Fréchet"] for score in floor), color="black", linestyle=":", label="real images")
    axis.set(xlabel="network evaluations", ylabel="Fréchet distance", yscale="log", xticks=EVALUATIONS)
    axis.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(file, dpi=120)


def speed(folder: Path) -> None:
    """Images a second on two threads, the rows taking turns."""
    names = [name for name in CONTESTANTS if "our engine" not in name]
    results = {
        (turn, name): done(folder, "speed", 2, f"{name} {turn}", name=name, turn=turn, steps=TIMED)
        for turn in range(TURNS)
        for name in names
    }
    print("| | parameters | images a second | peak MiB | of these, by training |\n|" + "---|" * 5)
    for name in names:
        own = [results[turn, name] for turn in range(TURNS)]
        rates = [result["rate"] for result in own]
        pace = f"{median(rates):.0f} ({min(rates):.0f}–{max(rates):.0f})"
        memory = " | ".join(f"{median(result[kind] for result in own):.0f}" for kind in ("MiB", "own MiB"))
        print(f"| {name} | {own[0]['parameters'] / 1e6:.2f}M | {pace} | {memory} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parts = {"choose": (choose,), "compare": (compare,), "speed": (speed,), "both": (compare, speed)}
    parser.add_argument("what", nargs="?", choices=(*parts, "job"), default="both")
    parser.add_argument("job", nargs="*", help="for `job` alone: its name, its arguments as JSON, a file")
    parser.add_argument("--folder", type=Path, default=Path("runs/images_peers"), help="of the results")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.what == "job":
        work(chosen.job[0], json.loads(chosen.job[1]), Path(chosen.job[2]))
    else:
        for part in parts[chosen.what]:
            part(chosen.folder)
