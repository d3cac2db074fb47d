"""A fresh process that loads a model of about 5 million parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.peers.contestants.interface import Contestant
from benchmarks.peers.driver import Job, Outcomes, Part, Plan, rounds, worker
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, ratios, spread

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
    walls = {name: rounds(outcomes, peer, name, "wall") for peer, name in PROGRAMS}
    ours, bare, theirs = (walls[n] for n in ("zoo.load", "bare torch + safetensors", "from_pretrained"))
    targets = [
        Target("loading: zoo.load to bare torch + safetensors", ratios(ours, bare), 1.15),
        Target("loading: diffusers' from_pretrained to zoo.load", ratios(theirs, ours), 2.0, at_most=False),
    ]
    sizes = [
        f"{peer} {size / 1e6:.2f}M"
        for peer in dict.fromkeys(peer for peer, _ in PROGRAMS)
        for size in rounds(outcomes, peer, SAVED, "parameters")
    ]
    rows = [[name, spread(each)] for name, each in walls.items() if each]
    about = f"Seconds of a whole process. Parameters: {', '.join(sizes)}."
    return Section("Loading", about, [Table(("process", "seconds"), rows)], targets)


PART = Part(jobs, section, warm=True)
