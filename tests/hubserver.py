"""A Hugging Face Hub on this machine, made of the standard library, that the real client talks to.

It keeps repositories and answers with the status codes and error headers that the client's exceptions follow.
Data sets stand beside models, under addresses of their own; of one name there is one repository. Left out:
spaces, pull requests, copies, pages of listings, Xet.
"""

import base64
import contextlib
import hashlib
import json
import re
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, unquote

FIRST_FILES = {".gitattributes": b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"}
FAULTS = ("status", "truncate", "flip", "delay", "drop", "call")


@dataclass
class Answer:
    """What is sent back: bytes, or anything else as JSON."""

    body: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    """Ends a request with an answer that is not a success."""

    def __init__(self, status: int, error: str, code: str = "", headers: dict | None = None, **fields: str):
        told = {"X-Error-Message": error, "X-Error-Code": code}
        self.answer = Answer({"error": error, **fields}, status, told | (headers or {}))


@dataclass(frozen=True)
class Commit:
    """An immutable snapshot of a repository."""

    files: dict[str, bytes]
    parent: str | None
    title: str
    date: str


@dataclass
class Repo:
    """A model repository: commits by their ids, and the branches and tags that point to them."""

    name: str
    private: bool
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def push(self, branch: str, files: dict[str, bytes], title: str) -> str:
        """Makes `files` the new head of the branch and returns its id."""
        oid, date = secrets.token_hex(20), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.commits[oid] = Commit(files, self.branches.get(branch), title, date)
        self.branches[branch] = oid
        return oid

    def head(self, branch: str) -> str:
        if branch not in self.branches:
            raise Refused(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        return self.branches[branch]

    def find(self, revision: str) -> str:
        """The id of the commit that a branch, tag or id names."""
        oid = self.tags.get(revision, revision)
        return oid if oid in self.commits else self.head(revision)

    def log(self, revision: str) -> list[str]:
        """The ids of a commit and its ancestors, newest first."""
        oids = [self.find(revision)]
        while parent := self.commits[oids[-1]].parent:
            oids.append(parent)
        return oids


def is_lfs(path: str, size: int, sample: bytes) -> bool:
    """Whether a file stands outside git: large or, as git judges by the first bytes, binary."""
    return size > 10_000_000 or (size > 0 and path.endswith(".safetensors")) or b"\0" in sample


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def describe(path: str, content: bytes) -> dict[str, Any]:
    """What listings say of a file. The git id of an LFS file is that of the pointer that git keeps of it."""
    size, lfs = len(content), None
    if is_lfs(path, size, content[:512]):
        oid = sha256(content)
        content = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n".encode()
        lfs = {"oid": oid, "sha256": oid, "size": size, "pointerSize": len(content)}
    blob = git_sha1(content)
    return {"size": size, "oid": blob, "blobId": blob, "lfs": lfs}


class Handler(BaseHTTPRequestHandler):
    """A request: noted, spoiled where a fault says so, and answered by the endpoint that `ROUTES` names."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: 40 ms an answer otherwise
    server: "HubServer"

    def do_GET(self) -> None:
        target, _, query = self.path.partition("?")
        self.query = dict(parse_qsl(query))
        # Read in any case: what is left would be taken for the connection's next request.
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind, value, headers = self.server.note(self.command, unquote(target))
        if kind == "drop":
            self.close_connection = True
            return
        if kind == "delay":
            time.sleep(value)
        if kind == "call":
            value()
        try:
            if kind == "status":
                raise Refused(value, "a fault of the test", headers=headers)
            with self.server.lock:
                answer = self.route(target)
        except Refused as refused:
            answer = refused.answer
        self.send(answer, **{kind: value} if kind in ("flip", "truncate") else {})

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *args: object) -> None:
        pass

    def send(self, answer: Answer, flip: int | None = None, truncate: int | None = None) -> None:
        body = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in (answer.headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if flip is not None:
            body = body[:flip] + bytes([body[flip] ^ 1]) + body[flip + 1 :]
        if truncate is not None:
            self.close_connection = True
        self.wfile.write(body[:truncate])

    def route(self, target: str) -> Answer:
        self.anonymous = "Authorization" not in self.headers
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if not self.anonymous and token not in self.server.tokens:
            raise Refused(401, "Invalid credentials in Authorization header")
        self.user = self.server.tokens.get(token)
        method = "GET" if self.command == "HEAD" else self.command
        for pattern, endpoint in ROUTES.items():
            # Matched before it is unquoted: the branch exp/a arrives as exp%2Fa.
            if match := re.fullmatch(pattern, f"{method} {target}"):
                args = {name: unquote(value) for name, value in match.groupdict("").items()}
                if "repo" in args:
                    args["repo"] = self.repo(args["repo"])
                return endpoint(self, **args)
        raise Refused(404, f"not an endpoint of this Hub: {method} {target}")

    def repo(self, name: str) -> Repo:
        """The repository, if the user may do with it what the method says."""
        if name in self.server.moved:
            there = self.path.replace(name, self.server.moved[name], 1)
            raise Refused(307, "moved", headers={"Location": there})
        owner, repo = name.split("/")[0], self.server.repos.get(name)
        # Strangers are not told a private repository from a missing one.
        if repo is None or (repo.private and self.user != owner):
            raise Refused(401 if self.anonymous else 404, "Repository not found", "RepoNotFound")
        if self.command not in ("GET", "HEAD"):
            # The client takes any 401 of a repository for this code, but on https addresses only.
            self.must_own(owner, "RepoNotFound")
        return repo

    def must_own(self, owner: str | None, code: str = "") -> None:
        if self.anonymous:
            raise Refused(401, "Invalid username or password.", code)
        if self.user is None or self.user != owner:
            raise Refused(403, f"You don't have the rights to write to {owner}")

    def whoami(self) -> Answer:
        return Answer({"type": "user", "name": self.user})

    def create(self) -> Answer:
        asked = json.loads(self.body)
        owner = asked["organization"] or self.user
        self.must_own(owner)
        name = f"{owner}/{asked['name']}"
        url = f"{self.server.url}/{name}"
        if name in self.server.repos:
            raise Refused(409, "You already created this model repo", url=url)  # exist_ok reads the url
        self.server.create(name, private=asked.get("visibility") == "private")
        return Answer({"url": url})

    def delete(self) -> Answer:
        asked = json.loads(self.body)
        owner = asked["organization"] or self.user
        self.must_own(owner)
        if self.server.repos.pop(f"{owner}/{asked['name']}", None) is None:
            raise Refused(404, "Repository not found", "RepoNotFound")
        return Answer({})

    def validate(self) -> Answer:
        return Answer({"errors": [], "warnings": []})

    def info(self, repo: Repo, revision: str = "main") -> Answer:
        oid = repo.find(revision)
        files, blobs = repo.commits[oid].files, self.query.get("blobs") == "true"
        siblings = [{"rfilename": path} | (describe(path, files[path]) if blobs else {}) for path in files]
        about = {"id": repo.name, "sha": oid, "lastModified": repo.commits[oid].date, "tags": []}
        access = {"private": repo.private, "gated": "manual" if repo.gated else False}
        return Answer(about | access | {"siblings": siblings})

    def check(self, repo: Repo) -> Answer:
        if repo.gated:
            raise Refused(403, f"Access to model {repo.name} is restricted", "GatedRepo")
        return Answer({})

    def tree(self, repo: Repo, revision: str, folder: str) -> Answer:
        files = repo.commits[repo.find(revision)].files
        folders = {str(parent) for path in files for parent in PurePosixPath(path).parents}
        top, deep = folder or ".", self.query.get("recursive") == "true"
        if top not in folders:
            raise Refused(404, f"{folder} does not exist on {revision}", "EntryNotFound")
        listing = {path: {"type": "directory", "oid": git_sha1(path.encode())} for path in folders - {"."}}
        listing |= {path: {"type": "file"} | describe(path, content) for path, content in files.items()}
        above = {path: [str(parent) for parent in PurePosixPath(path).parents] for path in sorted(listing)}
        inside = [path for path, parents in above.items() if top in (parents if deep else parents[:1])]
        return Answer([{"path": path} | listing[path] for path in inside])

    def refs(self, repo: Repo) -> Answer:
        listed = {"converts": [], "pullRequests": []}
        for kind, folder, refs in (("branches", "heads", repo.branches), ("tags", "tags", repo.tags)):
            rows = ((name, f"refs/{folder}/{name}", oid) for name, oid in refs.items())
            listed[kind] = [dict(zip(("name", "ref", "targetCommit"), row, strict=True)) for row in rows]
        return Answer(listed)

    def history(self, repo: Repo, revision: str) -> Answer:
        commits = [(oid, repo.commits[oid]) for oid in repo.log(revision)]
        rows = [{"id": oid, "title": commit.title, "date": commit.date} for oid, commit in commits]
        return Answer([row | {"message": "", "authors": []} for row in rows])

    def add_ref(self, repo: Repo, kind: str, name: str) -> Answer:
        asked, start = json.loads(self.body), name
        if kind == "branch":
            start = asked.get("startingPoint", "main")
        else:
            name = asked["tag"]  # the address of a tag says where it is to point
        refs = repo.branches if kind == "branch" else repo.tags
        if name in refs:
            raise Refused(409, f"Reference already exists: {name}")
        refs[name] = repo.find(start)
        return Answer({})

    def drop_ref(self, repo: Repo, kind: str, name: str) -> Answer:
        refs = repo.branches if kind == "branch" else repo.tags
        if refs.pop(name, None) is None:
            raise Refused(404, f"Invalid rev id: {name}", "RevisionNotFound")
        return Answer({})

    def preupload(self, repo: Repo, branch: str) -> Answer:
        files, modes = repo.commits[repo.head(branch)].files, []
        for asked in json.loads(self.body)["files"]:
            path = asked["path"]
            lfs = is_lfs(path, asked["size"], base64.b64decode(asked["sample"]))
            # The client leaves a file out of the commit if its own id is the one that stands there.
            oid = (sha256 if lfs else git_sha1)(files[path]) if path in files else None
            mode = {"uploadMode": "lfs" if lfs else "regular", "shouldIgnore": False}
            modes.append(mode | {"path": path, "oid": oid})
        return Answer({"files": modes})

    def lfs_batch(self, repo: Repo) -> Answer:
        objects = [{"oid": asked["oid"], "size": asked["size"]} for asked in json.loads(self.body)["objects"]]
        for wanted in objects:
            if wanted["oid"] not in self.server.lfs:
                wanted["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{wanted['oid']}"}}
        return Answer({"transfer": "basic", "objects": objects})

    def lfs_upload(self, oid: str) -> Answer:
        """Keeps an object for a commit to come. No token comes with it: the real address is signed."""
        if sha256(self.body) != oid:
            raise Refused(400, "the content does not have the sha256 that was announced")
        self.server.lfs[oid] = self.body
        return Answer({})

    def commit(self, repo: Repo, branch: str) -> Answer:
        head = repo.head(branch)
        files, title = dict(repo.commits[head].files), ""
        for line in self.body.splitlines():
            item = json.loads(line)
            key, value, path = item["key"], item["value"], item["value"].get("path")
            if key == "header":
                title = value["summary"]
                if value.get("parentCommit", head) != head:
                    raise Refused(412, "A commit has happened since. Please refresh and try again.")
            elif key == "file":
                files[path] = base64.b64decode(value["content"])
            elif key == "lfsFile":
                if value["oid"] not in self.server.lfs:
                    raise Refused(400, f"LFS pointer pointed to a file that does not exist: {path}")
                files[path] = self.server.lfs[value["oid"]]
            elif key == "deletedFile":
                if files.pop(path, None) is None:
                    raise Refused(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
            elif key == "deletedFolder":
                folder = path.rstrip("/") + "/"
                files = {name: content for name, content in files.items() if not name.startswith(folder)}
        oid = repo.push(branch, files, title)
        return Answer({"commitOid": oid, "commitUrl": f"{self.server.url}/{repo.name}/commit/{oid}"})

    def resolve(self, repo: Repo, revision: str, path: str) -> Answer:
        self.check(repo)
        oid = repo.find(revision)
        headers = {"X-Repo-Commit": oid, "Accept-Ranges": "bytes"}
        content = repo.commits[oid].files.get(path)
        if content is None:
            raise Refused(404, "Entry not found", "EntryNotFound", headers)
        said = describe(path, content)
        size, lfs = said["size"], said["lfs"]
        headers["ETag"] = f'"{lfs["sha256"] if lfs else said["oid"]}"'
        if lfs:
            headers |= {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(size)}
        if part := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(part[1]), min(int(part[2] or size), size - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            return Answer(content[first : last + 1], 206, headers)
        return Answer(content, 200, headers)


REPO, REVISION = r"(?P<repo>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
BRANCH, REF = r"(?P<branch>[^/]+)", r"(?P<kind>branch|tag)/(?P<name>[^/]+)"
API = f"/api/(?:models|datasets)/{REPO}"
ROUTES: dict[str, Callable[..., Answer]] = {
    "GET /api/whoami-v2": Handler.whoami,
    "POST /api/repos/create": Handler.create,
    "DELETE /api/repos/delete": Handler.delete,
    "POST /api/validate-yaml": Handler.validate,
    f"GET {API}": Handler.info,
    f"GET {API}/revision/{REVISION}": Handler.info,
    f"GET {API}/tree/{REVISION}/?(?P<folder>.*)": Handler.tree,
    f"GET {API}/auth-check": Handler.check,
    f"GET {API}/refs": Handler.refs,
    f"GET {API}/commits/{REVISION}": Handler.history,
    f"POST {API}/{REF}": Handler.add_ref,
    f"DELETE {API}/{REF}": Handler.drop_ref,
    f"POST {API}/preupload/{BRANCH}": Handler.preupload,
    f"POST {API}/commit/{BRANCH}": Handler.commit,
    rf"POST /{REPO}\.git/info/lfs/objects/batch": Handler.lfs_batch,
    "PUT /lfs/(?P<oid>[0-9a-f]{64})": Handler.lfs_upload,
    f"GET (?:/datasets)?/{REPO}/resolve/{REVISION}/(?P<path>.+)": Handler.resolve,
}


class HubServer(ThreadingHTTPServer):
    """The Hub of a test: what it keeps, what was asked of it, and the faults to come.

    Args:
        tokens: the user of each token; None for a token that may only read what is public.
    """

    request_queue_size = 64  # the client opens connections in parallel; a full queue costs one a second

    def __init__(self, tokens: dict[str, str | None] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.tokens = {"secret": "me"} if tokens is None else tokens
        self.lock = threading.RLock()  # held by whatever changes what follows; commits never change
        self.repos: dict[str, Repo] = {}
        self.moved: dict[str, str] = {}
        self.lfs: dict[str, bytes] = {}
        self.requests: list[tuple[str, str]] = []
        self.faults: list[dict[str, Any]] = []
        self.connections: set[Any] = set()

    def __enter__(self) -> "HubServer":
        # Polled more often than each half second, which every test would wait for at its end.
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self.server_close()
        # The client keeps its connections open, and their threads would go on answering.
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        # A client that gives up belongs to the tests; anything else is a mistake of this file.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def note(self, method: str, path: str) -> tuple[str, Any, dict[str, str]]:
        """Notes a request and returns the kind, value and headers of the first fault that is meant for it."""
        with self.lock:
            self.requests.append((method, path))
            for fault in self.faults:
                if fault["times"] > 0 and fault["method"] == method and re.search(fault["path"], path):
                    fault["times"] -= 1
                    return fault["kind"], fault["value"], fault["headers"]
        return "", None, {}

    def fault(
        self, method: str = "GET", path: str = "", times: float = 1, headers: dict | None = None, **kind: Any
    ) -> None:
        """Spoils the next requests of a method whose unquoted path has the pattern in it.

        Args:
            times: how many; ``math.inf`` for all.
            headers: of the answer, beside a `status`.
            kind: exactly one of `status`, `truncate` (the bytes of the body that are sent before the
                connection is closed), `flip` (the offset in the body of the byte that gets one bit wrong),
                `delay` (seconds), `drop` (True: closed without an answer) and `call` (a function to run
                before the answer).
        """
        ((name, value),) = kind.items()
        if name not in FAULTS:
            raise TypeError(f"no such fault: {name}")
        fault = {"method": method, "path": path, "times": times, "headers": headers or {}}
        with self.lock:
            self.faults.append(fault | {"kind": name, "value": value})

    def create(self, name: str, private: bool = False) -> None:
        """Makes a repository, with the one file that the real Hub puts there."""
        with self.lock:
            self.repos[name] = Repo(name, private)
            self.repos[name].push("main", FIRST_FILES, "initial commit")
            self.moved.pop(name, None)

    def commit(self, name: str, changes: dict[str, bytes | None], branch: str = "main") -> str:
        """Pushes a commit, in which None deletes a file, and returns its id."""
        with self.lock:
            repo = self.repos[name]
            files = repo.commits[repo.head(branch)].files | changes
            return repo.push(branch, {path: data for path, data in files.items() if data is not None}, "")

    def gate(self, name: str) -> None:
        """From now on the repository's files, though not its listings, are refused to everyone."""
        with self.lock:
            self.repos[name].gated = True

    def delete(self, name: str) -> None:
        with self.lock:
            del self.repos[name]

    def move(self, name: str, to: str) -> None:
        """Renames a repository; the old name redirects to the new one."""
        with self.lock:
            self.repos[to] = self.repos.pop(name)
            self.repos[to].name, self.moved[name] = to, to

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        """What stands at a branch, tag or commit."""
        return dict(self.repos[name].commits[self.repos[name].find(revision)].files)

    def commits(self, name: str, revision: str = "main") -> list[str]:
        """The ids of the commits of a branch, newest first."""
        return self.repos[name].log(revision)

    def tags(self, name: str) -> dict[str, str]:
        return dict(self.repos[name].tags)

    def branches(self, name: str) -> dict[str, str]:
        return dict(self.repos[name].branches)
