"""The documents run as they are written: every Python block, in order, in a folder of its own."""

import re
import sys

import numpy as np
import pandas as pd
import pytest

import zoo
from tests.conftest import ROOT, python_blocks
from tests.hubserver import HubServer
from zoo import catalog
from zoo.cli import main

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the file that the documents call my.csv: an hourly series of the reader's own."""
    monkeypatch.chdir(tmp_path)
    hours = np.arange(24 * 60)
    load = 100 + 20 * np.sin(2 * np.pi * hours / 24) + np.random.default_rng(0).normal(0, 3, len(hours))
    stamps = pd.date_range("2024-01-01", periods=len(hours), freq="h")
    pd.DataFrame({"timestamp": stamps, "load": load}).to_csv("my.csv", index=False)
    return tmp_path


@pytest.fixture
def hub(folder, monkeypatch):
    """A Hub where the documents' reader, who is called me, is logged in; a model of theirs in runs/mine."""
    from huggingface_hub import constants

    with HubServer({"secret": "me"}) as server:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, server.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
        monkeypatch.setenv("HF_TOKEN", "secret")
        zoo.load("timeseries-flow", device="cpu").save("runs/mine")
        yield server


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_python_blocks_run(document, folder, hub, capsys):
    names: dict = {"__name__": document.stem}
    for block in python_blocks(document):
        exec(compile(block, str(document), "exec"), names)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_and_links_are_real(document):
    """Every `$ zoo ...` line names a command that there is; every local link leads somewhere."""
    text = document.read_text()
    for command in re.findall(r"^\$ zoo (\w+)", text, re.MULTILINE):
        with pytest.raises(SystemExit) as stopped:
            main([command, "--help"])
        assert stopped.value.code == 0
    prose = re.sub(r"^```.*?^```|`[^`\n]+`|\$[^$\n]+\$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", prose):
        assert (document.parent / target).exists(), target


def test_a_whole_domain_fits_on_a_page(rings):
    assert len(python_blocks(ROOT / "docs" / "add-a-domain.md")[0].splitlines()) <= 60
    assert sys.modules["rings"].domain is rings


def test_shipped_models_are_intact():
    models, problems = catalog.scan()
    assert not problems
    for entry in models:
        with pytest.raises(SystemExit) as stopped:
            main(["verify", entry.manifest.name])
        assert stopped.value.code == 0
