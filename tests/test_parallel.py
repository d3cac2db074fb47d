"""Several processes train what one trains: the same batches, losses and weights, replicated or sharded."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pandas
import pytest
import torch
from safetensors.torch import load_file

import zoo
from tests import parallel_worker as worker
from zoo import parallel, processes, registry
from zoo.cli import verbs
from zoo.domain import Items
from zoo.engine import Batch, Members, NetworkDenoiser, PowerEMA
from zoo.engine.sampler import Samples
from zoo.errors import OptionError, TrainingError
from zoo.fit import fit
from zoo.optimizer import Optimizer
from zoo.requests import SampleRequest
from zoo.run import learning_rate
from zoo.scale import Scale
from zoo.seeds import draw, generator, seed_of, validation_batches

HERE = Path(__file__).parent
SHARD = {"shard": True}
DOMAINS = sorted(set(registry.names()) - {"rings"})


@pytest.fixture(scope="session")
def torchrun(environment):
    """Runs a script by torchrun."""

    def launch(count: int, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
        return subprocess.run(
            [*command, *args],
            cwd=cwd,
            env=environment | {"OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )

    return launch


def jobs(torchrun, count: int, **by_folder) -> None:
    done = torchrun(count, str(HERE / "parallel_worker.py"), json.dumps(by_folder))
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Folders of runs by this process, which works through all parts in turn."""
    top = tmp_path_factory.mktemp("alone")
    worker.run(top / "plain")
    worker.run(top / "muon", training={"muon": ["blocks"]})
    return top


@pytest.fixture(scope="module")
def by_two(torchrun, alone, tmp_path_factory):
    """Folders of runs by two processes; "moved" was begun by this one, and is stopped once more."""
    top = tmp_path_factory.mktemp("two")
    worker.run(top / "moved", stop=[4 * 5, signal.SIGTERM, 0])
    jobs(
        torchrun,
        2,
        **{
            str(top / "replicated"): {},
            str(top / "sharded"): {"scale": SHARD},
            str(top / "sharded and recomputed"): {"scale": {"shard": True, "recompute": True}},
            str(top / "muon"): {"training": {"muon": ["blocks"]}},
            str(top / "muon sharded"): {"training": {"muon": ["blocks"]}, "scale": SHARD},
            str(top / "moved"): {"scale": SHARD, "resume": True, "stop": [2 * 4, signal.SIGINT, 1]},
        },
    )
    return top


def rows(folder: Path) -> list[list[float]]:
    """The loss curve: losses, validations, learning rates and norms of the gradient."""
    with (folder / "log.csv").open(newline="") as file:
        columns = ("step", "loss", "validation", "lr", "gradient")
        return [[float(row[c] or 0) for c in columns] for row in csv.DictReader(file)]


def assert_same(folder: Path, other: Path, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(
        torch.tensor(rows(folder)), torch.tensor(rows(other)), rtol=tolerance, atol=tolerance
    )
    ours, theirs = load_file(folder / "best.safetensors"), load_file(other / "best.safetensors")
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=tolerance, msg=name)


@pytest.mark.parametrize("how", ["replicated", "sharded", "sharded and recomputed"])
def test_two_processes_train_what_one_trains(alone, by_two, how):
    assert_same(alone / "plain", by_two / how)


@pytest.mark.parametrize("how", ["muon", "muon sharded"])
def test_two_processes_train_with_muon_what_one_trains(alone, by_two, how):
    assert_same(alone / "muon", by_two / how, 5e-3)  # its bfloat16 makes much of the last bit of a gradient


def test_a_run_moves_between_numbers_of_processes(alone, by_two):
    """Begun by one, gone on with by two that share the weights, stopped by the second, ended by one."""
    moved = by_two / "moved"
    assert (moved / "stopped.0").read_text() == (moved / "stopped.1").read_text() == "KeyboardInterrupt"
    worker.run(moved, resume=True)
    ours, theirs = load_file(moved / "best.safetensors"), load_file(alone / "plain" / "best.safetensors")
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-5)
    validations = [[row for row in rows(f) if row[2]] for f in (moved, alone / "plain")]
    torch.testing.assert_close(torch.tensor(validations[0]), torch.tensor(validations[1]), rtol=1e-5, atol=0)


