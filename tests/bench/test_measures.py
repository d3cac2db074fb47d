"""The measures of the benchmark, without the peers: the sections of the parts, and our own cases, tiny."""

from dataclasses import replace

import pytest
import torch

from benchmarks.peers import __main__ as program
from benchmarks.peers import common
from benchmarks.peers.contestants.interface import DENOISER, FIRST, NETWORK, SECOND, TASKS, Loop
from benchmarks.peers.contestants.ours import CONTESTANT
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
from tests.bench.outcomes import outcomes


def verdicts(section):
    return {target.what: (target.values, target.met) for target in section.targets}


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
