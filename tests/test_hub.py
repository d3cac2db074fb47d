"""Pull and push, with the real client, against a Hub on this machine that misbehaves on request.

`PULLS`, `CACHED` and `PUSHES` are the table of faults and attacks: what is refused, with which words.
"""

import json
import math
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

import zoo
from tests.hubserver import HubServer
from tests.test_checkpoint import seal
from zoo import manifest, upkeep
from zoo.cli import main
from zoo.errors import CheckpointError, ConflictError, HubError, OptionError, UnknownModelError
from zoo.hub import connection
from zoo.hub.pushing import Pushed

WEIGHTS = r"/resolve/.*/model\.safetensors$"
JSON = r"/resolve/.*/zoo\.json$"
DESCRIPTION = r"^/api/models/me/mine"


@pytest.fixture
def hub(model) -> Iterator[HubServer]:
    """A Hub with a checkpoint in me/mine, tagged v1."""
    with HubServer({"secret": "me", "reader": None}) as server:
        model.push("me/mine", tag="v1", endpoint=server.url, token="secret")
        server.requests.clear()
        yield server


@pytest.fixture
def reach(hub, tmp_path) -> dict[str, str]:
    """Options of `zoo.load` that lead to it."""
    return {"endpoint": hub.url, "token": "secret", "cache_dir": str(tmp_path / "cache")}


@pytest.fixture
def push(hub, model) -> Callable[..., Pushed]:
    return lambda repo="me/mine", **options: model.push(
        repo, **{"endpoint": hub.url, "token": "secret"} | options
    )


@pytest.fixture
def hasty(monkeypatch) -> None:
    """Gives up early, so that a fault that lasts can be tested."""
    monkeypatch.setattr(connection, "RETRY_SECONDS", 1.0)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 1.0)


def other(model):
    """The model with one weight changed."""
    changed = model.copy()
    with torch.no_grad():
        next(changed.denoiser.parameters()).view(-1)[0] += 1
    return changed


def forged(hub: HubServer, *path: str, value) -> None:
    """Pushes a `zoo.json` with one value changed and sealed again, as an attacker would."""
    tree = json.loads(hub.files("me/mine", "main")["zoo.json"])
    place = tree
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    seal(tree)
    hub.commit("me/mine", {"zoo.json": json.dumps(tree).encode()})


def flipped(data: bytes, at: int = -5) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


def replaced(hub: HubServer, name: str, change: Callable[[bytes], bytes | None]) -> None:
    """Pushes one file changed, or, for None, deleted."""
    hub.commit("me/mine", {name: change(hub.files("me/mine", "main")[name])})


def always(hub: HubServer, **fault) -> None:
    hub.fault(times=math.inf, **fault)


def test_shipped_folder_and_hub_give_the_same_samples(hub, reach, model, saved):
    wanted = model.sample(5, seed=3)
    for ref in ("me/mine", "me/mine@v1", "me/mine@" + hub.commits("me/mine", "main")[0]):
        assert zoo.load(ref, **reach).sample(5, seed=3).equals(wanted)
    assert zoo.load("me/mine", revision="v1", **reach).sample(5, seed=3).equals(wanted)
    assert zoo.load(saved).sample(5, seed=3).equals(wanted)


def test_provenance_says_where_a_copy_comes_from_and_no_file_does(hub, reach, saved):
    made = zoo.load("me/mine@v1", **reach).provenance
    assert (made.repo, made.commit) == ("me/mine", hub.tags("me/mine")["v1"])
    files = hub.files("me/mine", "main")
    assert made.sha256 == {n: f.sha256 for n, f in manifest.loads(files["zoo.json"], "").files.items()}
    assert zoo.load(saved).provenance.repo == zoo.load(saved).provenance.commit == ""
    copy = zoo.load("me/mine", **reach).save(saved)
    assert b"me/mine" not in (copy / "zoo.json").read_bytes()


def test_a_shipped_name_with_a_revision_is_looked_for_in_our_organisation(hub, tmp_path):
    options = {"endpoint": hub.url, "cache_dir": tmp_path}
    for ref, more in (("rings-flow@v2", {}), ("rings-flow", {"revision": "v2"})):
        with pytest.raises(UnknownModelError, match=r"^diffusion-zoo/rings-flow@v2: no such repository"):
            zoo.load(ref, **options, **more)
    with pytest.raises(OptionError, match="has a revision already"):
        zoo.load("rings-flow@v2", revision="v3")
    with pytest.raises(OptionError, match="has no revisions"):
        zoo.load("./rings-flow", revision="v3")
    for revision in ("../../x", "a/../b", "-x", ""):
        with pytest.raises(UnknownModelError, match="names no model"):
            zoo.load("me/mine", revision=revision)


