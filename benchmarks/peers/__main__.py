"""Runs the benchmark; see the package for what is where.

python -m benchmarks.peers                     # every part; about fifty minutes on two cores
python -m benchmarks.peers overhead accuracy   # some of them
python -m benchmarks.peers --check             # every case once, as briefly as can be: whether it runs
python -m benchmarks.peers --write             # every part, and the tables into docs/benchmarks.md
python -m benchmarks.peers --again --write     # the same tables from results.json, without a run

What is measured stands in results.json in the folder of the environments, part by part: a part that is
run alone replaces its own. --check leaves the file alone.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.peers import results
from benchmarks.peers.driver import ROOT, Part, run
from benchmarks.peers.environments import versions
from benchmarks.peers.load import at_rest
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
from benchmarks.peers.results import Record, Setup

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
BUSY = 0.1  # cores in use by others, with which no run for the document begins


def done(part: Part, setup: Setup, envs: Path | None, rounds: int, check: bool) -> Record:
    """A part, run, or why it is left out."""
    if reason := part.skipped():
        return Record(setup, {}, skipped=reason)
    return Record(setup, *run(part, envs, rounds, check))


def section(part: Part, record: Record) -> Section:
    """What is told of a part."""
    made, outcomes = part.section(record.outcomes), record.outcomes
    if record.skipped:
        return replace(made, about=f"Left out: {record.skipped}.", tables=())
    load = "unknown" if record.others is None else f"{record.others:.2f} cores"
    most = max((len(one.results) for one in outcomes.values()), default=0)
    about = f"{made.about} Rounds: {most}. Used by other processes meanwhile: {load}."
    failures = [f"{peer}, {name}: {one.failure}" for (peer, name), one in outcomes.items() if one.failure]
    return replace(made, about=about, failures=[*made.failures, *failures])


def whole(records: Mapping[str, Record], sections: Sequence[Section], command: str) -> str:
    """The text of a run; parts that were run elsewhere or another time are told apart."""
    setups: dict[Setup, list[str]] = {}
    for name, record in records.items():
        setups.setdefault(record.setup, []).append(name)
    told = [
        f"{', '.join(names)} {setup.text()}" if len(setups) > 1 else setup.text()
        for setup, names in setups.items()
    ]
    about = (
        f"`{command}` {'. '.join(told)}. Medians over rounds, with quartiles in brackets; in every round "
        "a library has a fresh process for each case, peers taking turns. A target's ratio is taken round by "
        "round, ours to the peer with the best median."
    )
    return "\n\n".join([about, targets_table(sections), *(one.text() for one in sections)])


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.peers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} [default: all]")
    parser.add_argument("--envs", type=Path, default=ROOT / ".bench", help="of the peers' environments")
    parser.add_argument("--here", action="store_true", help="every peer in this environment, as far as there")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes of every case")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    parser.add_argument("--check", action="store_true", help="every case once: whether it runs")
    parser.add_argument("--again", action="store_true", help="make the tables from results.json; run nothing")
    chosen = parser.parse_args(given)
    if unknown := set(chosen.parts) - PARTS.keys():
        parser.error(f"no part is called {', '.join(sorted(unknown))}")
    if chosen.write and (chosen.parts or chosen.check):
        parser.error("--write tells of one whole run: leave out --check and the names of parts")
    if chosen.again and chosen.check:
        parser.error("--again runs nothing: leave out --check")
    return chosen


def main(given: Sequence[str] | None = None) -> None:
    chosen = arguments(given)
    names, envs = chosen.parts or list(PARTS), chosen.envs.resolve()
    file, where = envs / "results.json", None if chosen.here else envs
    records = results.read(file)
    if chosen.again:
        if absent := [name for name in names if name not in records]:
            sys.exit(f"no results of {', '.join(absent)} in {file}: run the benchmark without --again first")
    elif chosen.write and (others := at_rest() or 0.0) > BUSY:
        sys.exit(
            f"other processes use {others:.2f} cores (at most {BUSY}): end them first, or leave out --write"
        )
    used = (f"torch {torch.__version__}", *versions(where))
    setup, sections = Setup(str(datetime.date.today()), machine(), used), []
    for name in names:
        if not chosen.again:
            rounds = 1 if chosen.check else chosen.rounds
            record = done(PARTS[name], setup, where, rounds, chosen.check)
            if record.skipped and name in records:
                record = records[name]  # of a machine that could: its figures stay
            records[name] = record
            if not chosen.check:
                results.write(file, records)
        sections.append(section(PARTS[name], records[name]))
        print(f"{sections[-1].text()}\n", flush=True)
    print(targets_table(sections))
    if chosen.write:
        text = whole({name: records[name] for name in names}, sections, "make bench")
        DOCUMENT.write_text(replaced(DOCUMENT.read_text(), text))
        print(f"written into {DOCUMENT}", file=sys.stderr)


if __name__ == "__main__":
    main()