def test_four_processes_train_what_one_trains(alone, torchrun, tmp_path):
    jobs(torchrun, 4, **{str(tmp_path / "replicated"): {}, str(tmp_path / "sharded"): {"scale": SHARD}})
    for how in ("replicated", "sharded"):
        assert_same(alone / "plain", tmp_path / how)


@pytest.fixture(scope="module")
def domains_by_two(torchrun, tmp_path_factory):
    """Folders of runs by two processes, named after domains; what they draw together is checked there."""
    top = tmp_path_factory.mktemp("domains")
    replicated = {str(top / "replicated" / name): {"domain": name} for name in DOMAINS}
    sharded = {"shard": True, "recompute": True}
    jobs(
        torchrun,
        2,
        **replicated,
        **{str(top / "sharded" / name): {"domain": name, **sharded} for name in DOMAINS},
    )
    return top


@pytest.mark.parametrize("how", ["replicated", "sharded"])
@pytest.mark.parametrize("name", DOMAINS)
def test_two_processes_train_and_draw_of_every_domain_what_one_does(domains_by_two, tmp_path, name, how):
    worker.train(name, tmp_path / "one")
    ours, theirs = (torch.tensor(rows(folder)) for folder in (domains_by_two / how / name, tmp_path / "one"))
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", DOMAINS)
def test_every_domain_trains_in_mixed_precision(name):
    half, full = worker.train(name, precision="bf16").metrics[0], worker.train(name).metrics[0]
    assert half.value == pytest.approx(full.value, rel=0.02)
    assert half.value != full.value


RUNNER = """
import sys
import rings
from zoo import processes
from zoo.errors import DataError

if sys.argv.pop(1) == "spoilt":
    honest = rings.Rings.dataset
    def dataset(self, source, split, *rest):
        data = honest(self, source, split, *rest)
        if split == "train" and rest[1:]:
            batch, left = data.batch, [5]
            def spoilt(size, generator):
                left[0] -= 1
                if processes.rank() == 1 and left[0] == 0:
                    raise DataError("row 7 is spoilt")
                return batch(size, generator)
            data.batch = spoilt
        return data
    rings.Rings.dataset = dataset
from zoo.cli import main
main()
"""


def test_command_trains_by_two_processes_and_one_speaks(torchrun, python, tmp_path):
    command = ["zoo", "train", "rings", "--steps", "20", "--device", "cpu"]
    by_two = torchrun(2, "-m", *command, "--out", "two", cwd=tmp_path)
    assert by_two.returncode == 0, by_two.stderr
    assert by_two.stdout.count("loss on held-out data") == 1
    assert by_two.stderr.count("validation loss by noise level") == 1
    one = python("-m", *command, "--parts", "2", "--out", "one", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("two", "one"))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-5)
    assert zoo.load(tmp_path / "two").recipe.training.parts == 2
    command = ["zoo", "sample", "./two", "-n", "7", "--seed", "3", "--device", "cpu", "--out"]
    by_two = torchrun(2, "-m", *command, "drawn.csv", cwd=tmp_path)
    assert by_two.returncode == 0, by_two.stderr
    points = pandas.read_csv(tmp_path / "drawn.csv")
    pandas.testing.assert_frame_equal(points, zoo.load(tmp_path / "two").sample(7, seed=3), atol=1e-4)


def test_each_process_draws_its_share_for_its_own_conditions(monkeypatch):
    """What two processes draw, one after the other here, adds up to what one draws."""

    def draw(members, one, each):
        return Samples(members.normal((2,)) + one + each.repeat_interleave(2, 0), 1.0)

    one, each = torch.ones(1, 2), torch.arange(6.0).view(3, 2)
    drawn = []
    monkeypatch.setattr(parallel, "join", lambda on: None)
    monkeypatch.setattr(torch.distributed, "all_reduce", drawn.append)
    for rank in (0, 1):
        monkeypatch.setenv("RANK", str(rank))
        as_two(monkeypatch)
        share, members = parallel.Share(6, (1, 3)), Members(0, range(6))
        share.gathered(draw(share.noise(members), share.of(one), share.of(each)))
    assert [int((own != 0).any(1).sum()) for own in drawn] == [2, 4]
    assert torch.equal(sum(drawn), draw(Members(0, range(6)), one, each).x)


