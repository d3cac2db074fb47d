"""The raw results of every part, in one file from which the tables can be made again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.peers.driver import Outcome, Outcomes


@dataclass(frozen=True)
class Setup:
    """When, on what machine and with what versions of torch and the peers."""

    date: str
    machine: str
    versions: tuple[str, ...]

    def text(self) -> str:
        return f"on {self.date}: {self.machine}; {', '.join(self.versions)}"


@dataclass(frozen=True)
class Record:
    """What a part came to.

    Attributes:
        setup: of its run.
        outcomes: of its jobs.
        others: cores that other processes kept busy meanwhile; None: unknown.
        skipped: why it was not done; "" if it was.
    """

    setup: Setup
    outcomes: Outcomes
    others: float | None = None
    skipped: str = ""


def read(file: Path) -> dict[str, Record]:
    """The records by part; none if there is no file."""
    if not file.is_file():
        return {}
    records = {}
    for name, kept in json.loads(file.read_text()).items():
        setup = Setup(**{**kept["setup"], "versions": tuple(kept["setup"]["versions"])})
        outcomes = {(peer, job): Outcome(**outcome) for peer, job, outcome in kept["outcomes"]}
        records[name] = Record(**{**kept, "setup": setup, "outcomes": outcomes})
    return records


def write(file: Path, records: Mapping[str, Record]) -> None:
    """All of them, in one go: whoever reads the file finds it as it was before, or whole."""
    kept = {}
    for name, record in records.items():
        outcomes = [(*key, asdict(outcome)) for key, outcome in record.outcomes.items()]
        kept[name] = {**vars(record), "setup": asdict(record.setup), "outcomes": outcomes}
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.{os.getpid()}")
    part.write_text(json.dumps(kept))
    os.replace(part, file)