def test_only_files_of_a_checkpoint_are_fetched_each_by_the_commit(hub, reach):
    hub.commit("me/mine", {"pytorch_model.bin": b"\x80\x04", "evil.py": b"x", "notes.txt": b"x"})
    zoo.load("me/mine", **reach)
    commit = hub.commits("me/mine", "main")[0]
    fetched = [path.partition("/resolve/")[2] for method, path in hub.requests if "/resolve/" in path]
    assert set(fetched) == {f"{commit}/{name}" for name in ("zoo.json", "model.safetensors", "README.md")}
    hub.requests.clear()
    zoo.load(f"me/mine@{commit}", **reach)
    assert hub.requests == []  # a commit never changes


PULLS = {
    "absent": (lambda hub: hub.delete("me/mine"), UnknownModelError, "me/mine: no such repository"),
    "gated": (lambda hub: hub.gate("me/mine"), UnknownModelError, "gated; ask for access"),
    "private": (lambda hub: hide(hub), UnknownModelError, "no such repository"),
    "refuses to describe": (
        lambda hub: always(hub, path=DESCRIPTION, status=403),
        HubError,
        "refuses this to your token",
    ),
    "down": (lambda hub: always(hub, path=DESCRIPTION, status=503), HubError, "status 503"),
    "drops connections": (
        lambda hub: always(hub, path=DESCRIPTION, drop=True),
        HubError,
        "connection to the Hub failed",
    ),
    "503 on every download": (lambda hub: always(hub, path=WEIGHTS, status=503), HubError, "status 503"),
    "weights flipped on every download": (
        lambda hub: always(hub, path=WEIGHTS, flip=9000),
        CheckpointError,
        "model.safetensors is damaged",
    ),
    "manifest flipped on every download": (
        lambda hub: always(hub, path=JSON, flip=900),
        CheckpointError,
        "zoo.json is damaged: its hash is not the one that the Hub gives",
    ),
    "no manifest": (
        lambda hub: replaced(hub, "zoo.json", lambda data: None),
        CheckpointError,
        "holds no zoo.json",
    ),
    "no weights": (
        lambda hub: replaced(hub, "model.safetensors", lambda data: None),
        CheckpointError,
        "model.safetensors is missing",
    ),
    "weights altered": (
        lambda hub: replaced(hub, "model.safetensors", flipped),
        CheckpointError,
        "model.safetensors is damaged: its hash is not the one that zoo.json gives",
    ),
    "weights cut": (
        lambda hub: replaced(hub, "model.safetensors", lambda data: data[:-8]),
        CheckpointError,
        "bytes, but zoo.json says",
    ),
    "card altered": (
        lambda hub: replaced(hub, "README.md", flipped),
        CheckpointError,
        "README.md is damaged",
    ),
    "manifest edited by hand": (
        lambda hub: replaced(hub, "zoo.json", lambda data: data.replace(b"rings-flow", b"rings-good")),
        CheckpointError,
        "does not match its own digest",
    ),
    "manifest is a pickle": (
        lambda hub: replaced(hub, "zoo.json", lambda data: b"\x80\x04cos\nsystem\n."),
        CheckpointError,
        "not valid JSON",
    ),
    "manifest is huge": (
        lambda hub: replaced(hub, "zoo.json", lambda data: data + b" " * manifest.MAX_BYTES),
        CheckpointError,
        "larger than",
    ),
    "a key twice": (
        lambda hub: replaced(hub, "zoo.json", lambda data: data.replace(b"{", b'{"name": "a-b",', 1)),
        CheckpointError,
        "key 'name' stands there twice",
    ),
    "newer schema": (
        lambda hub: forged(hub, "schema_version", value=99),
        CheckpointError,
        "schema 99 is newer",
    ),
    "file outside the folder": (
        lambda hub: forged(hub, "files", "../../.bashrc", value={"sha256": "0" * 64, "bytes": 1}),
        CheckpointError,
        "unknown file '../../.bashrc'",
    ),
    "code file": (
        lambda hub: forged(hub, "files", "modeling.py", value={"sha256": "0" * 64, "bytes": 1}),
        CheckpointError,
        "unknown file 'modeling.py'",
    ),
    "tensor named as a path": (
        lambda hub: forged(hub, "tensors", "../../x", value={"shape": [1], "dtype": "F32"}),
        CheckpointError,
        "tensors",
    ),
    "tensor without end": (
        lambda hub: forged(hub, "tensors", "network.layers.0.weight", "shape", value=[2**40, 2**40]),
        CheckpointError,
        "cannot hold",
    ),
    "too many tensors": (
        lambda hub: forged(
            hub, "tensors", value={f"t{i}": {"shape": [0], "dtype": "F32"} for i in range(10_001)}
        ),
        CheckpointError,
        "tensors: dictionary should have at most 10000 items",
    ),
    "repository in the provenance": (
        lambda hub: forged(hub, "provenance", "repo", value="evil/repo"),
        CheckpointError,
        "provenance.repo: unknown key",
    ),
    "class path in the recipe": (
        lambda hub: forged(hub, "recipe", "_target_", value="os.system"),
        CheckpointError,
        "recipe: _target_: unknown key",
    ),
    "unknown domain": (
        lambda hub: (forged(hub, "name", value="os-flow"), forged(hub, "domain", value="os")),
        zoo.ZooError,
        "no domain 'os'",
    ),
    "adapter that chooses its base": (
        lambda hub: forge_adapter(hub),
        CheckpointError,
        "a file must not choose what else is loaded",
    ),
}