def as_two(monkeypatch) -> None:
    for name, value in (("MASTER_ADDR", "localhost"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)


def test_what_others_than_the_main_process_write_is_lost(monkeypatch):
    request = SampleRequest(data=Path("data.csv"), out=Path("out.csv"), n=3)
    with verbs._together(request) as own:
        assert own == request
    monkeypatch.setenv("RANK", "1")
    as_two(monkeypatch)
    with verbs._together(request) as own:
        assert own.out.name == "out.csv"
        assert own.out.parent.is_dir() and own.out.parent != Path()
        assert replace(own, out=request.out) == request
    assert not own.out.parent.exists()


def test_error_of_one_process_ends_all_and_is_told_once(torchrun, tmp_path):
    (tmp_path / "runner.py").write_text(RUNNER)
    command = ["train", "rings", "--steps", "50", "--device", "cpu", "--out", "run"]
    done = torchrun(2, "runner.py", "spoilt", *command, cwd=tmp_path)
    assert done.returncode != 0
    assert [line for line in done.stderr.splitlines() if line.startswith("zoo: ")] == ["zoo: row 7 is spoilt"]
    assert "Connection" not in done.stderr  # what the other process died of
    assert not (tmp_path / "run" / "zoo.json").exists()


def test_a_resumed_run_keeps_its_parts(rings, tmp_path, monkeypatch):
    def dies(data, training, step):
        if step == 3:
            raise RuntimeError("killed")
        return draw(data, training, step)

    def train(**how):
        return zoo.train(rings, rings.example(), steps=6, out=tmp_path / "run", show=False, **how)

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="killed"):
        patch.setattr("zoo.fit.draw", dies)
        train(parts=4, save_seconds=0.0)
    with pytest.raises(TrainingError, match="parts: 4 there, 2 here"):
        train(parts=2, resume=True)
    assert train(resume=True).recipe.training.parts == 4


def test_parts_that_cannot_be_shared_are_refused(rings, monkeypatch):
    with pytest.raises(TrainingError, match="64 items cannot be cut into 3 equal parts"):
        zoo.train(rings, rings.example(), parts=3, show=False)
    monkeypatch.setenv("RANK", "1")
    as_two(monkeypatch)
    assert processes.share(6) == range(3, 6)
    with pytest.raises(
        TrainingError, match=r"2 processes cannot evenly share .* parts is 5: choose a multiple of 2"
    ):
        processes.share(5)


def test_a_batch_in_one_piece_trains_as_it_always_did():
    """The loop written out, with the seeds of (seed, k) alone: bit for bit."""
    training = worker.settings(parts=1)
    expected, data = worker.denoiser().train(), worker.points(0)
    optimizer, ema = Optimizer(expected, training), PowerEMA(expected, training.ema_widths)
    with torch.random.fork_rng(devices=[]):
        for k in range(training.steps):
            torch.manual_seed(seed_of(training.seed, "dropout", k))
            optimizer.zero_grad()
            batch = data.batch(training.batch_size, generator("cpu", training.seed, "data", k))
            expected.loss(batch, generator("cpu", training.seed, "noise", k)).mean().backward()
            torch.nn.utils.clip_grad_norm_(expected.parameters(), training.clip)
            optimizer.step(learning_rate(k, training))
            ema.update(k + 1)
    trained = worker.denoiser()
    fitted = fit(trained, data, worker.points(1), training, show=False)
    for name, tensor in expected.state_dict().items():
        assert torch.equal(tensor, trained.state_dict()[name])
    assert any(
        all(torch.equal(t, fitted.tensors[k]) for k, t in average.items())
        for average in ema.averages.values()
    )


def test_parts_differ_and_depend_on_seed_step_and_number_alone(monkeypatch):
    data, training = worker.points(0), worker.settings()
    parts = draw(data, training, 3)
    assert [len(batch.x) for batch in parts.values()] == [4] * 4
    assert len({batch.x.sum().item() for batch in parts.values()}) == 4
    monkeypatch.setenv("RANK", "1")
    as_two(monkeypatch)
    own = draw(data, training, 3)
    assert list(own) == [2, 3]
    assert all(torch.equal(batch.x, parts[number].x) for number, batch in own.items())
    held_out = [validation_batches(data, training, part)[0].x for part in range(4)]
    assert len({x.sum().item() for x in held_out}) == 4


