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

from benchmarks.images_contestants import (
    BATCH,
    CONTESTANTS,
    Published,
    built,
    parameters,
    pictures,
)
from domains.images.evaluation import classifier, metrics
from domains.images.gallery import Gallery

STEPS = 400
CHOSEN_STEPS, CHOSEN_N = 200, 250  # of a run that settings are chosen by
TIMED = 40  # steps of a timed training
N = 400  # images a score
EVALUATIONS = (10, 20, 50)
SEEDS, TURNS = (0, 1, 2), 3


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


RATES = {name: (1.5e-3, 3e-3, 6e-3) if "our" in name else (5e-4, 1e-3, 2e-3, 4e-3) for name in CONTESTANTS}
# What `choose` found.
SETTINGS: dict[str, Settings] = {}
EQUAL_TIME = "ours, equal time"
LIBRARIES = tuple(name for name in CONTESTANTS if name != "ours")


def scored(pixels: np.ndarray, split: str) -> dict[str, float]:
    """Fréchet distance and KID to the real images of a split."""
    drawn, real = classifier.load("fashion-mnist").features(pixels), reference(split)
    return {"Fréchet": metrics.frechet(drawn, real), "KID": metrics.kid(drawn, real)}


@cache
def reference(split: str) -> np.ndarray:
    return classifier.load("fashion-mnist").features(pictures(split).pixels)


# The jobs, each in a process of its own. They return what is written as JSON.


def rating(out: Path, name: str, rate: float, steps: int, n: int) -> dict[str, Any]:
    """Validation scores of a learning rate, with averaged and with last weights."""
    contestant = built(name, seed=100)
    contestant.train(steps, rate, seed=100)
    averages = (True, False) if isinstance(contestant, Published) else (True,)
    drawn = {averaged: contestant.draw(n, 20, 100, contestant.samplers[0], averaged) for averaged in averages}
    return {str(averaged): scored(pixels, "validation")["Fréchet"] for averaged, pixels in drawn.items()}


def stepping(out: Path, name: str, rate: float, averaged: bool, steps: int, n: int) -> dict[str, Any]:
    """Validation scores of every sampler at every number of evaluations."""
    contestant = built(name, seed=100)
    contestant.train(steps, rate, seed=100)
    return {
        sampler: [
            scored(contestant.draw(n, evaluations, 100, sampler, averaged), "validation")["Fréchet"]
            for evaluations in EVALUATIONS
        ]
        for sampler in contestant.samplers
    }


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
    brief = {"steps": CHOSEN_STEPS, "n": CHOSEN_N}

    def rated(name: str, rate: float) -> dict[str, float]:
        return done(folder, "rate", 1, f"{name} {rate}", name=name, rate=rate, **brief)

    def stepped(name: str, rate: float, averaged: bool) -> dict[str, list[float]]:
        asked = {"name": name, "rate": rate, "averaged": averaged}
        return done(folder, "samplers", 1, f"{name} {rate} {averaged}", **asked, **brief)

    pairs = [(name, rate) for name in CONTESTANTS for rate in RATES[name]]
    scores = dict(zip(pairs, at_once([partial(rated, *pair) for pair in pairs]), strict=True))
    best = {}
    for name in CONTESTANTS:
        own = {
            (rate, averaged == "True"): score
            for rate in RATES[name]
            for averaged, score in scores[name, rate].items()
        }
        best[name] = min(own, key=lambda way, own=own: own[way])
        print(f"# {name}: " + ", ".join(f"{way}: {score:.1f}" for way, score in own.items()))
    undecided = {name: built(name, seed=0).samplers for name in CONTESTANTS}
    names = [name for name, samplers in undecided.items() if len(samplers) > 1]
    every = dict(zip(names, at_once([partial(stepped, name, *best[name]) for name in names]), strict=True))
    for name, samplers in undecided.items():
        if name in every:
            found = every[name]
            print(f"# {name}: {found}")
            samplers = tuple(min(found, key=lambda s, i=i: found[s][i]) for i in range(len(EVALUATIONS)))
        else:
            samplers *= len(EVALUATIONS)
        print(f"    {name!r}: {Settings(*best[name], samplers)},")


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
    steps[EQUAL_TIME] = round(STEPS * min(seconds[name] for name in LIBRARIES) / seconds["ours"])
    rows[EQUAL_TIME] = at_once([partial(row, EQUAL_TIME, seed, steps[EQUAL_TIME]) for seed in SEEDS])
    real = np.random.default_rng(0).permutation(len(pictures("train")))
    floor = [scored(pictures("train").pixels[real[seed * N : (seed + 1) * N]], "test") for seed in SEEDS]
    columns = [(measure, i) for measure in ("Fréchet", "KID") for i in range(len(EVALUATIONS))]
    heads = [f"{measure}, {EVALUATIONS[i]}" for measure, i in columns]
    print(
        "| row | parameters | images | seconds | " + " | ".join(heads) + " |\n|" + "---|" * (4 + len(heads))
    )
    for name, own in rows.items():
        cells = [spread([result["scores"][i][measure] for result in own]) for measure, i in columns]
        spent = mean(result["seconds"] for result in own)
        about = f"{own[0]['parameters'] / 1e6:.2f}M | {steps[name] * BATCH} | {spent:.0f}"
        print(f"| {name} | {about} | " + " | ".join(cells) + " |")
    cells = [spread([score[measure] for score in floor]) for measure, _ in columns]
    print("| real images | | | | " + " | ".join(cells) + " |")
    chart(rows, floor, Path(__file__).parents[1] / "docs/figures/images-peers.png")


def chart(rows: dict[str, list[dict[str, Any]]], floor: list[dict[str, float]], file: Path) -> None:
    """Fréchet distance against network evaluations, a line a row, with the range of the seeds."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axis = figure.subplots()
    for name, own in rows.items():
        values = np.array([[score["Fréchet"] for score in result["scores"]] for result in own])
        style = "--" if "our engine" in name else "-" if name in LIBRARIES else "-."
        axis.plot(EVALUATIONS, values.mean(0), style, marker="o", markersize=3, label=name)
        axis.fill_between(EVALUATIONS, values.min(0), values.max(0), alpha=0.15)
    axis.axhline(mean(score["Fréchet"] for score in floor), color="black", linestyle=":", label="real images")
    axis.set(xlabel="network evaluations", ylabel="Fréchet distance", yscale="log", xticks=EVALUATIONS)
    axis.legend(fontsize=7)
    figure.savefig(file, dpi=120)


def spread(values: list[float]) -> str:
    """Mean, lowest and highest."""
    digits = 1 if max(values) >= 1 else 3
    return f"{mean(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


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
