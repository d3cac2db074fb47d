"""The command line: the whole way once, and one clear line for every kind of bad input."""

import pathlib

import pandas as pd
import pytest

import zoo
from zoo.cli import main
from zoo.errors import MissingExtraError


@pytest.fixture
def zoo_(capsys, monkeypatch, tmp_path):
    """Runs a command in a folder of its own: `zoo_("list")` gives (code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as stopped:
            main(args)
        out, err = capsys.readouterr()
        assert isinstance(stopped.value.code, int)
        return stopped.value.code, out, err

    return run


def test_the_whole_way_from_training_to_evaluation(zoo_, rings, tmp_path):
    points = rings.example()
    points.to_csv("points.csv", index=False)
    (points * 0.5).to_csv("other.csv", index=False)
    assert zoo_("train", "rings", "--data", "points.csv", "--steps", "200", "--out", "runs/a")[0] == 0
    assert zoo_("finetune", "./runs/a", "--data", "other.csv", "--steps", "50", "--out", "runs/b")[0] == 0

    code, out, _ = zoo_("info", "./runs/b")
    assert code == 0
    for told in ("rings-flow.tuned", "rings-flow before", "points.csv", "other.csv", "unspecified"):
        assert told in out

    for n, file in (("7", "seven.csv"), ("3", "three.csv")):
        assert zoo_("sample", "./runs/a", "-n", n, "--seed", "1", "--out", file)[0] == 0
    seven, three = pd.read_csv("seven.csv"), pd.read_csv("three.csv")
    assert len(seven) == 7
    assert (seven[:3] - three).abs().to_numpy().max() < 1e-5

    code, out, _ = zoo_("evaluate", "runs/a", "--out", "metrics.csv")
    assert code == 0
    assert "off the ring" in out
    assert pd.read_csv("metrics.csv")["off the ring"].item() < pd.read_csv("metrics.csv")["Gaussian"].item()

    code, out, _ = zoo_("verify", "./runs/a")
    assert code == 0
    assert "model.safetensors: size and sha256" in out

    assert zoo_("demo", "./runs/a", "--out", "shown")[0] == 0
    assert len(pd.read_csv("shown/points.csv")) == 500

    assert zoo_("train", "rings", "--like", "./runs/a", "--data", "points.csv", "--out", "runs/c")[0] == 0
    first, again = ((tmp_path / "runs" / name / "model.safetensors").read_bytes() for name in "ac")
    assert first == again


def test_train_changes_fields_of_the_recipe(zoo_, rings):
    rings.example().to_csv("points.csv", index=False)
    changes = (
        "--set",
        "training.steps=3",
        "--set",
        "summary=mine: a=b",
        "--set",
        "training.betas=[0.8, 0.9]",
    )
    assert zoo_("train", "rings", "--data", "points.csv", *changes, "--out", "runs/a")[0] == 0
    recipe = zoo.load("./runs/a").recipe
    assert (recipe.training.steps, recipe.summary, recipe.training.betas) == (3, "mine: a=b", (0.8, 0.9))


def test_verify_finds_a_card_that_was_changed(zoo_, saved):
    (saved / "README.md").write_text("trust me")
    code, _, err = zoo_("verify", str(saved))
    assert code == 2
    assert "README.md" in err


BAD = {
    "no such command": (["sampel"], "sample"),
    "no model": (["info", "nope-flow"], "no model named 'nope-flow'"),
    "no reference": (["info", "what is this"], "names no model"),
    "no folder": (["sample", "./nowhere"], "no such folder"),
    "folder without a checkpoint": (["info", "./empty"], "zoo.json"),
    "no domain": (["train", "nope", "--out", "x"], "no domain 'nope'"),
    "missing argument": (["train"], "Missing"),
    "missing option": (["finetune", "./saved"], "--out"),
    "missing data": (["finetune", "./saved", "--out", "tuned"], "--data"),
    "unknown option": (["sample", "./saved", "--colour", "red"], "--colour"),
    "option of another type": (["sample", "./saved", "-n", "many"], "-n"),
    "no samples": (["sample", "./saved", "-n", "0", "--out", "x"], "at least 1"),
    "no model, but options": (["sample", "--data", "good.csv", "--out", "x.csv"], "which model?"),
    "folder as a file": (["sample", "./saved", "--out", "empty"], "is a folder"),
    "current folder": (["finetune", "./saved", "--data", "good.csv", "--out", "."], "current folder"),
    "around the current folder": (["train", "rings", "--out", ".."], "current folder"),
    "mount point": (["train", "rings", "--out", "/dev"], "mount point"),
    "nowhere to write": (["sample", "./saved"], "--out"),
    "no sampling steps": (["sample", "./saved", "--out", "x.csv", "--steps", "0"], "steps"),
    "unknown device": (["sample", "./saved", "--out", "x.csv", "--device", "abacus"], "abacus"),
    "no such file": (["finetune", "./saved", "--data", "absent.csv", "--out", "x"], "absent.csv"),
    "file of another kind": (["finetune", "./saved", "--data", "noise.bin", "--out", "x"], ""),
    "columns missing": (["finetune", "./saved", "--data", "columns.csv", "--out", "x"], "columns x and y"),
    "empty file": (["finetune", "./saved", "--data", "empty.csv", "--out", "x"], ""),
    "folder in use": (["finetune", "./saved", "--data", "good.csv", "--out", "busy"], "thesis.txt"),
    "file in the place": (["finetune", "./saved", "--data", "good.csv", "--out", "good.csv"], "is a file"),
    "no steps": (["finetune", "./saved", "--data", "good.csv", "--out", "x", "--steps", "0"], "steps"),
    "unknown field": (["train", "rings", "--set", "surprise=1", "--out", "x"], "surprise: unknown key"),
    "field out of range": (["train", "rings", "--set", "training.lr=-1", "--out", "x"], "training.lr"),
    "no value": (["train", "rings", "--set", "training.lr", "--out", "x"], "FIELD=VALUE"),
    "two recipes": (["train", "rings", "--recipe", "a", "--like", "./saved", "--out", "x"], "not both"),
    "damaged checkpoint": (["sample", "./damaged", "--out", "x.csv"], "sha256"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_ends_in_one_clear_line_and_code_2(case, zoo_, model, rings, tmp_path):
    model.save("saved")
    damaged = model.save("damaged")
    weights = (damaged / "model.safetensors").read_bytes()
    (damaged / "model.safetensors").write_bytes(weights[:-1] + b"x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy" / "thesis.txt").touch()
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)) * 9)
    (tmp_path / "columns.csv").write_text("a,b\n1,2\n")
    (tmp_path / "empty.csv").touch()
    rings.example().to_csv("good.csv", index=False)
    args, told = BAD[case]
    code, _, err = zoo_(*args)
    assert code == 2, err
    assert err.count("\n") == 1
    assert err.startswith("zoo: ")
    assert told in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "command", ["", "list", "info", "sample", "finetune", "train", "evaluate", "verify", "demo"]
)
def test_help_shows_an_example(zoo_, command):
    code, out, _ = zoo_(*command.split(), "--help")
    assert code == 0
    assert f"zoo {command}".strip() in out.split("Usage:")[1].split("\n", 1)[1]


def test_help_of_a_model_lists_its_domain_s_options(zoo_, saved, rings, monkeypatch):
    from dataclasses import dataclass

    from zoo.domain import SampleRequest, option

    @dataclass(frozen=True, kw_only=True)
    class Request(SampleRequest):
        radius: float | None = option(None, "Radius of the ring. [default: one]")

    monkeypatch.setattr(type(rings), "sample_request", Request)
    assert "--radius" not in zoo_("sample", "--help")[1]
    _, out, _ = zoo_("sample", str(saved), "--help")
    assert "--radius" in out
    assert "[default: one]" in out
    seen = []
    monkeypatch.setattr(type(rings), "sample", lambda self, model, request: seen.append(request) or [])
    assert zoo_("sample", str(saved), "--radius", "2", "--out", "x.csv")[0] == 0
    assert seen[0].radius == 2.0


def test_model_may_stand_behind_options(zoo_, saved):
    assert zoo_("sample", "-n", "3", "--seed=1", "--out", "behind.csv", str(saved))[0] == 0
    assert zoo_("sample", str(saved), "-n", "3", "--seed=1", "--out", "first.csv")[0] == 0
    assert pd.read_csv("behind.csv").equals(pd.read_csv("first.csv"))


@pytest.mark.parametrize("verb", ["sample", "evaluate"])
def test_folders_of_written_files_are_made_before_the_work(zoo_, saved, rings, monkeypatch, verb):
    def work(self, model, request):
        assert pathlib.Path("new/deep").is_dir()
        return pd.DataFrame({"score": [1.0]}) if verb == "evaluate" else []

    monkeypatch.setattr(type(rings), verb, work)
    assert zoo_(verb, str(saved), "--out", "new/deep/x.csv")[0] == 0


def test_missing_extra_ends_in_one_line_that_names_it(zoo_, saved, rings, monkeypatch):
    def needs(self, model, request):
        raise MissingExtraError("pyarrow", "timeseries")

    monkeypatch.setattr(type(rings), "sample", needs)
    code, _, err = zoo_("sample", str(saved), "--out", "x.csv")
    assert (code, err) == (2, "zoo: this needs pyarrow: pip install 'diffusion-zoo[timeseries]'\n")


def test_version(zoo_):
    assert zoo_("--version") == (0, f"diffusion-zoo {zoo.__version__}\n", "")


def test_module_runs_as_the_command(python):
    done = python("-m", "zoo", "info", "nope-flow")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_interrupt_ends_quietly_with_130(zoo_, saved, rings, monkeypatch):
    def interrupted(self, model, request):
        raise KeyboardInterrupt

    monkeypatch.setattr(type(rings), "sample", interrupted)
    code, _, err = zoo_("sample", str(saved), "--out", "x.csv")
    assert (code, err) == (130, "")
