"""Training: exact resume, saved on every way to die, never worse than the start."""

import csv
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest
import torch
from torch import nn

import zoo
import zoo.fit as zoo_fit
from zoo.checkpoint import PARTIAL, STATE
from zoo.domain import Dataset, Items, Training
from zoo.engine import PATHS, Batch, NetworkDenoiser, Objective
from zoo.errors import DataError, OptionError, TrainingError
from zoo.fit import draw, fit
from zoo.run import DivergedError, Saving
from zoo.seeds import generator, validation_batches
from zoo.state import read_state, write_state

SHORT = Training(steps=20, batch_size=16, lr=1e-2, validate_every=4, validation_batches=2)


class Wobbly(nn.Module):
    """A network with dropout, so that training draws from torch's global generator too."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 16), nn.SiLU(), nn.Dropout(0.5), nn.Linear(16, 2))

    def forward(self, x, noise, cond, mask):
        return self.layers(torch.cat([x, noise[:, None]], dim=1))


def denoiser() -> NetworkDenoiser:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return NetworkDenoiser(Wobbly(), PATHS["linear"](), "flow", Objective())


def points(seed: int) -> torch.Tensor:
    return torch.randn(200, 2, generator=torch.Generator().manual_seed(seed)) * torch.tensor([1.0, 0.1])


class Watched(Dataset):
    """Points that call back before a given batch: to be killed at, or to be spoilt at."""

    def __init__(self, call, at):
        self.items, self.call, self.at, self.count = Items(points(0)), call, at, 0

    def __len__(self):
        return len(self.items)

    def batch(self, size, generator):
        batch = self.items.batch(size, generator)
        self.count += 1
        return (self.call(batch) or batch) if self.count == self.at else batch


class Killed(BaseException):
    """What a killed process looks like from inside."""


def die(batch):
    raise Killed


def run(data, folder=None, resume=False, training=SHORT, seconds=0.0, start=None):
    saving = None if folder is None else Saving(folder, seconds, {"run": "test"}, resume)
    network = start or denoiser()
    return fit(network, data, Items(points(1)), training, saving=saving, show=False), network


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


@pytest.mark.parametrize(("killed_at", "muon"), [(1, ()), (10, ()), (13, ("layers",)), (20, ())])
def test_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path, killed_at, muon):
    training = replace(SHORT, muon=muon)
    whole, network = run(Items(points(0)), tmp_path / "whole", training=training)
    with pytest.raises(Killed):
        run(Watched(die, killed_at), tmp_path / "parts", training=training)
    torch.rand(7)  # the global generator has moved on in between
    resumed, again = run(Items(points(0)), tmp_path / "parts", resume=True, training=training)
    assert (whole.step, whole.loss, whole.first) == (resumed.step, resumed.loss, resumed.first)
    for name, tensor in whole.tensors.items():
        assert torch.equal(tensor, resumed.tensors[name])
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])
    # The log is averaged over the rows' own steps, so only whole rows can be compared.
    assert [r for r in rows(tmp_path / "whole") if r["validation"]] == [
        r for r in rows(tmp_path / "parts") if r["validation"]
    ]


@pytest.mark.parametrize(
    ("number", "error"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]
)
def test_signals_save_first(tmp_path, number, error):
    handler = signal.getsignal(number)
    with pytest.raises(error):
        run(Watched(lambda batch: os.kill(os.getpid(), number), 7), tmp_path, seconds=1e9)
    assert read_state(tmp_path / STATE)["step"] in (6, 7)  # the batch of step 7 is drawn while step 6 runs
    assert signal.getsignal(number) is handler


def test_killed_process_resumes_from_its_last_save(plugins, tmp_path, python):
    """The real thing: SIGKILL from outside, then the same command with --resume."""
    command = ["-m", "zoo", "train", "rings", "--steps", "600", "--device", "cpu"]
    often = "import zoo.training; zoo.training.train.__kwdefaults__['save_seconds'] = 0.0"
    code = f"{often}\nfrom zoo.cli import main; main()"
    paths = os.pathsep.join([str(plugins), str(os.getcwd())])
    process = subprocess.Popen(
        [sys.executable, "-c", code, *command[2:], "--out", "killed"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / STATE).is_file() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    (tmp_path / "killed" / PARTIAL).write_bytes(b"cut short")  # killed in the middle of a save
    assert not (tmp_path / "killed" / "zoo.json").exists()
    refused = python(*command, "--out", "killed", cwd=tmp_path)
    assert refused.returncode == 2
    assert "unfinished run" in refused.stderr
    for arguments in (["--out", "killed", "--resume"], ["--out", "whole"]):
        done = python(*command, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("killed", "whole")]
    assert weights[0] == weights[1]


def test_a_state_may_hold_tensors_that_share_memory_and_is_one_file(tmp_path):
    weight = torch.arange(6.0)
    write_state(
        tmp_path / STATE, {"a": weight, "b": weight, "part": weight[2:4], "turned": weight.view(2, 3).T}
    )
    found = read_state(tmp_path / STATE)
    assert torch.equal(found["a"], weight) and torch.equal(found["b"], weight)
    assert found["part"].tolist() == [2.0, 3.0] and found["turned"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert [path.name for path in tmp_path.iterdir()] == [STATE]


def test_state_survives_a_kill_while_it_is_written(tmp_path, monkeypatch):
    write_state(tmp_path / STATE, {"step": 1, "w": torch.ones(2)})
    monkeypatch.setattr(os, "fsync", lambda number: (_ for _ in ()).throw(Killed()))
    with pytest.raises(Killed):
        write_state(tmp_path / STATE, {"step": 2, "w": torch.zeros(2)})
    tree = read_state(tmp_path / STATE)
    assert tree["step"] == 1
    assert torch.equal(tree["w"], torch.ones(2))


def test_state_keeps_the_shape_of_a_tree(tmp_path):
    tree = {"a": {0: [torch.arange(3), 1.5, None, True], 1: {"x": float("inf")}}, "b": torch.tensor(2.0)}
    write_state(tmp_path / "s", tree)
    back = read_state(tmp_path / "s")
    assert torch.equal(back["a"][0].pop(0), tree["a"][0].pop(0))
    assert back == tree


def test_damaged_state_says_so(tmp_path):
    (tmp_path / STATE).write_bytes(b"\x80\x04 not a state")
    with pytest.raises(TrainingError, match="damaged"):
        run(Items(points(0)), tmp_path, resume=True)


def test_resume_refuses_another_run_and_names_the_difference(rings, tmp_path):
    with pytest.raises(Killed):
        run(Watched(die, 5), tmp_path)
    saving = Saving(tmp_path, 0.0, {"run": "other"}, resume=True)
    with pytest.raises(TrainingError, match="run: test there, other here"):
        fit(denoiser(), Items(points(0)), Items(points(1)), SHORT, saving=saving, show=False)


@pytest.fixture
def interrupted(monkeypatch):
    """Runs a verb of the zoo that dies before its step 5, saved after every step."""

    def start(verb, *args, **options):
        def dies(data, training, step):
            return die(None) if step == 5 else draw(data, training, step)

        with monkeypatch.context() as patch:
            patch.setattr(zoo_fit, "draw", dies)
            with pytest.raises(Killed):
                verb(*args, **options, save_seconds=0.0)

    return start


@pytest.mark.parametrize("factor", [1000, 1024])  # by a power of two, standardised data are the same bits
def test_resume_refuses_other_data_of_the_same_size(rings, tmp_path, interrupted, factor):
    data, options = rings.example(), {"steps": 20, "out": tmp_path / "r", "show": False}
    interrupted(zoo.train, rings, data, **options)
    with pytest.raises(
        TrainingError, match="cannot resume: the run there had other data or settings; sha256"
    ):
        zoo.train(rings, data * factor, resume=True, **options)
    zoo.train(rings, data, resume=True, **options)


def test_resume_refuses_another_file_that_is_encoded_alike(rings, tmp_path, interrupted):
    file, options = tmp_path / "points.csv", {"steps": 20, "out": tmp_path / "r", "show": False}
    rings.example().to_csv(file)
    interrupted(zoo.train, rings, file, **options)
    rings.example().assign(z=1).to_csv(file)
    with pytest.raises(TrainingError, match="sha256 of the data file"):
        zoo.train(rings, file, resume=True, **options)
    rings.example().to_csv(file)
    zoo.train(rings, file, resume=True, **options)


def test_resumed_finetuning_refuses_other_data_and_another_parent(rings, model, tmp_path, interrupted):
    data, options = rings.example(), {"steps": 20, "out": tmp_path / "r", "show": False}
    interrupted(zoo.finetune, model, data, **options)
    with pytest.raises(TrainingError, match="sha256 of held-out data"):
        zoo.finetune(model, data * 1000, resume=True, **options)
    other = model.copy()
    with torch.no_grad():
        next(other.denoiser.parameters()).mul_(1.01)
    with pytest.raises(TrainingError, match="sha256 of the parent"):
        zoo.finetune(other, data, resume=True, **options)
    zoo.finetune(model, data, resume=True, **options)


def test_nothing_to_resume(rings, tmp_path):
    zoo.train(rings, rings.example(), steps=2, out=tmp_path / "r", resume=True, show=False)
    with pytest.raises(TrainingError, match="finished"):
        zoo.train(rings, rings.example(), steps=2, out=tmp_path / "r", resume=True, show=False)


def test_divergence_is_told_with_its_step_and_keeps_the_best(tmp_path):
    spoil = Watched(lambda batch: Batch(batch.x * float("nan"), {}), 15)
    with pytest.raises(DivergedError, match="at step 15") as caught:
        run(spoil)
    assert caught.value.best.step in (4, 8, 12)
    assert all(t.isfinite().all() for t in caught.value.best.tensors.values())


def test_held_out_data_that_give_no_loss_are_refused():
    with pytest.raises(TrainingError, match="held-out data is nan at the start"):
        fit(denoiser(), Items(points(0)), Items(points(1) * float("nan")), SHORT, show=False)


def test_diverged_training_leaves_a_checkpoint_that_loads(rings, tmp_path, monkeypatch):
    recipe = replace(rings.recipes["rings-flow"], training=SHORT)
    honest = rings.dataset

    def spoilt(source, split, *rest):
        data = honest(source, split, *rest)
        if split == "validation":
            return data
        watched = Watched(lambda batch: Batch(batch.x * float("inf"), {}), 15)
        watched.items, watched.x = data, data.x
        return watched

    monkeypatch.setattr(type(rings), "dataset", staticmethod(spoilt))
    with pytest.raises(TrainingError, match="are in") as caught:
        zoo.train(rings, rings.example(), recipe=recipe, out=tmp_path / "r", show=False)
    assert "at step 15" in str(caught.value)
    assert 0 < zoo.load(tmp_path / "r").provenance.steps < 15


def test_result_is_the_average_that_was_validated(tmp_path):
    fitted, network = run(Items(points(0)))
    judge = denoiser().eval()
    judge.load_state_dict(fitted.tensors)
    batches = validation_batches(Items(points(1)), SHORT)
    noise = generator("cpu", SHORT.seed, "validation noise")
    with torch.no_grad():
        loss = torch.cat([judge.loss(batch, noise) for batch in batches]).mean().item()
    assert loss == fitted.loss
    assert fitted.loss < fitted.first
    assert any(not torch.equal(t, network.state_dict()[name]) for name, t in fitted.tensors.items())


def test_loss_by_level_is_told_and_stands_on_the_card(rings, tmp_path, capsys):
    trained = zoo.train(rings, rings.example(), out=tmp_path / "a")
    tuned = zoo.finetune(trained, rings.example() * 3, steps=50, out=tmp_path / "b")
    said = [line for line in capsys.readouterr().err.splitlines() if "by noise level" in line]
    for model, folder, line in zip((trained, tuned), "ab", said, strict=True):
        by_level = zoo.load(tmp_path / folder).provenance.loss_by_level
        assert by_level == model.provenance.loss_by_level
        assert [level for level, _ in by_level] == [0.1, 0.3, 0.5, 0.7, 0.9]
        card = (tmp_path / folder / "README.md").read_text()
        for level, loss in by_level:
            assert f"t={level}: {loss:.4g}" in line
            assert f"| {loss:.4g} |" in card
    untrained = zoo.loading.build(rings, trained.recipe, seed=1).eval()
    held_out = rings.dataset(rings.example(), "validation", trained.recipe, trained.adapter)
    before = dict(zoo_fit.measure_by_level(untrained, held_out, trained.recipe.training))
    assert all(loss < before[level] for level, loss in trained.provenance.loss_by_level)


def test_card_says_how_to_repeat(rings, tmp_path):
    def card(model, name):
        return (model.save(tmp_path / name) / "README.md").read_text()

    own = zoo.train(rings, steps=1, show=False)
    assert "`zoo train rings --like REF --out DIR`" in card(own, "own")
    given = zoo.train(rings, rings.example(), steps=1, show=False)
    assert "`zoo train rings --like REF --data YOUR_FILE --out DIR`" in card(given, "given")
    tuned = zoo.finetune(own, rings.example(), steps=1, show=False)
    assert "`zoo finetune rings-flow --data YOUR_FILE --out DIR`" in card(tuned, "tuned")
    one = zoo.finetune(own, None, method="onestep", steps=1, device="cpu", show=False)
    assert "`zoo finetune rings-flow --method onestep --out DIR`" in card(one, "one")


def test_finetuning_that_does_not_help_gives_the_model_back(model, rings):
    tuned = zoo.finetune(model, rings.example(), steps=8, lr=3.0, show=False)
    assert tuned.provenance.steps == 0
    for name, tensor in model.denoiser.state_dict().items():
        assert torch.equal(tensor, tuned.denoiser.state_dict()[name])
    assert tuned.metrics[0].value == tuned.metrics[0].baseline


def test_the_last_weights_are_kept_where_the_recipe_says_so(model, rings, tmp_path):
    stubborn = model.copy()
    settings = replace(model.recipe.finetuning, keep="last")
    stubborn.recipe = replace(model.recipe, finetuning=settings)
    tuned = zoo.finetune(stubborn, rings.example(), steps=8, lr=3.0, show=False)
    assert tuned.provenance.steps == 8
    assert tuned.metrics[0].value > tuned.metrics[0].baseline
    assert "of the last step" in (tuned.save(tmp_path / "tuned") / "README.md").read_text()


def test_finetuning_adapts_and_leaves_the_model_alone(rings):
    model = zoo.train(rings, rings.example(), show=False)
    before = {name: t.clone() for name, t in model.denoiser.state_dict().items()}
    squashed = rings.example() * 0.5 + 3
    tuned = zoo.finetune(model, squashed, steps=400, lr=5e-3, show=False)
    assert all(torch.equal(t, before[name]) for name, t in model.denoiser.state_dict().items())
    assert tuned.metrics[0].value < tuned.metrics[0].baseline
    center = tuned.sample(500, seed=0).mean()
    assert (
        (center - squashed.mean()).abs().max()
        < 0.25
        < (model.sample(500).mean() - squashed.mean()).abs().max()
    )
    assert (tuned.name, tuned.provenance.parent) == ("rings-flow.tuned", "rings-flow")


def test_training_learns_the_ring(rings):
    table = zoo.train(rings, rings.example(), show=False).evaluate()
    assert table["off the ring"].item() < 0.25 * table["Gaussian"].item()


def test_members_do_not_change_when_more_are_drawn(model):
    eight, four = model.sample(8, seed=5), model.sample(4, seed=5)
    assert (eight[:4] - four).abs().to_numpy().max() < 1e-5
    assert (model.sample(4, seed=6) - four).abs().to_numpy().min() > 1e-3


def test_global_generator_is_left_alone(rings):
    state = torch.get_rng_state()
    run(Items(points(0)))
    zoo.train(rings, rings.example(), steps=1, show=False)
    assert torch.equal(torch.get_rng_state(), state)


def test_same_seed_same_model_other_seed_other_model(rings):
    def weights(seed):
        return torch.cat(
            [p.flatten() for p in zoo.train(rings, steps=5, seed=seed, show=False).denoiser.parameters()]
        )

    first = weights(1)
    assert torch.equal(first, weights(1))
    assert not torch.equal(first, weights(2))


def test_decay_is_for_matrices_alone():
    still = replace(SHORT, steps=50, lr=1e-2, weight_decay=10.0, warmup=0.0)
    _, network = run(Items(torch.zeros(10, 2)), training=still)
    plain = replace(still, weight_decay=0.0)
    _, free = run(Items(torch.zeros(10, 2)), training=plain)
    for name, parameter in network.named_parameters():
        ratio = parameter.norm() / free.get_parameter(name).norm()
        assert (ratio < 0.5) == (parameter.ndim >= 2), name


@pytest.mark.parametrize(
    ("arguments", "error", "told"),
    [
        ({"steps": 0}, OptionError, "steps"),
        ({"lr": -1.0}, OptionError, "lr"),
        ({"recipe": "rings-magic"}, OptionError, "rings-flow"),
        ({"device": "abacus"}, OptionError, "abacus"),
        ({"resume": True}, OptionError, "out="),
        ({"tensorboard": True}, OptionError, "out="),
    ],
)
def test_bad_options_are_named(rings, arguments, error, told):
    with pytest.raises(error, match=told):
        zoo.train(rings, rings.example(), show=False, **arguments)


def test_bad_data_are_named(rings, model):
    with pytest.raises(DataError, match="columns x and y"):
        zoo.train(rings, rings.example().rename(columns={"x": "z"}), show=False)
    with pytest.raises(TrainingError, match="nothing to train on"):
        zoo.train(rings, rings.example()[:1], steps=1, show=False)
    with pytest.raises(OptionError, match="needs data"):
        zoo.finetune(model, None)


def test_tensorboard_log_is_kept_with_the_checkpoint(rings, tmp_path):
    zoo.train(rings, rings.example(), steps=3, out=tmp_path / "r", tensorboard=True, show=False)
    assert list((tmp_path / "r" / "tensorboard").glob("events*"))
    assert {p.name for p in (tmp_path / "r").iterdir()} == {
        "zoo.json",
        "model.safetensors",
        "README.md",
        "log.csv",
        "tensorboard",
    }


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_training_on_a_gpu_saves_a_model_that_loads_on_the_cpu(rings, tmp_path):
    model = zoo.train(rings, rings.example(), device="cuda", out=tmp_path / "r", save_seconds=0.1, show=False)
    table = zoo.load(tmp_path / "r", device="cpu").evaluate()
    assert table["off the ring"].item() < 0.25 * table["Gaussian"].item()
    # The noise is drawn on the CPU, so the members are the same ones.
    there, here = model.sample(8, seed=1), zoo.load(tmp_path / "r", device="cpu").sample(8, seed=1)
    assert (there - here).abs().to_numpy().max() < 1e-3
