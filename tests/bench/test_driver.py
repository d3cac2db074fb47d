"""How the benchmark runs: jobs and their turns, processes, environments, and the load of the machine."""

import pytest
import torch

from benchmarks.peers import __main__ as program
from benchmarks.peers import environments
from benchmarks.peers.driver import Job, Part, run, turns
from benchmarks.peers.environments import OURS
from benchmarks.peers.measures import importing, overhead
from tests.bench.outcomes import SETUP
from tests.conftest import ROOT


def test_a_part_tells_its_rounds_its_load_and_its_failures(tmp_path):
    jobs = [Job(OURS, "job", ("-c", "raise ValueError('why')"), 1), Job(OURS, "other", ("-c", ""), 1)]
    part = Part(lambda plan: jobs, importing.section)
    made = program.section(part, program.done(part, SETUP, tmp_path, 2, False))
    assert "Rounds: 2. Used by other processes meanwhile: " in made.about
    assert "- ours, job: exit status 1: ValueError: why" in made.text()


def test_every_peer_has_a_list_of_pinned_packages_and_none_of_them_is_torch():
    for peer in environments.PACKAGES:
        lines = environments.requirements(peer).read_text().splitlines()
        pinned = [line for line in lines if not line.startswith("#")]
        assert all(line.count("==") == 1 for line in pinned)
        assert not [line for line in pinned if line.startswith(("torch==", "nvidia", "triton", "pip=="))]
    assert "diffusers==0.42.1" in environments.versions(ROOT)


def test_without_a_folder_peers_run_here_at_the_versions_that_there_are(monkeypatch):
    monkeypatch.setitem(environments.PACKAGES, "diffusers", "torch")
    monkeypatch.setitem(environments.PACKAGES, "lerobot", "no-such-package")
    told = environments.versions(None)
    assert told[0].startswith("torch==") and told[-1] == "no-such-package (not installed)"
    assert environments.interpreter("lerobot", None) == environments.interpreter(OURS, ROOT)


def test_another_name_and_another_peer_go_first_from_round_to_round():
    jobs = [Job(peer, name, (), 1) for name in ("a", "b", "c") for peer in (OURS, "x", "y")]
    jobs.append(Job(OURS, "saved", (), 1, once=True))
    orders = [[(job.peer, job.name) for job in turns(jobs, count)] for count in range(3)]
    assert {order[0] for order in orders} == {(OURS, "saved")}
    assert [order[1] for order in orders] == [(OURS, "a"), ("x", "b"), ("y", "c")]
    for name in "abc":
        firsts = [next(peer for peer, of in order if of == name) for order in orders]
        assert firsts == [OURS, "x", "y"]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)


def test_jobs_take_turns_and_a_failure_is_told(tmp_path):
    say = "import json, time; print('noise'); print(json.dumps({'at': time.time()}))"
    jobs = [
        Job(OURS, "one", ("-c", say), 1),
        Job(OURS, "fails", ("-c", "raise ValueError('why')"), 1),
        Job(OURS, "two", ("-c", say), 1),
        Job(OURS, "once", ("-c", say), 1, once=True),
    ]
    outcomes, others = run(Part(lambda plan: jobs, overhead.section, warm=True), tmp_path, 2, check=False)
    one, fails, two, once = (outcomes[OURS, job.name] for job in jobs)
    assert [len(outcome.results) for outcome in (one, fails, two, once)] == [2, 0, 2, 1]
    first, second = ([outcome.results[i]["at"] for outcome in (one, two)] for i in range(2))
    assert once.results[0]["at"] < min(first) < max(first) < min(second)
    # in the second round, the one that failed has its turn first, and "one" comes last
    assert first == sorted(first) and second == sorted(second, reverse=True) and one.results[0]["wall"] > 0
    assert fails.failure == "exit status 1: ValueError: why"
    assert others is None or others >= 0


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("print('what a library says')", "said something else than its result: what a library says"),
        (
            "import sys; print('E: bad\\nValueError: no\\n=====', file=sys.stderr); sys.exit(3)",
            "ValueError: no",
        ),
        ("import time; time.sleep(60)", "not done within 1 s"),
        ("""print('{"torch": "1.0"}')""", f"ran on torch 1.0, but the benchmark runs on {torch.__version__}"),
    ],
)
def test_what_goes_wrong_in_a_process_is_told_and_ends_no_run(tmp_path, monkeypatch, said, told):
    monkeypatch.setattr("benchmarks.peers.driver.LONGEST", 1 if "sleep" in said else 30)
    part = Part(lambda plan: [Job(OURS, "a", ("-c", said), 1)], lambda outcomes: None)
    outcomes, _ = run(part, tmp_path, 1, check=True)
    assert told in outcomes[OURS, "a"].failure and not outcomes[OURS, "a"].results
