"""What an import costs beyond torch."""

from __future__ import annotations

from benchmarks.peers.driver import Job, Outcomes, Part, Plan, absent, rounds
from benchmarks.peers.environments import OURS
from benchmarks.peers.report import Section, Table, Target, spread

# peer -> the bare import, and the names that a first script needs
IMPORTS = {
    OURS: ("import zoo", "from zoo import load, train"),
    "diffusers": ("import diffusers", "from diffusers import UNet2DModel, DDPMPipeline, DDIMScheduler"),
    "lucidrains": (
        "import denoising_diffusion_pytorch",
        "from denoising_diffusion_pytorch import Unet, GaussianDiffusion",
    ),
    "torchcfm": ("import torchcfm", "from torchcfm.models.unet.unet import UNetModelWrapper"),
    "flow_matching": ("import flow_matching", "from flow_matching.solver import ODESolver"),
    "smalldiffusion": ("import smalldiffusion", "from smalldiffusion import samples, ScheduleDDPM"),
    "k_diffusion": ("import k_diffusion", "from k_diffusion.sampling import sample_heun"),
    "chronos": ("import chronos", "from chronos import ChronosBoltPipeline"),
    "lerobot": (
        "import lerobot",
        "from lerobot.policies.diffusion.modeling_diffusion import DiffusionPolicy",
    ),
}
PROGRAM = """
import json, time, torch
from benchmarks.peers.vision import declare_operators
declare_operators()
start = time.perf_counter()
{}
print(json.dumps({{"seconds": time.perf_counter() - start}}))
"""
KINDS = ("import", "first names")


def jobs(plan: Plan) -> list[Job]:
    return [
        Job(peer, kind, ("-c", PROGRAM.format(line)), plan.threads)
        for peer, lines in IMPORTS.items()
        for kind, line in zip(KINDS, lines, strict=True)
    ]


def section(outcomes: Outcomes) -> Section:
    rows = []
    for peer, (_, names) in IMPORTS.items():
        if any(absent(outcomes, [peer], kind) for kind in KINDS):
            continue
        each = (spread(rounds(outcomes, peer, kind, "seconds"), 1e3) for kind in KINDS)
        rows.append([peer, *each, f"`{names}`"])
    bare = [1e3 * one for one in rounds(outcomes, OURS, KINDS[0], "seconds")]
    target = Target("import zoo, beyond torch", [bare] if bare else [], 50, unit="ms")
    head = ("library", "ms to import", "ms to first names", "first names")
    return Section("Import", "In a fresh process, after `import torch`.", [Table(head, rows)], [target])


PART = Part(jobs, section, warm=True)