def hide(hub: HubServer) -> None:
    """Makes the repository private, and the reader someone else."""
    hub.repos["me/mine"].private, hub.tokens["secret"] = True, "you"


def forge_adapter(hub: HubServer) -> None:
    """Makes the checkpoint one that calls for weights of somewhere else."""
    data = hub.files("me/mine", "main")["model.safetensors"]
    hub.commit("me/mine", {"model.safetensors": None, "adapter.safetensors": data})
    tree = json.loads(hub.files("me/mine", "main")["zoo.json"])
    tree["files"]["adapter.safetensors"] = tree["files"].pop("model.safetensors")
    tree["lora"] = {"rank": 2, "alpha": 2.0, "base": "evil/base", "base_sha256": "0" * 64}
    seal(tree)
    hub.commit("me/mine", {"zoo.json": json.dumps(tree).encode()})
    hub.create("evil/base")


@pytest.mark.parametrize("case", PULLS)
def test_what_cannot_be_trusted_is_refused_in_one_line_and_leaves_nothing_behind(case, hub, reach, hasty):
    arrange, error, told = PULLS[case]
    before = hub.files("me/mine", "main")
    arrange(hub)
    for _ in range(2):  # the second time from what the first one left in the cache
        with pytest.raises(error) as caught:
            zoo.load("me/mine", **reach)
        assert told in str(caught.value)
        assert "\n" not in str(caught.value)
    assert not any("evil" in path for _, path in hub.requests)
    hub.faults.clear()
    with HubServer({"secret": "me"}) as whole:
        whole.create("me/mine")
        whole.commit("me/mine", before)
        assert zoo.load("me/mine", **reach | {"endpoint": whole.url})


@pytest.mark.parametrize(
    "fault",
    [
        {"path": DESCRIPTION, "status": 503},
        {"path": DESCRIPTION, "status": 429, "headers": {"Retry-After": "1"}},
        {"path": DESCRIPTION, "drop": True},
        {"path": WEIGHTS, "status": 503},
        {"path": WEIGHTS, "truncate": 5000},
        {"path": WEIGHTS, "drop": True},
        {"path": WEIGHTS, "flip": 9000},
        {"path": JSON, "flip": 900},
        {"path": JSON, "status": 500},
        {"path": WEIGHTS, "delay": 0.5},
    ],
    ids=lambda fault: " ".join(map(str, fault.values())),
)
def test_what_goes_wrong_once_is_done_again(hub, reach, model, fault):
    hub.fault(**fault)
    assert zoo.load("me/mine", **reach).sample(3).equals(model.sample(3))
    assert all(fault["times"] == 0 for fault in hub.faults)