class Plain(NetworkDenoiser):
    """A denoiser whose loss is a mean over items, without noise."""

    def loss(self, batch, generator):
        t = torch.full((len(batch.x),), 0.5)
        return (self(batch.x, t, {}) - 1).square().mean(1)


class InOrder(Items):
    """Points in order, from the first again after the last."""

    at = 0

    def batch(self, size, generator):
        rows = torch.arange(self.at, self.at + size) % len(self)
        self.at += size
        return Batch(self.x[rows], {})


def test_parts_in_turn_give_the_gradient_of_the_whole_batch():
    results = []
    for parts in (1, 4):
        network = worker.denoiser()
        network.network.blocks = network.network.blocks[:0]  # without dropout
        plain = Plain(network.network, network.path, network.scaling, network.objective)
        fit(plain, InOrder(worker.points(0).x), worker.points(1), worker.settings(parts=parts), show=False)
        results.append(plain.state_dict())
    for name, tensor in results[0].items():
        torch.testing.assert_close(tensor, results[1][name], rtol=0, atol=1e-6)


def trained(**scale) -> dict[str, torch.Tensor]:
    network = worker.denoiser()
    fit(network, worker.points(0), worker.points(1), worker.settings(), scale=Scale(**scale), show=False)
    assert not any("forward" in vars(module) for module in network.modules())
    deepcopy(network)
    return network.state_dict()


def test_recomputed_activations_change_nothing():
    plain, again = trained(), trained(recompute=True)
    assert all(torch.equal(tensor, again[name]) for name, tensor in plain.items())


def test_bf16_keeps_weights_in_single_precision_and_ends_nearby():
    plain, half = trained(), trained(precision="bf16")
    assert all(tensor.dtype == torch.float32 for tensor in half.values())
    changed = torch.cat([(tensor - half[name]).abs().flatten() for name, tensor in plain.items()])
    assert 1e-6 < changed.mean() < 1e-3


def test_training_goes_on_where_compilation_fails(monkeypatch):
    def compiler(forward, options):
        def compiled(*args):
            raise RuntimeError("no compiler here")

        return compiled

    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.warns(UserWarning, match=r"without torch\.compile, which failed: no compiler here"):
        compiled = trained(compile=True)
    plain = trained()
    assert all(torch.equal(tensor, compiled[name]) for name, tensor in plain.items())


@pytest.mark.parametrize("fails", [True, False])
def test_compilation_and_recomputed_activations_go_together(monkeypatch, fails):
    def compiler(forward, options):
        return (lambda *args: 1 / 0) if fails else forward

    monkeypatch.setattr(torch, "compile", compiler)
    with pytest.warns(UserWarning, match="division") if fails else nullcontext():
        both = trained(compile=True, recompute=True)
    plain = trained()
    assert all(torch.equal(tensor, both[name]) for name, tensor in plain.items())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_training_ends_with_the_same_weights(recwarn):
    compiled, plain = trained(compile=True), trained()
    assert not [w for w in recwarn if "without torch.compile" in str(w.message)]
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, rtol=0, atol=1e-5)


def test_unknown_precision_is_refused(rings):
    with pytest.raises(OptionError, match="float32"):
        Scale(precision="fp8")  # pyright: ignore[reportArgumentType]


def test_a_run_on_its_own_sets_up_nothing(python):
    code = """
import sys, torch, zoo.training
assert not {"torch.distributed.fsdp", "torch.distributed.tensor"} & sys.modules.keys()
import rings  # torch.optim imports them for reasons of its own
zoo.train(rings.domain, rings.domain.example(), steps=2, show=False)
assert not torch.distributed.is_initialized()
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr


def test_the_state_is_written_by_one_process_alone(by_two):
    assert (by_two / "replicated" / "log.csv").is_file()
    assert not os.path.exists(by_two / "replicated" / "training.safetensors")  # nothing was due
