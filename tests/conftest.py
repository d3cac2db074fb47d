"""The tests' own domain is the one of docs/add-a-domain.md, installed as a package would be."""

import os

# Read by the client of the Hub when it is imported: with Xet it would look for a storage service that the
# Hub of the tests has not.
os.environ["HF_HUB_DISABLE_XET"] = "1"

import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def python_blocks(markdown: Path) -> list[str]:
    """The fenced Python blocks of a document."""
    return re.findall(r"^```python\n(.*?)^```$", markdown.read_text(), re.MULTILINE | re.DOTALL)


def install(folder: Path, name: str, entry_points: dict[str, str]) -> None:
    """Makes `folder` look like an installed distribution with these domains."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{key} = {value}\n" for key, value in entry_points.items())
    (info / "entry_points.txt").write_text(f"[zoo.domains]\n{lines}")


@pytest.fixture(scope="session", autouse=True)
def plugins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder on the path with the documented domain `rings`."""
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "rings.py").write_text(python_blocks(ROOT / "docs" / "add-a-domain.md")[0])
    install(folder, "rings", {"rings": "rings:domain"})
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    yield folder
    sys.path.remove(str(folder))


@pytest.fixture(scope="session", autouse=True)
def one_connection() -> Iterator[None]:
    """The client's connections stay open from test to test.

    A call that a test left behind at its deadline goes on for seconds, finds its server gone, and closes the
    connections of the whole process: in the midst of a later test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("huggingface_hub.utils._http.close_session", lambda: None)
        yield


@pytest.fixture(scope="session")
def environment(plugins: Path) -> dict[str, str]:
    """Of a fresh interpreter that sees the plug-ins."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugins), str(ROOT)]), "COLUMNS": "200"}


@pytest.fixture(scope="session")
def python(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a fresh interpreter that sees the plug-ins: `python("-m", "zoo", ...)`."""

    def run(*args: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *args],
            cwd=cwd,
            env=environment | env,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.fixture(scope="session")
def rings(plugins: Path):
    """The documented domain."""
    return importlib.import_module("rings").domain


@pytest.fixture(scope="session")
def model(rings):
    """A model of it, hardly trained; tests must not change it."""
    import zoo

    return zoo.train(rings, rings.example(), steps=3, show=False)


@pytest.fixture
def saved(model, tmp_path: Path) -> Path:
    """Its checkpoint, for this test alone."""
    return model.save(tmp_path / "saved")