def test_a_dead_server_costs_seconds_and_a_silent_one_no_more(reach, monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        for seconds, listening in ((8, False), (6, True)):
            if listening:  # accepts connections, and never answers
                silent.listen()
                monkeypatch.setattr("zoo.hub.pulling.ANSWER_SECONDS", 0.5)
                monkeypatch.setattr(connection, "RETRY_SECONDS", 3.0)
            start = time.monotonic()
            with pytest.raises(HubError, match="me/mine: the Hub is out of reach"):
                zoo.load("me/mine", **reach | {"endpoint": address})
            assert time.monotonic() - start < seconds


def test_push_in_the_middle_of_a_load_does_not_mix_versions(hub, reach, model):
    first = hub.commits("me/mine", "main")[0]
    theirs = other(model)
    options = {"endpoint": hub.url, "token": "secret"}
    hub.fault(path=JSON, call=lambda: theirs.push("me/mine", **options))
    loaded = zoo.load("me/mine", **reach)
    assert loaded.provenance.commit == first != hub.commits("me/mine", "main")[0]
    assert loaded.sample(3).equals(model.sample(3))
    assert zoo.load("me/mine", **reach).sample(3).equals(theirs.sample(3))


def cached(reach: dict[str, str], name: str) -> Path:
    return next(Path(reach["cache_dir"]).glob(f"models--me--mine/snapshots/*/{name}"))


CACHED = {
    "weights gone": (lambda path: path.unlink(), "model.safetensors", "is missing in the cache"),
    "weights damaged": (
        lambda path: path.resolve().write_bytes(flipped(path.read_bytes())),
        "model.safetensors",
        "model.safetensors is damaged in the cache",
    ),
    "card gone": (lambda path: path.unlink(), "README.md", "README.md is missing in the cache"),
    "manifest damaged": (
        lambda path: path.resolve().write_bytes(flipped(path.read_bytes())),
        "zoo.json",
        "zoo.json is damaged in the cache",
    ),
    "manifest forged": (
        lambda path: path.resolve().write_bytes((Path(__file__).parent / GOLDEN / "zoo.json").read_bytes()),
        "zoo.json",
        "zoo.json is damaged in the cache",
    ),
}
GOLDEN = "golden/schema-1"


@pytest.mark.parametrize("case", CACHED)
@pytest.mark.parametrize("revision", ["main", "commit"])
def test_damage_in_the_cache_is_named_offline_and_mended_online(case, revision, hub, reach, model):
    damage, name, told = CACHED[case]
    ref = "me/mine@" + ("main" if revision == "main" else hub.commits("me/mine", "main")[0])
    zoo.load(ref, **reach)
    damage(cached(reach, name))
    with pytest.raises(CheckpointError, match=told):
        zoo.load(ref, offline=True, **reach)
    assert zoo.load(ref, **reach).sample(3).equals(model.sample(3))
    assert zoo.load(ref, offline=True, **reach).sample(3).equals(model.sample(3))


def test_offline_uses_the_cache_alone_and_says_what_it_has_not(hub, reach, model):
    with pytest.raises(UnknownModelError, match="me/mine: not in the cache"):
        zoo.load("me/mine", offline=True, **reach)
    zoo.pull("me/mine", **reach)
    hub.requests.clear()
    assert zoo.load("me/mine", offline=True, **reach).sample(3).equals(model.sample(3))
    assert hub.requests == []
    with pytest.raises(UnknownModelError, match="me/mine@v1: not in the cache"):
        zoo.load("me/mine@v1", offline=True, **reach)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda hub: hub.gate("me/mine"), "gated"),
        (lambda hub: hub.delete("me/mine"), "no such repository"),
        (lambda hub: hub.move("me/mine", "me/moved"), "has moved to me/moved"),
        (lambda hub: hub.__exit__(), "out of reach"),
        (lambda hub: always(hub, path=DESCRIPTION, status=500), "status 500"),
    ],
    ids=["gated", "gone", "moved", "off", "broken"],
)
def test_a_copy_outlives_its_repository_with_a_warning(hub, reach, model, hasty, change, told):
    zoo.load("me/mine", **reach)
    change(hub)
    with pytest.warns(UserWarning, match=told) as said:
        loaded = zoo.load("me/mine", **reach)
    assert len(said) == 1
    assert loaded.sample(3).equals(model.sample(3))


PUSHES = {
    "nobody": ({"token": False}, UnknownModelError, "log in"),
    "unknown token": ({"token": "wrong"}, HubError, "does not know who you are"),
    "reader": ({"token": "reader"}, HubError, "refuses this to your token"),
    "repository of another": ({"repo": "you/theirs"}, HubError, "refuses this to your token"),
    "no repository": ({"repo": "no/such/name"}, OptionError, "is no name for a repository"),
    "no branch": ({"branch": "../x"}, OptionError, "is no name for a branch"),
    "no tag": ({"tag": ""}, OptionError, "is no name for a tag"),
    "no token": ({"token": "secret\n"}, OptionError, "the token is empty, or has a character"),
    "no address": ({"endpoint": "localhost:8000"}, OptionError, "is no address such as"),
    "offline": ({"offline": True}, HubError, "offline is set"),
    "wrong parent": ({"parent": "0" * 40}, ConflictError, "someone pushed meanwhile"),
    "tag exists": ({"tag": "v1"}, OptionError, "tag 'v1' is at commit"),
    "not private": ({"private": True}, OptionError, "me/mine: is public"),
    "not private, new branch": ({"private": True, "branch": "new"}, OptionError, "me/mine: is public"),
    "half precision overflows": ({"precision": "float16"}, CheckpointError, "float16"),
    "someone is faster": ({}, ConflictError, "someone pushed meanwhile, so nothing was pushed"),
    "down": ({}, HubError, "status 503"),
    "refused by the Hub": ({}, HubError, "refuses this to your token"),
    "refused on a new branch": ({"branch": "new"}, HubError, "refuses this to your token"),
    "storage refuses": ({}, HubError, "refuses this to your token"),
}


