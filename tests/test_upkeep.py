"""Migration, adapters, export, and the commands around them."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from tests.test_checkpoint import edit
from zoo import catalog, checkpoint, manifest
from zoo.cli import main
from zoo.errors import CheckpointError, OptionError, TrainingError

GOLDEN = Path(__file__).parent / "golden" / "schema-1"
# What it drew when it was written, from seed 0.
DRAWN = [[6.741893, 0.175393], [4.940956, 0.083446], [4.798200, 0.612172]]


def run(capsys, *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(args)
    said = capsys.readouterr()
    return int(done.value.code or 0), said.out, said.err


def test_a_checkpoint_of_the_first_schema_still_loads():
    assert b'"schema_version": 1' in (GOLDEN / "zoo.json").read_bytes()
    np.testing.assert_allclose(zoo.load(GOLDEN).sample(3, seed=0).to_numpy(), DRAWN, rtol=1e-5)


def test_migration_keeps_weights_and_meaning_and_is_done_once(tmp_path, capsys):
    folder = tmp_path / "old"
    shutil.copytree(GOLDEN, folder)
    before, weights = manifest.read(folder), (folder / "model.safetensors").read_bytes()
    code, out, _ = run(capsys, "migrate", str(folder))
    assert (code, "brought forward" in out) == (0, True)
    assert b'"schema_version": 2' in (folder / "zoo.json").read_bytes()
    assert (folder / "model.safetensors").read_bytes() == weights
    after = manifest.read(folder)
    for name in (
        "name",
        "domain",
        "licence",
        "recipe",
        "adapter",
        "tensors",
        "provenance",
        "metrics",
        "lora",
    ):
        assert getattr(after, name) == getattr(before, name)
    np.testing.assert_allclose(zoo.load(folder).sample(3, seed=0).to_numpy(), DRAWN, rtol=1e-5)
    assert zoo.migrate(folder) is False
    assert "is up to date" in run(capsys, "migrate", str(folder))[1]


def test_migration_refuses_what_is_damaged_and_leaves_it(tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(GOLDEN, folder)
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-1] + b"x")
    before = (folder / "zoo.json").read_bytes()
    with pytest.raises(CheckpointError, match="sha256"):
        zoo.migrate(folder)
    assert (folder / "zoo.json").read_bytes() == before
    with pytest.raises(CheckpointError, match=r"no zoo\.json"):
        zoo.migrate(tmp_path)


@pytest.mark.parametrize("size", ["width", "depth"])
def test_a_recipe_that_would_fill_the_memory_is_refused_before_it_does(tmp_path, size):
    folder = tmp_path / "large"
    shutil.copytree(catalog.find("timeseries-flow"), folder)
    edit(folder, "recipe", "network", size, value=50_000)
    with pytest.raises(CheckpointError, match="it has many more values than the"):
        zoo.load(folder)


def test_digest_knows_weights_whatever_the_file(model, tmp_path):
    own = checkpoint.digest(model.denoiser.state_dict())
    half = zoo.load(model.save(tmp_path / "half", precision="float16"))
    again = zoo.load(half.save(tmp_path / "single"))
    assert checkpoint.digest(zoo.load(model.save(tmp_path / "a")).denoiser.state_dict()) == own
    assert (
        checkpoint.digest(half.denoiser.state_dict()) == checkpoint.digest(again.denoiser.state_dict()) != own
    )
    renamed = {f"x{name}": t for name, t in model.denoiser.state_dict().items()}
    assert checkpoint.digest(renamed) != own


def lora(model, rings, **options):
    pytest.importorskip("peft", reason="needs the extra lora")
    options = {"method": "lora", "steps": 5, "lr": 0.05} | options
    return zoo.finetune(model, rings.example(), show=False, **options)


def test_lora_trains_small_matrices_alone_and_starts_from_the_model(model, rings, tmp_path):
    tuned = lora(model, rings, rank=2)
    ours, theirs = tuned.denoiser.state_dict(), model.denoiser.state_dict()
    kept = {name.replace(".base_layer", ""): t for name, t in ours.items() if ".lora_" not in name}
    assert kept.keys() == theirs.keys()
    assert all(torch.equal(kept[name], theirs[name]) for name in kept)
    assert tuned.metrics[0].value < tuned.metrics[0].baseline == pytest.approx(model.metrics[0].value)
    stored = manifest.read(tuned.save(tmp_path / "small"))
    assert set(stored.files) == {"adapter.safetensors", "README.md"}
    assert stored.parameters == 2 * sum(sum(t.shape) for name, t in theirs.items() if t.ndim == 2)
    assert tuned.provenance.parent == model.name and tuned.name == "rings-flow.tuned"


def test_an_adapter_is_trained_further_or_merged(model, rings, tmp_path):
    tuned = lora(model, rings)
    further = lora(tuned, rings)
    assert further.lora == tuned.lora
    assert further.metrics[0].baseline == pytest.approx(tuned.metrics[0].value, rel=1e-5)
    full = zoo.finetune(tuned, rings.example(), steps=2, show=False)
    assert full.lora is None
    assert full.denoiser.state_dict().keys() == model.denoiser.state_dict().keys()
    assert tuned.merge().merge().lora is None
    with pytest.raises(TrainingError, match="adapter already"):
        zoo.lora.adapt(tuned.denoiser, 2, 4.0)


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"method": "dora"}, OptionError, "'full', 'lora' or 'onestep'"),
        ({"rank": 0}, OptionError, "whole number from 1"),
        ({"rank": 2.5}, OptionError, "whole number from 1"),
        ({"rank": 99_999}, OptionError, "whole number from 1"),
    ],
)
def test_wrong_options_of_lora_say_so(model, rings, options, error, told):
    with pytest.raises(error, match=told):
        lora(model, rings, **options)


def test_lora_without_its_library_names_the_extra(model, rings, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "peft", None)
    with pytest.raises(zoo.errors.MissingExtraError, match=r"diffusion-zoo\[lora\]"):
        zoo.finetune(model, rings.example(), method="lora", steps=1, show=False)


def test_an_interrupted_lora_run_resumes(model, rings, tmp_path):
    pytest.importorskip("peft", reason="needs the extra lora")
    options = {"method": "lora", "rank": 2, "steps": 6, "lr": 0.05, "show": False}
    whole = zoo.finetune(model, rings.example(), **options)
    from zoo.run import Run

    advance, calls = Run.advance, []

    def stops(self, batches):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("killed")
        return advance(self, batches)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "advance", stops)
        with pytest.raises(RuntimeError, match="killed"):
            zoo.finetune(model, rings.example(), out=tmp_path / "run", save_seconds=0, **options)
    resumed = zoo.finetune(model, rings.example(), out=tmp_path / "run", resume=True, **options)
    ours, theirs = resumed.denoiser.state_dict(), whole.denoiser.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    back = zoo.load(tmp_path / "run", base=model)
    assert back.sample(3).equals(whole.sample(3))


def test_a_full_model_takes_no_base(model, saved):
    with pytest.raises(OptionError, match="needs no base"):
        zoo.load(saved, base=model)


def test_programs_of_torch_export_answer_as_the_model(model, tmp_path, capsys):
    (path,) = zoo.export(model, tmp_path)
    assert path.name == "denoise.pt2"
    program = torch.export.load(path).module()
    x, t = torch.randn(9, 2), torch.rand(9)
    torch.testing.assert_close(program(x, t, {}, None), model.denoiser(x, t, {}))


def test_a_program_that_answers_otherwise_is_not_written(model, tmp_path, monkeypatch):
    load = torch.export.load

    def wrong(path):
        program = load(path)
        next(iter(program.state_dict.values())).data.add_(1)
        return program

    monkeypatch.setattr(torch.export, "load", wrong)
    with pytest.raises(zoo.ZooError, match="other answers"):
        zoo.export(model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_adapter_does_not_take_the_place_of_its_base(model, rings, saved):
    base = zoo.load(saved)
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    with pytest.raises(CheckpointError, match="holds a full model, which an adapter must not replace"):
        lora(base, rings, out=saved)
    with pytest.raises(CheckpointError, match="holds a full model"):
        lora(base, rings).save(saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before


def test_a_base_without_a_name_has_to_be_given(rings, saved, tmp_path):
    tuned = lora(zoo.load(saved), rings)
    folder = tuned.save(tmp_path / "small")
    assert tuned.lora.base == ""
    assert "base=...)" in (folder / "README.md").read_text()
    with pytest.raises(CheckpointError, match=r"pass base=\.\.\.$"):
        zoo.load(folder)
    assert zoo.verify(folder).loaded is False
    assert zoo.load(folder, base=saved).sample(3).equals(tuned.sample(3))
    with pytest.raises(OptionError, match="have rank 8"):
        lora(tuned, rings, rank=4)


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (["recipe", "path"], "cosine", "another network or path than that of its base"),
        (["lora", "rank"], 4096, "many more values|tensor"),
        (["lora", "rank"], 5000, "lora.rank"),
        (["lora", "alpha"], -1.0, "lora.alpha"),
    ],
)
def test_an_adapter_that_does_not_fit_its_base_is_refused(rings, model, tmp_path, path, value, told):
    folder = lora(model, rings).save(tmp_path / "small")
    edit(folder, *path, value=value)
    with pytest.raises(CheckpointError, match=told):
        zoo.load(folder, base=model)


def test_migration_leaves_an_unfinished_run_alone_and_follows_links(tmp_path):
    folder = tmp_path / "old"
    shutil.copytree(GOLDEN, folder)
    folder.chmod(0o700)
    (folder / "training.safetensors").write_bytes(b"state")
    with pytest.raises(CheckpointError, match="holds an unfinished run"):
        zoo.migrate(folder)
    (folder / "training.safetensors").unlink()
    (tmp_path / "link").symlink_to(folder)
    assert zoo.migrate(tmp_path / "link") is True
    assert (tmp_path / "link").is_symlink() and folder.stat().st_mode & 0o777 == 0o700
    assert manifest.SCHEMA == 2 and b'"schema_version": 2' in (folder / "zoo.json").read_bytes()


def test_nothing_that_a_checkpoint_says_commands_the_terminal(saved, capsys):
    for path in (["licence"], ["recipe", "summary"], ["metrics", 0, "name"], ["provenance", "parent"]):
        edit(saved, *path, value="\x1b]0;mine\x07\x1b[2J")
    code, out, err = run(capsys, "info", str(saved))
    assert (code, err) == (0, "") and "\\x1b]0;mine" in out and "\x1b" not in out


def test_an_adapter_may_ship(model, rings, tmp_path):
    described = manifest.read(lora(model, rings).save(tmp_path / "small"))
    assert catalog.row(described)["parameters"] == described.parameters
