"""The peers, and the environment of each: a virtual environment, made once and reused.

All that it holds beside torch is pinned in environments/<peer>.txt (`pip freeze --all`, less pip and torch)
and installed without what it asks for: a peer must not choose another torch, and next year all must be the
same.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

OURS = "ours"  # runs in the interpreter that runs the benchmark
TORCH = "torch==2.13.0"
# peer -> the package that it is
PACKAGES = {
    "diffusers": "diffusers",
    "lucidrains": "denoising-diffusion-pytorch",
    "torchcfm": "torchcfm",
    "flow_matching": "flow_matching",
    "smalldiffusion": "smalldiffusion",
    "k_diffusion": "k-diffusion",
    "chronos": "chronos-forecasting",
    "lerobot": "lerobot",
}
LISTS = Path(__file__).with_name("environments")


@dataclass(frozen=True)
class Unavailable:
    """In place of an interpreter or a result: why there is none."""

    reason: str


def requirements(peer: str) -> Path:
    """The file of all that a peer's environment holds beside torch."""
    return LISTS / f"{peer}.txt"


def versions(folder: Path | None) -> list[str]:
    """The peers' versions: those pinned, or, without a folder, those of the running interpreter."""
    return [_pinned(peer) if folder else _installed(package) for peer, package in PACKAGES.items()]


def _pinned(peer: str) -> str:
    lines = requirements(peer).read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{PACKAGES[peer]}=="))


def _installed(package: str) -> str:
    try:
        return f"{package}=={metadata.version(package)}"
    except metadata.PackageNotFoundError:
        return f"{package} (not installed)"


@cache  # so that what cannot be made is tried once
def interpreter(peer: str, folder: Path | None) -> Path | Unavailable:
    """The Python of a peer's environment in the folder, which is made if it is not there.

    Without a folder it is the running one.
    """
    if peer == OURS or folder is None:
        return Path(sys.executable)
    home, wanted = folder / peer, requirements(peer)
    python, done = home / "bin" / "python", home / "installed.txt"
    listed = f"{TORCH}\n{wanted.read_text()}"
    if done.is_file() and done.read_text() == listed:
        return python
    print(f"{peer}: installing {_pinned(peer)} and what it needs", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    pip = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    for step in (
        (sys.executable, "-m", "venv", "--clear", home),
        (*pip, TORCH),
        (*pip, "--no-deps", "--requirement", wanted),
    ):
        made = subprocess.run(step, capture_output=True, text=True, check=False)
        if made.returncode:
            said = made.stderr.strip().splitlines() or [f"exit status {made.returncode}"]
            errors = [line for line in said if line.startswith("ERROR")]
            return Unavailable((errors or said)[-1])
    done.write_text(listed)
    return python