@pytest.mark.parametrize("case", PUSHES)
def test_a_push_that_is_refused_changes_nothing(case, hub, model, hasty):
    options, error, told = PUSHES[case]
    changed = other(model)
    with torch.no_grad():
        next(changed.denoiser.parameters()).view(-1)[1] = 1e6
    theirs = {"note.txt": b"faster"} if case == "someone is faster" else {}
    commits = r"/commit/main$"
    if theirs:
        hub.fault("POST", commits, call=lambda: hub.commit("me/mine", theirs))
    elif case == "storage refuses":
        hub.fault("PUT", "/lfs/", times=math.inf, status=403)
    elif case == "down" or "refused" in case:
        hub.fault("POST", "/commit/", times=math.inf, status=503 if case == "down" else 403)
    files, branches, tags = hub.files("me/mine", "main"), hub.branches("me/mine"), hub.tags("me/mine")
    with pytest.raises(error, match=told) as caught:
        changed.push(**{"repo": "me/mine", "endpoint": hub.url, "token": "secret"} | options)
    assert "\n" not in str(caught.value)
    assert hub.files("me/mine", "main") == files | theirs
    assert hub.tags("me/mine") == tags
    assert theirs or hub.branches("me/mine") == branches


def test_a_push_is_one_commit_and_an_unchanged_one_is_none(hub, push, model):
    done = push("me/new", private=True, tag="v1")
    assert done.added == ("README.md", "model.safetensors", "zoo.json")
    assert hub.commits("me/new", "main")[0] == done.commit == hub.tags("me/new")["v1"]
    assert len(hub.commits("me/new", "main")) == 2  # the Hub makes the first
    again = push("me/new", tag="v1")
    assert (again.commit, again.added, again.changed, again.removed) == (done.commit, (), (), ())
    assert len(hub.commits("me/new", "main")) == 2


def test_dry_run_tells_and_changes_nothing(hub, push, model):
    assert push("me/absent", dry_run=True).added == ("README.md", "model.safetensors", "zoo.json")
    assert "me/absent" not in hub.repos
    hub.commit("me/mine", {"log.csv": b"old"})
    before = hub.branches("me/mine")
    told = other(model).push("me/mine", dry_run=True, endpoint=hub.url, token="secret")
    assert (told.added, told.changed, told.removed) == ((), ("model.safetensors", "zoo.json"), ("log.csv",))
    assert hub.branches("me/mine") == before
    assert {method for method, _ in hub.requests} == {"GET"}


def test_a_push_leaves_files_of_others_and_removes_its_own_that_are_stale(hub, push):
    hub.commit("me/mine", {"figure.png": b"\x89PNG", "log.csv": b"old", "README.md": b"changed"})
    done = push()
    assert (done.added, done.changed, done.removed) == ((), ("README.md",), ("log.csv",))
    assert hub.files("me/mine", "main").keys() == {
        ".gitattributes",
        "README.md",
        "figure.png",
        "model.safetensors",
        "zoo.json",
    }


def test_branches_are_made_and_tags_pinned(hub, push, reach, model):
    theirs = other(model)
    options = {"endpoint": hub.url, "token": "secret"}
    done = theirs.push("me/mine", branch="exp", tag="v2", **options)
    assert hub.branches("me/mine") == {"main": hub.tags("me/mine")["v1"], "exp": done.commit}
    for ref, wanted in (("me/mine", model), ("me/mine@exp", theirs), ("me/mine@v2", theirs)):
        assert zoo.load(ref, **reach).sample(3).equals(wanted.sample(3))
    assert push(tag="v3").commit == hub.tags("me/mine")["v3"] == hub.tags("me/mine")["v1"]


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "GET", "path": DESCRIPTION, "status": 503},
        {"method": "POST", "path": "/commit/main$", "status": 503},
        {"method": "POST", "path": "/commit/main$", "drop": True},
        {"method": "POST", "path": "/preupload/main$", "status": 500},
        {"method": "PUT", "path": "/lfs/", "status": 503},
        {"method": "PUT", "path": "/lfs/", "drop": True},
    ],
    ids=lambda fault: f"{fault['path']} {list(fault)[-1]}",
)
def test_a_push_survives_a_hub_that_fails_once(hub, model, reach, fault):
    hub.fault(**fault)
    theirs = other(model)
    done = theirs.push("me/mine", endpoint=hub.url, token="secret")
    assert hub.commits("me/mine", "main")[0] == done.commit
    assert len(hub.commits("me/mine", "main")) == 3
    assert zoo.load("me/mine", **reach).sample(3).equals(theirs.sample(3))


