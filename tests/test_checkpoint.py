"""Checkpoints: what is saved comes back exactly; what is damaged, hostile or newer is refused by name."""

import json
import os
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import zoo
from zoo import checkpoint, folders, loading, manifest
from zoo.errors import CheckpointError, OptionError, UnknownModelError
from zoo.manifest import SCHEMA


def edit(folder: Path, *path: str, value) -> None:
    """Sets one value of zoo.json and seals it again; `path` leads to it. A value of `...` deletes it."""
    file = folder / "zoo.json"
    data = json.loads(file.read_text())
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    seal(data)
    file.write_text(json.dumps(data))


def seal(data: dict) -> None:
    """Gives a changed tree the digest that it needs to be read at all, as anyone who forges one can."""
    data.pop("digest", None)
    data["digest"] = manifest._digest(data)


def retensor(folder: Path, change) -> None:
    """Changes the tensors and lists them truthfully in zoo.json, so that only the recipe disagrees."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    data = (folder / "model.safetensors").read_bytes()
    edit(folder, "files", "model.safetensors", "bytes", value=len(data))
    edit(folder, "files", "model.safetensors", "sha256", value=checkpoint.hashlib.sha256(data).hexdigest())
    listed = {n: {"shape": list(t.shape), "dtype": t.dtype} for n, t in checkpoint.table(tensors).items()}
    edit(folder, "tensors", value=listed)


def test_round_trip_is_exact(model, saved):
    back = zoo.load(saved)
    assert type(back) is type(model)
    ours, theirs = model.denoiser.state_dict(), back.denoiser.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name in ("recipe", "adapter", "provenance", "metrics", "name", "licence"):
        assert getattr(back, name) == getattr(model, name)
    assert not back.denoiser.training
    assert back.sample(5, seed=3).equals(model.sample(5, seed=3))


def test_half_precision_halves_the_file_and_rounds_the_weights_once(model, saved, tmp_path):
    half = model.save(tmp_path / "half", precision="float16")
    single = sum(t.numel() * 4 for t in model.denoiser.state_dict().values())
    assert {t.dtype for t in manifest.read(half).tensors.values()} == {"F16"}
    assert (half / "model.safetensors").stat().st_size < (
        saved / "model.safetensors"
    ).stat().st_size - single // 2 + 8
    back = zoo.load(half)
    for name, tensor in back.denoiser.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, model.denoiser.state_dict()[name].half().float())
    again = zoo.load(back.save(tmp_path / "again"))
    assert {t.dtype for t in manifest.read(tmp_path / "again").tensors.values()} == {"F32"}
    for name, tensor in back.denoiser.state_dict().items():
        assert torch.equal(tensor, again.denoiser.state_dict()[name])


def test_what_half_precision_cannot_hold_is_refused_by_name(model, tmp_path):
    large = model.copy()
    with torch.no_grad():
        large.denoiser.get_parameter("network.layers.0.bias")[3] = 1e5
    with pytest.raises(CheckpointError, match=r"'network\.layers\.0\.bias' holds 1e\+05"):
        large.save(tmp_path / "new", precision="float16")
    assert not (tmp_path / "new").exists()
    large.save(tmp_path / "new")
    with pytest.raises(OptionError, match="float8"):
        model.save(tmp_path / "other", precision="float8")


def test_card_shows_figures_baselines_and_how_to_load(model, saved):
    card = (saved / "README.md").read_text()
    metric = model.metrics[0]
    for text in (
        model.name,
        f"{metric.value:.4g}",
        f"{metric.baseline:.4g}",
        "zoo.load",
        model.licence,
        "## Use and",
    ):
        assert text in card


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["schema_version"], SCHEMA + 1, "newer"),
        (["schema_version"], "1", "schema_version"),
        (["surprise"], 1, "surprise: unknown key"),
        ([""], 1, ": unknown key"),
        (["recipe", "a\n\x1b[31m"], 1, r"recipe: a \x1b[31m: unknown key"),
        (["name"], ..., "name: field required"),
        (["name"], "../../evil", "name"),
        (["name"], "other-flow", "other-flow"),
        (["domain"], "nope", "nope"),
        (["recipe", "training", "steps"], 0, "recipe: training.steps"),
        (["recipe", "sampling", "stepz"], 1, "recipe: sampling.stepz: unknown key"),
        (["recipe", "path"], "os.system", "recipe: path"),
        (["recipe", "domain"], "timeseries", "recipe: domain"),
        (["adapter", "extra"], 1, "adapter"),
        (["files", "../x"], {"sha256": "0" * 64, "bytes": 1}, "../x"),
        (["files", "model.safetensors"], ..., "model.safetensors"),
        (["files", "model.safetensors", "bytes"], 12, "bytes"),
        (["files", "model.safetensors", "sha256"], "0" * 64, "sha256"),
        (["tensors", "network.layers.0.bias"], ..., "network.layers.0.bias"),
        (["tensors", "extra"], {"shape": [1], "dtype": "F32"}, "extra"),
        (["tensors", "network.layers.0.bias", "shape"], [65], "network.layers.0.bias"),
        (["tensors", "network.layers.0.bias", "dtype"], "F16", "network.layers.0.bias"),
        (["tensors", "network.layers.0.bias", "shape"], [-1], "shape"),
        (["metrics", 0, "value"], "good", "value"),
    ],
)
def test_wrong_manifest_is_refused_by_name(saved, path, value, told):
    edit(saved, *path, value=value)
    with pytest.raises((CheckpointError, LookupError)) as caught:
        zoo.load(saved)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"\xff\xfe\x00",
        b'{"schema_version": NaN}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b" " * (5 * 2**20),
        b'{"schema_version": ' + b"9" * 5000 + b"}",
        b'{"schema_version": 2, "x": 1e999}',
        b'{"schema_version": 2, "x": ' + b"9" * 300 + b"}",
        *(b'{"schema_version": 2, "x": ' + b"[" * n + b"]" * n + b"}" for n in range(880, 1000, 7)),
    ],
)
def test_hostile_json_is_refused(saved, content):
    (saved / "zoo.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"zoo\.json"):
        zoo.load(saved)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_type_confusion_anywhere_in_the_manifest(model, tmp_path, data):
    """Any one value replaced by one of another type is refused, or the manifest reads as what was written."""
    folder = tmp_path / "fuzzed"
    model.save(folder)
    tree = json.loads((folder / "zoo.json").read_text())
    place, key = tree, data.draw(st.sampled_from(sorted(tree)))
    while isinstance(place[key], dict) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place)))
    place[key] = data.draw(st.sampled_from([None, -1, 1e308, "x", [], {}, [[1]], {"a": 1}, True]))
    seal(tree)
    (folder / "zoo.json").write_text(json.dumps(tree))
    try:
        read = manifest.read(folder)
    except CheckpointError:
        return
    assert json.loads(manifest.dumps(read)) == tree


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda t: t.pop("network.layers.0.bias"),
            "'network.layers.0.bias' of the recipe's network is missing",
        ),
        (lambda t: t.update(extra=torch.ones(1)), "'extra' is unknown"),
        (lambda t: t.update({"network.layers.0.bias": torch.ones(65)}), "F32 [65]"),
        (lambda t: t.update({"network.layers.0.bias": torch.ones(65).half()}), "F16 [65]"),
        (lambda t: t.update({"network.layers.0.bias": torch.ones(64).bfloat16()}), "BF16 [64]"),
        (lambda t: t.update({"network.layers.0.bias": torch.ones(64).int()}), "I32 [64]"),
    ],
    ids=["missing", "unknown", "misshapen", "misshapen half", "bfloat16", "integers"],
)
def test_weights_that_do_not_fit_the_recipe_are_refused(saved, change, told):
    retensor(saved, change)
    with pytest.raises(CheckpointError) as caught:
        zoo.load(saved)
    assert told in str(caught.value)


def test_flipped_bit_is_refused(saved):
    file = saved / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(CheckpointError, match="sha256"):
        zoo.load(saved)


@pytest.mark.parametrize("file", ["README.md", "log.csv"])
def test_changed_file_beside_the_weights_is_refused(rings, tmp_path, file):
    zoo.train(rings, rings.example(), steps=2, out=tmp_path / "r", show=False)
    with (tmp_path / "r" / file).open("a") as opened:
        opened.write("trust me")
    with pytest.raises(CheckpointError, match=rf"{file}: cannot be read: larger than \d+ bytes"):
        zoo.load(tmp_path / "r")


@pytest.mark.parametrize(
    "name",
    ["pytorch_model.bin", "other.safetensors", "adapter.safetensors", "model.PT", "model.pkl", "x.npz"],
)
def test_unlisted_weights_are_refused_by_name(saved, name):
    (saved / "notes.txt").touch()
    (saved / "training.safetensors").touch()  # the state of a run that is to replace this checkpoint
    assert zoo.load(saved)
    (saved / name).touch()
    with pytest.raises(CheckpointError, match=name):
        zoo.load(saved)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"\x80\x04cos\nsystem\n", "header is too large"),  # of a pickle
        ((5000).to_bytes(8, "little") + b"{" + b" " * 4990, "not a valid safetensors"),
        ((2**20).to_bytes(8, "little"), "header is too large"),
    ],
)
def test_file_that_is_no_safetensors_is_refused(saved, start, told):
    data = start.ljust((saved / "model.safetensors").stat().st_size, b"\0")
    (saved / "model.safetensors").write_bytes(data)
    edit(saved, "files", "model.safetensors", "bytes", value=len(data))
    edit(saved, "files", "model.safetensors", "sha256", value=checkpoint.hashlib.sha256(data).hexdigest())
    with pytest.raises(CheckpointError, match=told):
        zoo.load(saved)


@pytest.mark.parametrize("file", ["zoo.json", "model.safetensors", "README.md"])
@pytest.mark.parametrize("kind", ["endless", "pipe", "folder"])
def test_what_is_no_file_is_refused_at_once(saved, file, kind):
    (saved / file).unlink()
    if kind == "endless":
        (saved / file).symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(saved / file)
    else:
        (saved / file).mkdir()
    with pytest.raises(CheckpointError, match=rf"{file}: cannot be read: (no regular file|Is a directory)"):
        zoo.load(saved)


@pytest.mark.parametrize("file", ["zoo.json", "model.safetensors", "README.md"])
def test_missing_file_is_named(saved, file):
    (saved / file).unlink()
    with pytest.raises(CheckpointError, match=file):
        zoo.load(saved)


def test_failed_write_leaves_the_old_checkpoint_and_no_litter(model, saved, monkeypatch):
    before = (saved / "zoo.json").read_bytes()

    def fail(*args):
        raise OSError("disk full")

    monkeypatch.setattr(folders, "_write_through", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save(saved)
    assert (saved / "zoo.json").read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_failed_swap_puts_the_old_checkpoint_back(model, saved, monkeypatch):
    rename, calls = Path.rename, []

    def second_fails(self, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError("no")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", second_fails)
    with pytest.raises(OSError, match="no"):
        model.save(saved)
    monkeypatch.undo()
    assert zoo.load(saved).name == model.name
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


KILLED = """
import os, sys, zoo
from pathlib import Path

