"""The benchmark beside the peers, without them: arithmetic, report, and our own cases at tiny size."""

import os

import pytest
import torch

from benchmarks.peers.__main__ import section, whole
from benchmarks.peers.contestants.interface import FIRST, SECOND, TASKS
from benchmarks.peers.contestants.ours import CONTESTANT
from benchmarks.peers.driver import Job, Outcome, Part, run
from benchmarks.peers.environments import OURS
from benchmarks.peers.measures import accuracy, importing, loading, overhead, processes, training
from benchmarks.peers.mixture import Mixture
from benchmarks.peers.report import END, START, Target, number, ratio, replaced, spread
from tests.conftest import ROOT

DOCUMENT = f"# Title\n\nbefore\n\n{START}\nold\n{END}\n\nafter\n"


def outcomes(**results):
    """Outcomes of (peer, job) in one round; a failure is text."""
    return {
        key: Outcome(failure=one) if isinstance(one, str) else Outcome([one])
        for key, one in results["of"].items()
    }


def verdicts(section):
    return {target.what: (target.values, target.met) for target in section.targets}


def test_the_report_replaces_what_stands_between_the_markers_alone():
    once = replaced(DOCUMENT, "new\n\n| a |")
    assert once == f"# Title\n\nbefore\n\n{START}\n\nnew\n\n| a |\n\n{END}\n\nafter\n"
    assert replaced(once, "new\n\n| a |") == once


@pytest.mark.parametrize("broken", ["", START, f"{END}{START}", f"{START}{END}{END}", f"{START}{START}{END}"])
def test_the_report_refuses_a_document_without_its_markers(broken):
    with pytest.raises(ValueError, match="wanted once each"):
        replaced(broken, "new")


def test_the_published_document_has_the_markers():
    document = (ROOT / "docs" / "benchmarks.md").read_text()
    assert "new" in replaced(document, "new")


def test_targets_tell_whether_every_value_keeps_the_bound():
    assert Target("", (0.9, 1.0), 1.0).met == "yes"
    assert Target("", (0.9, 1.01), 1.0).met == "no"
    assert Target("", (1.3,), 1.3, at_most=False).met == "yes"
    assert Target("", (1.29,), 1.3, at_most=False).met == "no"
    assert Target("", (), 1.0).met == "not measured"
    assert ratio(3.0, 2.0) == (1.5,)
    assert ratio(3.0, None) == ratio(None, 2.0) == ratio(3.0, -0.1) == ratio(-0.1, 3.0) == ()


def test_figures_are_medians_with_quartiles():
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]) == "3 (2–4)"
    assert spread([0.012345]) == "0.0123"
    assert [number(x) for x in (1234.5, 99.96, -0.5, float("inf"))] == ["1234", "100", "-0.5", "inf"]


def test_training_is_compared_with_the_fastest_and_the_leanest_peer_that_there_are():
    def one(rate, mib):
        return {"parameters": 1_000_000, "gflop": 1.0, "rate": [rate], "mib": mib, "wall": 1.0}

    task, other, *_ = training.PEERS
    found = verdicts(
        training.section(
            outcomes(
                of={
                    ("ours", task): one(300.0, 500.0),
                    ("diffusers", task): one(200.0, 400.0),
                    ("torchcfm", task): one(100.0, 250.0),
                    ("lucidrains", task): "could not be installed",
                    ("ours", other): one(300.0, 500.0),
                    ("diffusers", other): "failed",
                }
            )
        )
    )
    assert found[f"training, {task}: samples/s, ours to the fastest peer"] == ((1.5,), "yes")
    assert found[f"training, {task}: peak memory, ours to the leanest peer"] == ((2.0,), "no")
    assert found[f"training, {other}: samples/s, ours to the fastest peer"] == ((), "not measured")


def test_overhead_is_compared_within_a_kind():
    def one(kind, beyond):
        return {"kind": kind, "beyond": [beyond], "loop": [beyond + 1]}

    made = overhead.section(
        outcomes(
            of={
                ("ours", "1x16"): {"wall": 1.0, "euler": one(FIRST, 6.0), "adams2": one(SECOND, 9.0)},
                ("diffusers", "1x16"): {"wall": 1.0, "slow": one(FIRST, 40.0), "quick": one(FIRST, 12.0)},
            }
        )
    )
    found = verdicts(made)
    assert found[f"sampler's own time a step, 1x16, {FIRST}: ours to the fastest peer"] == ((0.5,), "yes")
    assert found[f"sampler's own time a step, 1x16, {SECOND}: ours to the fastest peer"] == (
        (),
        "not measured",
    )
    assert [row[2] for row in made.tables[0].rows] == ["euler", "quick", "slow", "adams2"]


def test_accuracy_is_compared_with_the_best_of_every_cell():
    def one(**errors):
        return {**{name: {} for name in accuracy.MEASURES}, "floor": 0.01, "RMSE": errors}

    made = accuracy.section(
        outcomes(
            of={
                ("ours", "2-D"): one(a=[1.0, 1.0, 1.0, 1.0], b=[3.0, 0.5, 3.0, 3.0]),
                ("diffusers", "2-D"): one(c=[2.0, 1.0, 4.0, 2.0], d=[4.0, 2.0, 2.0, 0.5]),
            }
        )
    )
    found = verdicts(made)
    what = "error of samplers, 2-D, RMSE, at 5, 10, 20, 50 evaluations: ours to the best peer"
    assert found[what] == ((0.5, 0.5, 0.5, 2.0), "no")
    assert found[what.replace("2-D", "16-D")] == ((), "not measured")