def test_a_commit_whose_answer_was_lost_is_recognised_as_ones_own(hub, model):
    theirs = other(model)

    def lands_before() -> None:
        hub.commit("me/mine", theirs.pack(ref="me/mine"))

    hub.fault("POST", "/commit/main$", call=lands_before)
    done = theirs.push("me/mine", endpoint=hub.url, token="secret")
    assert [done.commit] == hub.commits("me/mine", "main")[:1]
    assert len(hub.commits("me/mine", "main")) == 3


def test_the_card_loads_the_model_as_written_and_shows_figures(hub, reach, monkeypatch):
    card = hub.files("me/mine", "main")["README.md"].decode()
    snippet = card.partition("```python\n")[2].partition("```")[0]
    load = zoo.load
    monkeypatch.setattr(zoo, "load", lambda ref, **more: load(ref, **more, **reach))
    names: dict = {}
    exec(snippet, names)
    assert names["model"].provenance.repo == "me/mine"
    for text in ("license:", "## Figures", "untrained", "## Training", "## Use and limits", "Licence of the"):
        assert text in card


def test_a_folder_is_pushed_with_its_log_and_pulled_back(hub, reach, rings, tmp_path):
    zoo.train(rings, rings.example(), steps=2, out=tmp_path / "run", show=False)
    options = {"endpoint": hub.url, "token": "secret"}
    assert "log.csv" in upkeep.push(tmp_path / "run", "me/run", **options).added
    copy = zoo.pull("me/run", tmp_path / "copy", **reach)
    assert (copy / "log.csv").read_bytes() == (tmp_path / "run" / "log.csv").read_bytes()
    assert zoo.load(copy).sample(3).equals(zoo.load(tmp_path / "run").sample(3))
    (tmp_path / "run" / "log.csv").write_text("changed")
    with pytest.raises(CheckpointError, match=r"log\.csv"):
        upkeep.push(tmp_path / "run", "me/run", **options)
    with pytest.raises(CheckpointError, match="holds other files"):
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").touch()
        zoo.pull("me/run", tmp_path / "mine", **reach)


def test_a_login_is_not_sent_to_another_address(hub, reach, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "secret of huggingface.co")
    hub.requests.clear()
    anonymous = {name: value for name, value in reach.items() if name != "token"}
    assert zoo.load("me/mine", **anonymous)  # the Hub of the tests refuses unknown tokens


LOAD = (
    "import sys, zoo; print(zoo.load('me/mine', endpoint=sys.argv[1], token='secret', cache_dir=sys.argv[2]))"
)


def test_two_processes_pull_at_once(hub, reach, plugins, environment):
    for _ in range(2):
        hub.fault(path=WEIGHTS, delay=0.5)
    command = [sys.executable, "-c", LOAD, reach["endpoint"], reach["cache_dir"]]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert all("PointModel rings-flow" in one.communicate(timeout=120)[0] for one in both)


def test_a_pull_killed_in_the_middle_does_no_harm(hub, reach, model, environment):
    hub.fault(path=WEIGHTS, delay=60)
    command = [sys.executable, "-c", LOAD, reach["endpoint"], reach["cache_dir"]]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while not any(method == "GET" and "model.safetensors" in path for method, path in hub.requests):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    with pytest.raises(zoo.ZooError, match="cache"):
        zoo.load("me/mine", offline=True, **reach)
    assert zoo.load("me/mine", **reach).sample(3).equals(model.sample(3))


def test_environment_variables_lead_there_too(hub, tmp_path, python):
    show = "import zoo; print(zoo.load('me/mine').provenance.repo)"
    home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, "HF_TOKEN": "secret"}
    assert python("-c", show, **home).stdout == "me/mine\n"
    offline = python("-c", show, **home, HF_HUB_OFFLINE="1")
    assert offline.stdout == "me/mine\n"
    assert "not in the cache" in python("-c", show.replace("mine", "x"), **home, HF_HUB_OFFLINE="1").stderr


