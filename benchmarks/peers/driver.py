"""Starts the contestants' processes, peer after peer and round after round, so that drift hits all alike."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

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
        name: of the job, among those of the peer in this part; peers take turns in jobs of one name.
        arguments: of the interpreter.
        threads: of the process.
        once: not in every round, and before all others: its result is always the same.
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


def rounds(outcomes: Outcomes, peer: str, name: str, figure: str) -> list[Any]:
    """A figure of a job in every round; [] if the job never ran."""
    return [one[figure] for one in outcomes.get((peer, name), Outcome()).results]


def absent(outcomes: Outcomes, peers: Iterable[str], name: str) -> list[str]:
    """The peers whose job of this name never ran."""
    return [peer for peer in peers if not outcomes.get((peer, name), Outcome()).results]


@dataclass(frozen=True)
class Part:
    """A part of the benchmark.

    Attributes:
        jobs: in the order of the first round; see `turns`.
        section: what is told of the outcomes.
        warm: whether one more round goes before that does not count: files come into the cache.
        skipped: why the part cannot be done on this machine; "" if it can.
    """

    jobs: Callable[[Plan], list[Job]]
    section: Callable[[Outcomes], Section]
    warm: bool = False
    skipped: Callable[[], str] = lambda: ""


T = TypeVar("T")


def turns(jobs: Sequence[Job], count: int) -> list[Job]:
    """The jobs in the order of a round: first those done once, then the others, name after name.

    From round to round another name goes first, and another peer within each name.
    """
    named: dict[str, list[Job]] = {}
    for job in jobs:
        if not job.once:
            named.setdefault(job.name, []).append(job)
    taking = [job for group in _from(list(named.values()), count) for job in _from(group, count)]
    return [job for job in jobs if job.once] + taking


def _from(items: list[T], first: int) -> list[T]:
    cut = first % max(len(items), 1)
    return items[cut:] + items[:cut]


def run(part: Part, envs: Path | None, rounds: int, check: bool) -> tuple[Outcomes, float | None]:
    """The outcomes of a part, and how many cores other processes kept busy meanwhile.

    Without a folder of environments, every peer runs in the interpreter that runs this.
    """
    outcomes = Outcomes()
    with tempfile.TemporaryDirectory() as scratch:
        jobs = part.jobs(Plan(Path(scratch), check, os.cpu_count() or 1))
        pythons = {job.peer: interpreter(job.peer, envs) for job in jobs}
        load = Load()
        for count in range(0 if check else -part.warm, rounds):
            for job in turns(jobs, count):
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


def _ended(command: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """A command that has ended; one that does not in time is killed with all that it has started."""
    with subprocess.Popen(
        command,
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as started:
        try:
            out, error = started.communicate(timeout=LONGEST)
        except BaseException:  # Ctrl-C, too: the session of its own does not get it
            with contextlib.suppress(ProcessLookupError):
                os.killpg(started.pid, signal.SIGKILL)
            raise
    return subprocess.CompletedProcess(command, started.returncode, out, error)


def process(job: Job, python: Path) -> dict[str, Any] | Unavailable:
    """What one process printed last, and the `wall` seconds that it took; or the last line of its error."""
    quiet = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    threads = {"OMP_NUM_THREADS": str(job.threads), "MKL_NUM_THREADS": str(job.threads)}
    unseen = {} if job.gpu else {"CUDA_VISIBLE_DEVICES": ""}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **quiet, **threads, **unseen, **job.environment}
    start = time.perf_counter()
    try:
        done = _ended([str(python), *job.arguments], environment)
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
        result = {"wall": wall, **(json.loads(lines[-1]) if lines else {})}
    except json.JSONDecodeError:
        return Unavailable(f"said something else than its result: {lines[-1][:100]}")
    used = result.get("torch", torch.__version__)
    if used != torch.__version__:
        return Unavailable(f"ran on torch {used}, but the benchmark runs on {torch.__version__}")
    return result
