"""Runs the benchmark; see the package for what is where.

python -m benchmarks.peers                     # every part; about forty minutes on two cores
python -m benchmarks.peers overhead accuracy   # some of them
python -m benchmarks.peers --check             # every case once, as briefly as can be: whether it runs
python -m benchmarks.peers --write             # every part, and the tables into docs/benchmarks.md
"""

from __future__ import annotations

import argparse
import datetime
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.driver import ROOT, Outcomes, Part, run
from benchmarks.peers.environments import ENVIRONMENTS
from benchmarks.peers.measures import (
    accuracy,
    gpu,
    importing,
    inference,
    loading,
    overhead,
    processes,
    training,
)
from benchmarks.peers.report import Section, machine, replaced, targets_table

PARTS: dict[str, Part] = {
    "overhead": overhead.PART,
    "accuracy": accuracy.PART,
    "training": training.PART,
    "loading": loading.PART,
    "importing": importing.PART,
    "processes": processes.PART,
    "inference": inference.PART,
    "gpu": gpu.PART,
}
DOCUMENT = ROOT / "docs" / "benchmarks.md"


def section(part: Part, envs: Path, rounds: int, check: bool) -> Section:
    """What is told of a part, or why it is left out."""
    if reason := part.skipped():
        return replace(part.section(Outcomes()), about=f"Left out: {reason}.", tables=())
    outcomes, others = run(part, envs, rounds, check)
    made = part.section(outcomes)
    load = "unknown" if others is None else f"{others:.2f} cores"
    about = f"{made.about} Rounds: {rounds}. Used by other processes meanwhile: {load}."
    failures = [f"{peer}, {name}: {one.failure}" for (peer, name), one in outcomes.items() if one.failure]
    return replace(made, about=about, failures=[*made.failures, *failures])


def whole(sections: list[Section], command: str) -> str:
    """The text of a run."""
    pins = ", ".join(pin for one in ENVIRONMENTS.values() for pin in (*one.requirements, *one.alone))
    about = (
        f"`{command}` on {datetime.date.today()}: {machine()}; torch {version('torch')}; {pins}. Medians, "
        "with quartiles in brackets; every figure comes from fresh processes, peers taking turns."
    )
    return "\n\n".join([about, targets_table(sections), *(one.text() for one in sections)])


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} [default: all]")
    parser.add_argument("--envs", type=Path, default=ROOT / ".bench", help="of the peers' environments")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes of every case")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    parser.add_argument("--check", action="store_true", help="every case once: whether it runs")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    if chosen.write and (chosen.parts or chosen.check):
        parser.error("--write tells of one whole run: leave out --check and the names of parts")
    rounds, sections = 1 if chosen.check else chosen.rounds, []
    for name in chosen.parts or PARTS:
        sections.append(section(PARTS[name], chosen.envs.resolve(), rounds, chosen.check))
        print(f"{sections[-1].text()}\n", flush=True)
    print(targets_table(sections))
    if chosen.write:
        text = whole(sections, "make bench")
        DOCUMENT.write_text(replaced(DOCUMENT.read_text(), text))
        print(f"written into {DOCUMENT}", file=sys.stderr)


if __name__ == "__main__":
    main()