def test_adapters_are_small_pinned_and_refuse_another_base(hub, reach, rings, model, tmp_path):
    pytest.importorskip("peft", reason="needs the extra lora")
    base = zoo.load("me/mine", **reach)
    tuned = zoo.finetune(base, rings.example(), steps=5, lr=0.05, method="lora", rank=2, show=False)
    assert tuned.push("me/small", endpoint=hub.url, token="secret").added == (
        "README.md",
        "adapter.safetensors",
        "zoo.json",
    )
    pinned = manifest.loads(hub.files("me/small", "main")["zoo.json"], "").lora
    assert pinned is not None and pinned.base == f"me/mine@{base.provenance.commit}"
    with pytest.raises(CheckpointError, match=f"pass base='{pinned.base}'"):
        zoo.load("me/small", **reach)
    with pytest.raises(CheckpointError, match="pass the right base"):
        zoo.load("me/small", base=other(model), **reach)
    for right in (pinned.base, base, model):
        loaded = zoo.load("me/small", base=right, **reach)
        assert loaded.sample(4).equals(tuned.sample(4))
    assert not loaded.sample(4).equals(base.sample(4))
    card = hub.files("me/small", "main")["README.md"].decode()
    assert f'zoo.load("me/small", base="{pinned.base}")' in card
    whole = zoo.load(loaded.merge().save(tmp_path / "whole"))
    assert whole.lora is None and whole.denoiser.state_dict().keys() == base.denoiser.state_dict().keys()
    assert (whole.sample(4) - tuned.sample(4)).abs().max().max() < 1e-5
    assert zoo.verify("me/small", **reach).loaded is False
    assert zoo.verify("me/small", base=base, **reach).loaded is True


def test_verify_reads_a_repository_whole(hub, reach, model):
    found = zoo.verify("me/mine@v1", **reach)
    assert (found.repo, found.commit, found.loaded) == ("me/mine", hub.tags("me/mine")["v1"], True)
    broken = model.pack(ref="me/mine")
    tensors = {name: t.clone() for name, t in model.denoiser.state_dict().items()}
    next(iter(tensors.values())).view(-1)[0] = float("nan")
    described = manifest.loads(broken["zoo.json"], "")
    from safetensors.torch import save

    hub.commit("me/mine", zoo.checkpoint.seal(replace(described), save(tensors), ref="me/mine"))
    with pytest.raises(CheckpointError, match="is not finite"):
        zoo.verify("me/mine", **reach)
    shutil.rmtree(reach["cache_dir"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert zoo.verify("me/mine@v1", **reach).manifest == found.manifest


def test_a_repository_that_comes_into_being_meanwhile_is_neither_overwritten_nor_made_public(hub, model):
    options = {"endpoint": hub.url, "token": "secret"}
    hub.fault("POST", "/repos/create", call=lambda: hub.create("me/race"))
    with pytest.raises(ConflictError, match="came into being meanwhile"):
        model.push("me/race", private=True, **options)
    assert hub.files("me/race", "main").keys() == {".gitattributes"}

    def branches() -> None:
        hub.repos["me/mine"].branches["exp"] = hub.branches("me/mine")["main"]
        hub.commit("me/mine", {"note.txt": b"theirs"}, branch="exp")

    hub.fault("POST", "/branch/exp", call=branches)
    with pytest.raises(ConflictError, match="came into being meanwhile"):
        other(model).push("me/mine", branch="exp", **options)
    assert hub.files("me/mine", "exp")["note.txt"] == b"theirs"


def test_a_new_branch_is_compared_with_the_main_one(hub, push):
    hub.commit("me/mine", {"log.csv": b"old"})
    done = push(branch="exp")
    assert (done.added, done.changed, done.removed) == ((), ("README.md", "zoo.json"), ("log.csv",))
    assert b'zoo.load("me/mine@exp")' in hub.files("me/mine", "exp")["README.md"]
    assert "log.csv" in hub.files("me/mine", "main")


def test_a_tag_that_someone_gave_meanwhile_is_told(hub, model):
    first = hub.commits("me/mine", "main")[0]
    hub.fault("POST", "/tag/", call=lambda: hub.repos["me/mine"].tags.update(v2=first))
    with pytest.raises(ConflictError, match=r"is at commit [0-9a-f]{40} now, but was not given the tag 'v2'"):
        other(model).push("me/mine", tag="v2", endpoint=hub.url, token="secret")
    assert hub.tags("me/mine")["v2"] == first


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"null", b"<html>", b'{"siblings": [{}]}', b'{"sha": 5}'])
def test_a_server_that_is_no_hub_is_told(answer, reach):
    class Odd(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(HubError, match="me/mine: the Hub") as caught:
            zoo.load("me/mine", **reach | {"endpoint": f"http://127.0.0.1:{server.server_port}"})
        server.shutdown()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fault",
    [
        {"method": "HEAD", "status": 429, "headers": {"Retry-After": "30"}},
        {"method": "HEAD", "status": 503},
        {"method": "GET", "path": "/resolve/", "delay": 30},
    ],
    ids=["asks for patience", "fails", "trickles"],
)
def test_no_server_can_hold_a_load_up_for_longer_than_the_deadline(hub, reach, hasty, fault):
    always(hub, **fault)
    start = time.monotonic()
    with pytest.raises(HubError, match=r"too slow|status"):
        zoo.load("me/mine", **reach)
    assert time.monotonic() - start < 10


