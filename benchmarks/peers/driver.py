"""Starts the contestants' processes, peer after peer and round after round, so that drift hits all alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers.environments import Unavailable, interpreter
from benchmarks.peers.load import Load
from benchmarks.peers.report import Section

ROOT = Path(__file__).parents[2]
LONGEST = 900  # seconds of a process


@dataclass(frozen=True)
class Plan:
    """How the jobs of a part are to be made.

    Attributes:
        scratch: an empty folder.
        check: every case once, as briefly as can be: that all of it runs. The numbers mean nothing.
        threads: of a process, where the part does not say otherwise.
    """

    scratch: Path
    check: bool
    threads: int


@dataclass(frozen=True)
class Job:
    """What one process does.

    Attributes:
        peer: whose interpreter it has.
        name: of the job, among those of the peer in this part.
        arguments: of the interpreter.
        threads: of the process.
        once: not in every round: its result is always the same.
        gpu: whether the process may see one.
        environment: variables beside those that every process has.
    """

    peer: str
    name: str
    arguments: tuple[str, ...]
    threads: int
    once: bool = False
    gpu: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


def worker(
    measure: str, peer: str, name: str, threads: int, *, before: tuple[str, ...] = (), once: bool = False,
    gpu: bool = False, environment: Mapping[str, str] | None = None, **asked: Any,
) -> Job:  # fmt: skip
    """A job of `benchmarks.peers.worker`, with arguments of the interpreter before it."""
    arguments = (*before, "-m", "benchmarks.peers.worker", measure, peer, json.dumps(asked))
    return Job(peer, name, arguments, threads, once, gpu, environment or {})


@dataclass
class Outcome:
    """What came of a job.

    Attributes:
        results: a dict of every round; beside what the process printed, the `wall` seconds that it took.
        failure: why there are no more.
    """

    results: list[dict[str, Any]] = field(default_factory=list)
    failure: str = ""


Outcomes = dict[tuple[str, str], Outcome]  # by peer and name of the job


@dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    Attributes:
        jobs: in the order of a round.
        section: what is told of the outcomes.
        warm: whether one more round goes before that does not count: files come into the cache.
        skipped: why the part cannot be done on this machine; "" if it can.
    """

    jobs: Callable[[Plan], list[Job]]
    section: Callable[[Outcomes], Section]
    warm: bool = False
    skipped: Callable[[], str] = lambda: ""


def run(part: Part, envs: Path, rounds: int, check: bool) -> tuple[Outcomes, float | None]:
    """The outcomes of a part, and how many cores other processes kept busy meanwhile."""
    outcomes = Outcomes()
    with tempfile.TemporaryDirectory() as scratch:
        jobs = part.jobs(Plan(Path(scratch), check, os.cpu_count() or 1))
        pythons = {job.peer: interpreter(job.peer, envs) for job in jobs}
        load = Load()
        for count in range(0 if check else -part.warm, rounds):
            for job in jobs:
                outcome = outcomes.setdefault((job.peer, job.name), Outcome())
                if outcome.failure or (job.once and outcome.results):
                    continue
                python = pythons[job.peer]
                result = python if isinstance(python, Unavailable) else process(job, python)
                if isinstance(result, Unavailable):
                    outcome.failure = result.reason
                    print(f"{job.peer}, {job.name}: {result.reason}", file=sys.stderr, flush=True)
                elif count >= 0 or job.once:
                    outcome.results.append(result)
        return outcomes, load.others()


def process(job: Job, python: Path) -> dict[str, Any] | Unavailable:
    """What one process printed last, and the `wall` seconds that it took; or the last line of its error."""
    quiet = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    threads = {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
    unseen = {} if job.gpu else {"CUDA_VISIBLE_DEVICES": ""}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **quiet, **threads, **unseen, **job.environment}
    start = time.perf_counter()
    try:
        done = subprocess.run(
            [python, *job.arguments],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST,
        )
    except subprocess.TimeoutExpired:
        return Unavailable(f"not done within {LONGEST} s")
    wall = time.perf_counter() - start
    if done.returncode:
        told = [line for line in done.stderr.strip().splitlines() if set(line) - set("= ")]
        errors = [line for line in told if "Error" in line] or told
        return Unavailable(
            f"exit status {done.returncode}: {errors[-1] if errors else 'it said nothing'}"[:200]
        )
    lines = done.stdout.strip().splitlines()
    try:
        return {"wall": wall, **(json.loads(lines[-1]) if lines else {})}
    except json.JSONDecodeError:
        return Unavailable(f"said something else than its result: {lines[-1][:100]}")