def test_the_other_parts_count_as_they_say():
    walls = {
        ("ours", "bare torch + safetensors"): 2.0,
        ("ours", "zoo.load"): 2.2,
        ("diffusers", "from_pretrained"): 4.0,
    }
    loaded = loading.section(outcomes(of={key: {"wall": wall} for key, wall in walls.items()}))
    assert [(t.values[0], t.met) for t in loaded.targets] == [
        (1.1, "yes"),
        (pytest.approx(1.818, abs=1e-3), "no"),
    ]
    imported = importing.section(outcomes(of={("ours", kind): {"seconds": 0.06} for kind in importing.KINDS}))
    assert [(t.values, t.met) for t in imported.targets] == [((60.0,), "no")]
    trained = processes.section(
        outcomes(
            of={
                ("ours", processes.ONE): {"losses": [1.0], "rate": [10.0]},
                ("ours", processes.WHOLE): {"losses": [2.0, 1.0], "rate": [9.0]},
                ("ours", processes.TWO): {"losses": [2.0, 1.0 + 1e-6], "rate": [18.0]},
            }
        )
    )
    assert [t.met for t in trained.targets] == ["yes", "yes"]


def test_a_part_without_any_outcome_is_told_all_the_same():
    for part in (overhead, accuracy, training, loading, importing, processes):
        made = part.section({})
        assert made.text() and {target.met for target in made.targets} == {"not measured"}


def test_the_report_tells_machine_versions_targets_and_what_is_left_out(tmp_path):
    part = Part(lambda plan: [], overhead.section, skipped=lambda: "it has no such thing")
    made = section(part, tmp_path, 1, False)
    assert made.about == "Left out: it has no such thing." and not made.tables and made.targets
    text = whole([made], "make bench")
    assert "`make bench`" in text and f"{os.cpu_count()} cores" in text and "diffusers==0.42.1" in text
    assert text.count("| not measured |") == len(made.targets)
    failed = Part(lambda plan: [Job(OURS, "job", ("-c", "raise ValueError('why')"), 1)], overhead.section)
    assert "- ours, job: exit status 1: ValueError: why" in section(failed, tmp_path, 1, False).text()


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
    times = [outcome.results[i]["at"] for i in range(2) for outcome in (one, two)]
    assert times == sorted(times) and one.results[0]["wall"] > 0
    assert fails.failure == "exit status 1: ValueError: why"
    assert others is None or others >= 0


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("print('what a library says')", "said something else than its result: what a library says"),
        (
            "import sys; print('E: bad\\nValueError: no\\n=====', file=sys.stderr); sys.exit(3)",
            "ValueError: no",
        ),
        ("import time; time.sleep(60)", "not done within 1 s"),
    ],
)
def test_what_goes_wrong_in_a_process_is_told_and_ends_no_run(tmp_path, monkeypatch, program, told):
    monkeypatch.setattr("benchmarks.peers.driver.LONGEST", 1 if "sleep" in program else 30)
    part = Part(lambda plan: [Job(OURS, "a", ("-c", program), 1)], lambda outcomes: None)
    outcomes, _ = run(part, tmp_path, 1, check=True)
    assert told in outcomes[OURS, "a"].failure and not outcomes[OURS, "a"].results


def test_the_mixture_denoises_and_its_ode_ends_in_the_data():
    mixture = Mixture(2)
    x = mixture.draw(4096, 0)
    assert abs(x.std(0).square().mean().sqrt().item() - 0.5) < 0.02
    torch.testing.assert_close(mixture.denoise(x, 1.0, 1e-4), x, atol=1e-3, rtol=0)
    z = torch.randn(64, 2, generator=torch.Generator().manual_seed(0))
    far = mixture.ode_end(80.0 * z, (80.0, 1.0), steps=400)
    # at so high a level, noise is about all that there is
    torch.testing.assert_close(far, mixture.ode_end(z, steps=400), atol=0.05, rtol=0)


def test_our_loops_and_solvers_run():
    measured = overhead.measure(CONTESTANT, [1, 4], steps=3, repeats=1)
    assert all(one["loop"][0] > 0 for one in measured.values())
    errors = accuracy.measure(CONTESTANT, dim=2, starts=16, drawn=32, steps=100)
    assert errors["RMSE"]["adams2"][3] < errors["RMSE"]["euler"][0] < 1


@pytest.mark.parametrize("task", list(training.PEERS))
def test_our_networks_train(task):
    measured = training.measure(CONTESTANT, task, batch=1, steps=1, warm=0)
    assert measured["rate"][0] > 0 and measured["parameters"] > 9e5
    assert set(TASKS) >= {task}


def test_our_training_loop_runs():
    losses, seconds = CONTESTANT.train(2, 1, 2)
    assert len(losses) == len(seconds) == 2