def test_a_cache_that_cannot_be_written_is_told(hub, reach, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HubError, match="the cache cannot be used: "):
        zoo.load("me/mine", **reach | {"cache_dir": str(tmp_path / "file")})
    with pytest.raises(OptionError, match="cache_dir is empty"):
        zoo.load("me/mine", **reach | {"cache_dir": ""})


def test_the_shipped_model_is_the_same_from_its_name_a_folder_and_the_hub(hub, reach, tmp_path):
    shipped = zoo.load("timeseries-flow", device="cpu")
    wanted = shipped.sample(2, seed=1)
    upkeep.push(zoo.catalog.find("timeseries-flow"), "me/shipped", endpoint=hub.url, token="secret")
    for ref in (shipped.save(tmp_path / "folder"), "me/shipped"):
        np.testing.assert_array_equal(zoo.load(ref, **reach, device="cpu").sample(2, seed=1), wanted)


def run(capsys, *args: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as done:
        main(args)
    said = capsys.readouterr()
    return int(done.value.code or 0), said.out, said.err


def test_the_command_line_pushes_pulls_and_uses_what_it_pulled(hub, saved, tmp_path, capsys):
    there = ["--endpoint", hub.url, "--token", "secret"]
    cache = ["--cache-dir", str(tmp_path / "cache")]
    push = ["push", str(saved), "me/cli", *there, "--private", "--tag", "v1"]
    code, out, _ = run(capsys, *push, "--dry-run")
    assert (code, out.count("would add"), "me/cli" in hub.repos) == (0, 3, False)
    code, out, _ = run(capsys, *push)
    assert (code, out.count("add "), hub.repos["me/cli"].private) == (0, 3, True)
    assert hub.tags("me/cli")["v1"] in out
    assert "holds this checkpoint already" in run(capsys, *push)[1]
    code, out, _ = run(capsys, "pull", "me/cli@v1", *there, *cache, "--out", str(tmp_path / "copy"))
    assert code == 0 and "copy" in out
    for ref in ("me/cli@v1", str(tmp_path / "copy")):
        assert "all finite" in run(capsys, "verify", ref, *there, *cache)[1]
    assert "rings-flow" in run(capsys, "info", "me/cli", "--revision", "v1", *there, *cache)[1]
    options = ["--offline", *there, *cache, "--out", str(tmp_path / "x.csv")]
    for args in (["sample", "me/cli@v1", *options], ["sample", *options, "me/cli", "--revision=v1"]):
        (tmp_path / "x.csv").unlink(missing_ok=True)
        assert run(capsys, *args)[0] == 0
        assert (tmp_path / "x.csv").is_file()


def test_the_command_line_says_in_one_line_what_went_wrong(hub, saved, tmp_path, capsys, hasty):
    there = ["--endpoint", hub.url, "--cache-dir", str(tmp_path / "cache")]
    for args, told in (
        (["pull", "me/absent", *there], "no such repository"),
        (["info", "me/mine", "--offline", *there], "not in the cache"),
        (["sample", "me/mine", "--revision", *there], "--revision"),
        (["push", str(saved), "you/mine", "--endpoint", hub.url, "--token", "secret"], "refuses this"),
        (["push", str(tmp_path), "me/mine", "--endpoint", hub.url], "no zoo.json"),
        (["verify", "me/mine", "--base", "me/x", *there], "needs no base"),
    ):
        code, out, err = run(capsys, *args)
        assert (code, out) == (2, "")
        assert told in err and err.count("\n") == 1
    zoo.pull("me/mine", endpoint=hub.url, cache_dir=tmp_path / "cache")
    hub.delete("me/mine")
    code, out, err = run(capsys, "info", "me/mine", *there)
    assert (code, err.count("\n")) == (0, 1)
    assert err.startswith("zoo: me/mine: no such repository on the Hub") and "Used instead" in err
