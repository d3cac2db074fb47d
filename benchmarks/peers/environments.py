"""The peers, and the environment of each: pinned versions in a virtual environment, made once and reused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

OURS = "ours"  # runs in the interpreter that runs the benchmark
TORCH = "torch==2.13.0"


@dataclass(frozen=True)
class Environment:
    """What is installed beside torch.

    Attributes:
        requirements: the peer, and what it imports without asking for it.
        alone: installed without what they ask for, as that excludes this version of torch.
    """

    requirements: tuple[str, ...]
    alone: tuple[str, ...] = ()


ENVIRONMENTS = {
    "diffusers": Environment(("diffusers==0.42.1",)),
    "lucidrains": Environment(("denoising-diffusion-pytorch==2.3.4",)),
    "torchcfm": Environment(("torchcfm==1.0.7", "torchdyn==1.0.6")),
    "flow_matching": Environment(("flow_matching==1.0.10", "tqdm==4.70.1")),
    "smalldiffusion": Environment(("smalldiffusion==0.5.0",)),
    "k_diffusion": Environment(("k-diffusion==0.1.1.post1", "setuptools==80.10.2")),
    "chronos": Environment(("chronos-forecasting==2.3.2", "transformers==5.24.0")),
    # every LeRobot asks for an older torch or torchvision; its diffusion policy needs these alone, and runs
    "lerobot": Environment(
        (
            "diffusers==0.35.2",
            "huggingface-hub==0.35.3",
            "draccus==0.10.0",
            "datasets==4.1.1",
            "accelerate==1.15.0",
            "einops==0.8.2",
            "gymnasium==1.4.0",
            "jsonlines==4.0.0",
            "deepdiff==8.6.2",
            "imageio==2.38.1",
            "termcolor==3.3.0",
            "av==15.1.0",
            "pyserial==3.5",
            "torchvision==0.28.0",
        ),
        alone=("lerobot==0.4.4",),
    ),
}


@dataclass(frozen=True)
class Unavailable:
    """In place of an interpreter or a result: why there is none."""

    reason: str


@cache  # so that what cannot be made is tried once
def interpreter(peer: str, folder: Path) -> Path | Unavailable:
    """The Python of a peer's environment in the folder, which is made if it is not there."""
    if peer == OURS:
        return Path(sys.executable)
    home, wanted = folder / peer, ENVIRONMENTS[peer]
    python, done = home / "bin" / "python", home / "installed.txt"
    pins = (*wanted.requirements, *wanted.alone)
    listed = "\n".join([TORCH, *pins])
    if done.is_file() and done.read_text() == listed:
        return python
    print(f"{peer}: installing {', '.join(pins)}", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    constraints = folder / "constraints.txt"
    constraints.write_text(f"{TORCH}\n")
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    steps: list[tuple[str | Path, ...]] = [
        (sys.executable, "-m", "venv", "--clear", home),
        (*pip, TORCH),  # by itself: a peer must not choose another build of it
        (*pip, "--constraint", constraints, *wanted.requirements),
    ]
    if wanted.alone:
        steps.append((*pip, "--no-deps", *wanted.alone))
    for step in steps:
        made = subprocess.run(step, capture_output=True, text=True, check=False)
        if made.returncode:
            told = made.stderr.strip().splitlines() or [f"exit status {made.returncode}"]
            errors = [line for line in told if line.startswith("ERROR")]
            return Unavailable((errors or told)[-1])
    done.write_text(listed)
    return python
