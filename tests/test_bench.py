"""The benchmark beside the peers, without them: arithmetic, report, and our own cases at tiny size."""

import os
from dataclasses import replace

import pytest
import torch

from benchmarks.peers import __main__ as program
from benchmarks.peers import common, environments, results
from benchmarks.peers.contestants.interface import DENOISER, FIRST, NETWORK, SECOND, TASKS, Loop
from benchmarks.peers.contestants.ours import CONTESTANT
from benchmarks.peers.driver import Job, Outcome, Part, run, turns
from benchmarks.peers.environments import OURS
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
from benchmarks.peers.mixture import Mixture
from benchmarks.peers.report import END, START, Target, against, number, ratios, replaced, spread
from benchmarks.peers.results import Record, Setup
from tests.conftest import ROOT

DOCUMENT = f"# Title\n\nbefore\n\n{START}\nold\n{END}\n\nafter\n"


SETUP = Setup("2026-01-01", "a machine", ("torch 2", "diffusers==0"))


def outcomes(of):
    """Outcomes of (peer, job): a result, or those of several rounds; a failure is text."""
    return {
        key: Outcome(failure=one)
        if isinstance(one, str)
        else Outcome(one if isinstance(one, list) else [one])
        for key, one in of.items()
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


def test_targets_tell_whether_the_median_of_every_figure_keeps_the_bound():
    assert Target("", [[0.9], [1.0]], 1.0).met == "yes"
    assert Target("", [[0.9], [1.01]], 1.0).met == "no"
    assert Target("", [[0.1, 0.9, 7.0]], 1.0).met == "yes"
    assert Target("", [[1.3]], 1.3, at_most=False).met == "yes"
    assert Target("", [[1.29]], 1.3, at_most=False).met == "no"
    assert Target("", [], 1.0).met == "not measured"
    assert Target("", [[1.0, 2.0, 3.0, 4.0, 5.0]], 1.0).row()[2] == "3 (2–4)"


def test_ratios_are_taken_round_by_round_to_the_peer_with_the_best_median():
    assert ratios([3.0, 4.0], [2.0, 1.0]) == ((1.5, 4.0),)
    assert ratios([3.0], []) == ratios([], [2.0]) == ratios([3.0], [-0.1]) == ratios([-0.1], [3.0]) == ()
    assert ratios([1.0, -0.1, 1.0], [2.0, 2.0, 4.0]) == ((0.5, 0.25),)
    peers = {"steady": [4.0, 4.0, 4.0], "at times": [1.0, 5.0, 9.0], "never": []}
    quickest = against("", [2.0, 1.0, 4.0], peers, 0.5)
    assert quickest.values == ((0.5, 0.25, 1.0),) and quickest.met == "yes"
    most = against("", [5.0, 5.0, 9.0], peers, 1.0, at_most=False, missing=["lerobot"])
    assert most.values == ((5.0, 1.0, 1.0),) and most.met == "yes, without lerobot"


def test_figures_are_medians_with_quartiles():
    assert spread([4.0, 1.0, 2.0, 3.0, 5.0]) == "3 (2–4)"
    assert spread([0.012345]) == "0.0123"
    assert [number(x) for x in (1234.5, 99.96, -0.5, float("inf"))] == ["1234", "100", "-0.5", "inf"]


def test_training_is_compared_with_the_fastest_and_the_leanest_peer_that_there_are():
    def one(rate, mib, beyond):
        return {"parameters": 1_000_000, "gflop": 1.0, "rate": rate, "mib": mib, "beyond": beyond}

    task, alone, other, *_ = training.PEERS
    made = training.section(
        outcomes(
            {
                ("ours", task): one(300.0, 500.0, 50.0),
                ("diffusers", task): one(200.0, 400.0, None),
                ("torchcfm", task): one(100.0, 250.0, 100.0),
                ("lucidrains", task): "could not be installed",
                ("ours", alone): one(100.0, 500.0, None),
                ("ours", other): one(300.0, 500.0, 50.0),
                ("diffusers", other): "failed",
            }
        )
    )
    found = verdicts(made)
    rate, peak, beyond = (claim for claim, _, _ in training.CLAIMS.values())
    assert found[f"training, {task}: {rate}"] == (((1.5,),), "yes, without lucidrains")
    assert found[f"training, {task}: {peak}"] == (((2.0,),), "no, without lucidrains")
    assert found[f"training, {task}: {beyond}"] == (((0.5,),), "yes, without lucidrains")
    assert found[f"training, {other}: {rate}"] == ((), "not measured")
    assert not any(alone in what for what in found)
    assert [alone, "ours", "1.000M", "1", "100", "500", "–"] in made.tables[0].rows


def test_overhead_is_compared_within_a_kind_and_around_the_same():
    def one(kind, predicts, beyond):
        return {"kind": kind, "predicts": predicts, "beyond": beyond, "loop": beyond + 1}

    ours = {
        "a": one(FIRST, DENOISER, 6.0),
        "b": one(FIRST, NETWORK, 9.0),
        "c": one(SECOND, NETWORK, 9.0),
    }
    theirs = {"slow": one(FIRST, NETWORK, 40.0), "quick": one(FIRST, NETWORK, 12.0)}
    theirs["lost"] = {"kind": SECOND, "predicts": NETWORK, "error": "ValueError: why"}
    made = overhead.section(
        outcomes({("ours", "1x16"): {"samplers": ours}, ("diffusers", "1x16"): {"samplers": theirs}})
    )
    found = verdicts(made)
    what = "sampler's own time a step, 1x16, {}, around a {}: ours to the fastest peer"
    values, met = found[what.format(FIRST, NETWORK)]
    assert values == ((0.75,),) and met == "yes, without flow_matching, smalldiffusion, torchcfm, lucidrains"
    assert found[what.format(FIRST, DENOISER)] == ((), "not measured")
    assert found[what.format(SECOND, NETWORK)] == ((), "not measured")
    assert [row[3] for row in made.tables[0].rows] == ["a", "b", "quick", "slow", "c"]
    assert made.failures == ["diffusers, 1x16, lost: ValueError: why"]


def test_accuracy_is_compared_with_the_best_of_every_cell():
    def one(failed, **errors):
        return {"sliced W2": {}, "median": {}, "floor": 0.01, "RMSE": errors, "failed": failed}

    made = accuracy.section(
        outcomes(
            {
                ("ours", "2-D, mixture 0"): one({}, a=[1.0, 1.0, 1.0, 1.0], b=[3.0, 0.5, 3.0, 3.0]),
                ("diffusers", "2-D, mixture 0"): one({"e": "why"}, c=[2, 1, 4, 2], d=[4, 2, 2, 0.5]),
                **{(peer, "2-D, mixture 0"): one({}) for peer in accuracy.PEERS[2:]},
            }
        )
    )
    found = verdicts(made)
    what = "error of samplers, 2-D, mixture 0, RMSE, at 5, 10, 20, 50 evaluations: ours to the best peer"
    assert found[what] == (((0.5,), (0.5,), (0.5,), (2.0,)), "no, without k_diffusion, diffusers e")
    for other in ("16-D, mixture 0", "2-D, mixture 11"):
        assert found[what.replace("2-D, mixture 0", other)] == ((), "not measured")
    assert made.failures == ["diffusers e, 2-D, mixture 0: why"]
    assert len(made.tables) == 2 * len(accuracy.MEASURES)


def test_the_gpu_part_compares_what_is_compiled_and_tells_the_rest():
    def one(rate, failed=""):
        figures = {"rate": rate, "share": 0.5, "peak": 8e14, "gib": 12.0, "gflop": 3.0}
        return {**figures, "parameters": 2.7e7, "device": "a GPU", "failed": failed}

    unet, dit = gpu.TASKS
    made = gpu.section(
        outcomes(
            {
                ("ours", unet): [one(1300.0), one(1500.0)],
                ("diffusers", unet): [one(1000.0), one(1000.0)],
                ("ours", dit): one(1300.0, "InductorError: why"),
                ("diffusers", dit): one(1000.0),
            }
        )
    )
    assert [(target.values, target.met) for target in made.targets] == [
        (((1.3, 1.5),), "yes"),
        ((), "not measured"),
    ]
    assert made.failures == [f"ours, {dit}, compiling: InductorError: why"]
    assert made.about.startswith("a GPU; ") and len(made.tables[0].rows) == 4
    assert made.tables[0].rows[2][1:] == ["ours, not compiled", "27.0M", "3", "1300", "12", "50", "800"]


def test_inference_is_told_by_task():
    task, *_ = inference.TASKS
    made = inference.section(
        outcomes(
            {
                ("ours", task): [{"parameters": 2_000_000, "ms": ms} for ms in (1.0, 2.0, 3.0)],
                ("lerobot", task): "failed",
            }
        )
    )
    assert made.tables[0].rows == [[task, "ours", "2.00M", "2 (1.5–2.5)"]]


def test_the_other_parts_count_as_they_say():
    walls = {
        ("ours", "bare torch + safetensors"): 2.0,
        ("ours", "zoo.load"): 2.2,
        ("diffusers", "from_pretrained"): 4.0,
    }
    loaded = loading.section(outcomes({key: {"wall": wall} for key, wall in walls.items()}))
    assert [(t.values, t.met) for t in loaded.targets] == [
        (((1.1,),), "yes"),
        (((pytest.approx(1.818, abs=1e-3),),), "no"),
    ]
    imported = importing.section(outcomes({("ours", kind): {"seconds": 0.06} for kind in importing.KINDS}))
    assert [(t.values, t.met) for t in imported.targets] == [([[60.0]], "no")]
    trained = processes.section(
        outcomes(
            {
                ("ours", processes.LOSSES[processes.WHOLE]): {"losses": [2.0, 1.0]},
                ("ours", processes.LOSSES[processes.TWO]): {"losses": [2.0, 1.0 + 1e-6]},
                ("ours", processes.ONE): [{"rate": 10.0}, {"rate": 20.0}],
                ("ours", processes.TWO): [{"rate": 18.0}, {"rate": 34.0}],
            }
        )
    )
    assert [t.met for t in trained.targets] == ["yes", "yes"]
    assert trained.targets[1].values == ((1.8, 1.7),)


def test_a_part_without_any_outcome_is_told_all_the_same():
    for part in program.PARTS.values():
        made = part.section({})
        assert made.text() and {target.met for target in made.targets} <= {"not measured"}


def test_the_report_tells_machine_versions_targets_and_what_is_left_out():
    part = program.PARTS["overhead"]
    record = Record(SETUP, {}, skipped="it has no such thing")
    made = program.section(part, record)
    assert made.about == "Left out: it has no such thing." and not made.tables and made.targets
    text = program.whole({"overhead": record}, [made], "make bench")
    assert text.startswith("`make bench` on 2026-01-01: a machine; torch 2, diffusers==0. ")
    assert text.count("| not measured |") == len(made.targets)
    elsewhere = replace(record, setup=replace(SETUP, machine="another"))
    text = program.whole({"overhead": record, "gpu": elsewhere}, [made], "make bench")
    assert "overhead on 2026-01-01: a machine;" in text and "gpu on 2026-01-01: another;" in text


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


@pytest.fixture
def two_parts(monkeypatch, tmp_path):
    """A program of two parts, quick and without peers, and a document; returns what it was run with."""
    say = Job(OURS, "job", ("-c", "print('{}')"), 1)
    part = Part(lambda plan: [say], overhead.section)
    monkeypatch.setattr(program, "PARTS", {"overhead": part, "gpu": replace(part, section=gpu.section)})
    monkeypatch.setattr(program, "DOCUMENT", tmp_path / "document.md")
    monkeypatch.setattr(program, "at_rest", lambda: 0.0)
    program.DOCUMENT.write_text(DOCUMENT)
    return ["--envs", str(tmp_path / "envs"), "--rounds", "2"]


def test_the_document_is_made_again_from_the_file_without_a_run(two_parts, tmp_path, monkeypatch, capsys):
    with pytest.raises(SystemExit, match=r"no results of overhead, gpu in .*results\.json"):
        program.main([*two_parts, "--again"])
    program.main([*two_parts, "--write"])
    written = program.DOCUMENT.read_text()
    assert f"{os.cpu_count()} cores" in written and "diffusers==0.42.1" in written
    assert [file.name for file in (tmp_path / "envs").iterdir()] == ["results.json"]
    monkeypatch.setattr(program, "run", lambda *_: pytest.fail("it ran"))
    monkeypatch.setattr(program, "machine", lambda: "another machine")
    program.DOCUMENT.write_text(DOCUMENT)
    program.main([*two_parts, "--again", "--write"])
    assert program.DOCUMENT.read_text() == written
    capsys.readouterr()
    program.main([*two_parts, "gpu", "--again"])
    assert "### GPU" in capsys.readouterr().out


def test_a_part_that_is_run_alone_replaces_its_own_and_a_check_nothing(two_parts, tmp_path, monkeypatch):
    file = tmp_path / "envs" / "results.json"
    program.main(two_parts)
    kept = results.read(file)
    assert [len(record.outcomes[OURS, "job"].results) for record in kept.values()] == [2, 2]
    program.main([*two_parts, "gpu", "--rounds", "1"])
    again = results.read(file)
    assert again["overhead"] == kept["overhead"] and len(again["gpu"].outcomes[OURS, "job"].results) == 1
    program.main([*two_parts, "--check"])
    assert results.read(file) == again
    skipped = replace(program.PARTS["gpu"], skipped=lambda: "no GPU here")
    monkeypatch.setitem(program.PARTS, "gpu", skipped)
    program.main([*two_parts, "gpu"])
    assert results.read(file) == again  # another machine could, and its figures stay


def test_the_file_is_whole_or_as_it_was(tmp_path, monkeypatch):
    file, record = tmp_path / "results.json", Record(SETUP, outcomes({(OURS, "a"): {"rate": 1.5}}), 0.02)
    results.write(file, {"training": record})
    assert results.read(file) == {"training": record}
    monkeypatch.setattr(os, "replace", lambda *_: 1 / 0)  # as if it were killed just before
    with pytest.raises(ZeroDivisionError):
        results.write(file, {})
    assert results.read(file) == {"training": record}


def test_the_document_is_not_written_while_other_processes_are_busy(two_parts, monkeypatch):
    monkeypatch.setattr(program, "at_rest", lambda: 0.7)
    monkeypatch.setattr(program, "run", lambda *_: pytest.fail("it ran"))
    with pytest.raises(SystemExit, match=r"other processes use 0\.70 cores"):
        program.main([*two_parts, "--write"])
    assert program.DOCUMENT.read_text() == DOCUMENT


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
    measured = overhead.measure(CONTESTANT, [1, 4], steps=3, repeats=1)["samplers"]
    assert all(one["loop"] > 0 for one in measured.values())
    assert {(one["predicts"], one["kind"]) for one in measured.values()} >= set(overhead.PEERS)
    errors = accuracy.measure(CONTESTANT, dim=2, seed=0, starts=16, drawn=32, steps=100)
    assert errors["RMSE"]["adams2"][3] < errors["RMSE"]["euler"][0] < 1 and errors["sliced W2"]
    assert not accuracy.measure(CONTESTANT, dim=2, seed=1, starts=2, drawn=0, steps=2)["sliced W2"]


def fails(*_):
    raise ValueError("first line\nsecond")


def test_the_error_of_one_sampler_leaves_the_others():
    loops = {"bad": Loop(FIRST, fails), "good": Loop(FIRST, lambda x: x)}
    measured = overhead.measure(replace(CONTESTANT, loops=lambda *_: loops), [1, 4], steps=3, repeats=1)
    assert measured["samplers"]["bad"]["error"] == "ValueError: first line second"
    assert measured["samplers"]["good"]["loop"] > 0
    solvers, noisy = ({"bad": fails, "good": of[name]} for of, name in (
        (CONTESTANT.deterministic, "euler"), (CONTESTANT.stochastic, "ddpm"),
    ))  # fmt: skip
    errors = accuracy.measure(
        replace(CONTESTANT, deterministic=solvers, stochastic={**noisy, "worse": fails}), 2, 0, 4, 8, 5
    )
    assert errors["failed"] == dict.fromkeys(("bad", "worse"), "ValueError: first line second")
    assert list(errors["RMSE"]) == list(errors["median"]) == list(errors["sliced W2"]) == ["good"]


def test_attention_counts_among_the_work():
    q = torch.randn(1, 2, 8, 4)
    flop = 2 * 2 * (2 * 8 * 8 * 4)  # q k and what is made of v, in two heads
    assert common.gflop(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q)) == flop / 1e9


@pytest.mark.parametrize("task", list(training.PEERS))
def test_our_networks_train(task):
    measured = training.measure(CONTESTANT, task, batch=1, steps=1, warm=0)
    assert measured["rate"] > 0 and measured["parameters"] > 9e5 and measured["gflop"] > 0
    assert measured["beyond"] is None or 0 <= measured["beyond"] < measured["mib"]
    assert set(TASKS) >= {task}


def test_our_training_loop_runs():
    losses, seconds = CONTESTANT.train(2, 1, 2)
    assert len(losses) == len(seconds) == 2
