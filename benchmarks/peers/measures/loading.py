"""A fresh process that loads a model of about 5 million parameters."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers.contestants.interface import Contestant
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, ratio, spread

SAVED = "saved"
# (whose interpreter and model, what) -> the program
PROGRAMS = {
    (OURS, "import torch"): "import torch",
    (OURS, "bare torch + safetensors"): (
        "import sys, torch; from safetensors.torch import load_file; "
        "load_file(sys.argv[1] + '/model.safetensors')"
    ),
    (OURS, "zoo.load"): "import sys, zoo; zoo.load(sys.argv[1])",
    ("diffusers", "from_pretrained"): (
        "import sys; from diffusers import UNet2DModel; UNet2DModel.from_pretrained(sys.argv[1])"
    ),
}


def measure(contestant: Contestant, folder: str) -> dict[str, Any]:
    """Saves a model; returns its size."""
    return {"parameters": contestant.save(Path(folder))}


def jobs(plan: Plan) -> list[Job]:
    folders = {peer: str(plan.scratch / peer) for peer, _ in PROGRAMS}
    saves = [
        worker("loading", peer, SAVED, plan.threads, once=True, folder=folder)
        for peer, folder in folders.items()
    ]
    loads = [
        Job(peer, name, ("-c", program, folders[peer]), plan.threads)
        for (peer, name), program in PROGRAMS.items()
    ]
    return saves + loads


def section(outcomes: Outcomes) -> Section:
    walls = {
        name: [one["wall"] for one in outcomes[peer, name].results]
        for peer, name in PROGRAMS
        if (peer, name) in outcomes and outcomes[peer, name].results
    }
    middle = {name: median(each) for name, each in walls.items()}
    ours, bare, theirs = (middle.get(n) for n in ("zoo.load", "bare torch + safetensors", "from_pretrained"))
    targets = [
        Target("loading: zoo.load to bare torch + safetensors", ratio(ours, bare), 1.15),
        Target("loading: diffusers' from_pretrained to zoo.load", ratio(theirs, ours), 2.0, at_most=False),
    ]
    sizes = [
        f"{peer} {outcome.results[0]['parameters'] / 1e6:.2f}M"
        for (peer, name), outcome in outcomes.items()
        if name == SAVED and outcome.results
    ]
    rows = [[name, spread(each)] for name, each in walls.items()]
    about = f"Seconds of a whole process. Parameters: {', '.join(sizes)}."
    return Section("Loading", about, [Table(("process", "seconds"), rows)], targets)


PART = Part(jobs, section, warm=True)
