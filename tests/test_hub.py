"""References to the Hub, against a server on this machine that answers as the Hub does."""

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import zoo

COMMITS = {"main": "a" * 40, "v1": "b" * 40}
SHOW = "import sys, zoo; print(zoo.load(sys.argv[1]))"


class Hub(BaseHTTPRequestHandler):
    """Serves one repository, me/mine, read-only."""

    folder: Path
    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        repo, _, place = self.path.split("?")[0].partition("/resolve/")
        revision, _, name = place.partition("/")
        commit = COMMITS.get(revision, revision)
        if repo != "/me/mine":
            self.answer(b"", 404, X_Error_Code="RepoNotFound")
        elif commit not in COMMITS.values():
            self.answer(b"", 404, X_Error_Code="RevisionNotFound")
        elif not (self.folder / name).is_file():
            self.answer(b"", 404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
        else:
            body = (self.folder / name).read_bytes()
            self.answer(body, ETag=f'"{hashlib.sha256(body).hexdigest()}"', X_Repo_Commit=commit)

    do_HEAD = do_GET

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def load(saved, tmp_path, python) -> Iterator:
    """Loads a reference in a fresh interpreter whose Hub is ours; returns (stdout, stderr)."""
    handler = type("Handler", (Hub,), {"folder": saved})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"

    def run(ref: str, **env: str) -> tuple[str, str]:
        env = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "cache"), "HF_HUB_DISABLE_XET": "1"} | env
        done = python("-c", SHOW, ref, cwd=tmp_path, **env)
        return done.stdout, done.stderr

    yield run
    server.shutdown()
    server.server_close()


def test_repository_is_fetched_at_one_commit_and_works_offline_afterwards(load, saved):
    assert "PointModel rings-flow" in load("me/mine")[0]
    cached = saved.parent / "cache" / "hub" / "models--me--mine" / "snapshots"
    assert [path.name for path in cached.iterdir()] == [COMMITS["main"]]
    offline = {"HF_HUB_OFFLINE": "1"}
    for ref in ("me/mine", "me/mine@main", "me/mine@" + COMMITS["main"]):
        assert "PointModel rings-flow" in load(ref, **offline)[0]
    assert "not in the cache" in load("me/other", **offline)[1]


def test_trained_repository_comes_with_its_log(load, saved, rings):
    zoo.train(rings, rings.example(), steps=2, out=saved, show=False)
    assert (saved / "log.csv").is_file()
    assert "PointModel rings-flow" in load("me/mine")[0]
    cached = saved.parent / "cache" / "hub" / "models--me--mine" / "snapshots" / COMMITS["main"]
    assert {path.name for path in cached.iterdir()} == {path.name for path in saved.iterdir()}


@pytest.mark.parametrize(
    ("ref", "told"),
    [("me/absent", "no such repository"), ("me/mine@v9", "no such revision"), ("me/mine..x", "not a valid")],
)
def test_what_is_not_there_says_so(load, ref, told):
    assert told in load(ref)[1].splitlines()[-1]


def test_corrupted_download_is_refused(load, saved):
    file = saved / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert "sha256" in load("me/mine@v1")[1].splitlines()[-1]


def test_repository_without_a_checkpoint_says_so(load, saved):
    (saved / "zoo.json").unlink()
    assert "no checkpoint of the zoo" in load("me/mine")[1].splitlines()[-1]