model, rename, calls = zoo.load(sys.argv[1]), Path.rename, []

def killed(self, target):
    calls.append(target)
    if len(calls) == int(sys.argv[2]):
        os._exit(9)
    return rename(self, target)

Path.rename = killed
model.save(sys.argv[1])
"""


@pytest.mark.parametrize("moment", [1, 2])
def test_a_save_killed_at_its_last_moments_leaves_a_checkpoint(model, saved, python, moment, monkeypatch):
    assert python("-c", KILLED, str(saved), str(moment)).returncode == 9
    assert saved.exists() == (moment == 1)
    monkeypatch.chdir(saved.parent.parent)
    ref = f"{saved.parent.name}/{saved.name}"  # which also has the form of a repository's name
    assert zoo.load(ref).sample(3).equals(model.sample(3))
    assert zoo.load(saved).sample(3).equals(model.sample(3))
    model.save(saved)
    assert zoo.load(saved).sample(3).equals(model.sample(3))


def test_replacing_a_checkpoint_leaves_one(model, saved):
    model.save(saved)
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]
    assert zoo.load(saved).name == model.name


def test_folder_with_other_files_is_left_alone(model, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match=r"thesis\.txt"):
        model.save(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_weights_that_are_not_finite_are_not_written(model, tmp_path):
    broken = model.copy()
    with torch.no_grad():
        next(broken.denoiser.parameters()).fill_(float("nan"))
    with pytest.raises(CheckpointError, match="not finite"):
        broken.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_building_and_loading_leave_the_global_generator_alone(saved):
    state = torch.get_rng_state()
    zoo.load(saved)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("ref", ["", "no spaces", "a/b/c/d", "UPPER", "org/repo@", "-x"])
def test_what_is_no_reference_says_so(ref):
    with pytest.raises(UnknownModelError, match="names no model"):
        zoo.load(ref)


def test_folder_references(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model.save("runs/mine")
    for ref in ("./runs/mine", "runs/mine", tmp_path / "runs" / "mine", str(tmp_path / "runs" / "mine")):
        assert zoo.load(ref).name == model.name
    with pytest.raises(CheckpointError, match="no such folder"):
        zoo.load("./runs/yours")
    with pytest.raises(CheckpointError, match=r"no zoo\.json"):
        zoo.load("./runs")


def test_what_is_about_to_be_read_has_parameters_unfilled_and_all_else_as_ever(monkeypatch):
    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(64, 64)
            self.own = torch.nn.Parameter(torch.full((3,), 2.0))
            self.register_buffer("directions", torch.empty(8).normal_(), persistent=False)
            with torch.no_grad():
                self.linear.bias.zero_()

    torch.manual_seed(0)
    filled = Layer()
    torch.manual_seed(0)
    monkeypatch.setattr(torch.Tensor, "uniform_", None)  # it would fail if it were called
    with loading._Unfilled():
        unfilled = Layer()
    assert unfilled.directions.std() > 0 and torch.equal(unfilled.own, filled.own)
    assert unfilled.linear.weight.shape == filled.linear.weight.shape
