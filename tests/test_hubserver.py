"""The Hub of the tests, asked by the real client."""

import hashlib
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# Before the client, which reads once whether it may use Xet.
from tests.hubserver import HubServer, Repo, git_sha1  # isort: split

from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_hf_file_metadata,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx

WEIGHTS = random.Random(0).randbytes(200_000)
FILES = {"model.safetensors": WEIGHTS, "zoo.json": b'{"format": 1}\n'}
DOWNLOAD = r"/resolve/.*/model\.safetensors$"


@pytest.fixture
def hub() -> Iterator[HubServer]:
    """A Hub with the repository me/mine and a token for each thing that may go wrong with one."""
    with HubServer({"secret": "me", "readonly": None, "other": "you"}) as hub:
        hub.create("me/mine")
        hub.commit("me/mine", {**FILES, ".gitattributes": None})
        yield hub


@pytest.fixture
def api(hub: HubServer) -> HfApi:
    return HfApi(endpoint=hub.url, token="secret")


@pytest.fixture
def get(hub: HubServer, tmp_path: Path) -> Callable[..., bytes]:
    """Downloads a file of me/mine, as a stranger, into a cache of the test's own."""

    def run(name: str = "model.safetensors", token: str | bool = False, **options) -> bytes:
        options |= {"endpoint": hub.url, "cache_dir": tmp_path / "cache", "token": token}
        return Path(hf_hub_download("me/mine", name, **options)).read_bytes()

    return run


def add(**files: bytes) -> list[CommitOperationAdd]:
    return [CommitOperationAdd(name.replace("_", "."), content) for name, content in files.items()]


def test_client_creates_a_repository_and_pushes_to_it(hub, api, tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    assert api.whoami()["name"] == "me"
    assert api.create_repo("me/new").repo_id == api.create_repo("me/new", exist_ok=True).repo_id == "me/new"
    with pytest.raises(HfHubHTTPError, match="409"):
        api.create_repo("me/new")
    adds = [CommitOperationAdd(name, tmp_path / name) for name in FILES] + add(README_md=b"# New\n")
    first, head = hub.commits("me/new")[0], api.create_commit("me/new", adds, commit_message="all").oid
    assert hub.commits("me/new") == [head, first]
    assert hub.files("me/new") == hub.files("me/new", first) | FILES | {"README.md": b"# New\n"}
    assert [commit.title for commit in api.list_repo_commits("me/new")] == ["all", "initial commit"]

    uploads = [path for method, path in hub.requests if method == "PUT"]
    assert uploads == [f"/lfs/{hashlib.sha256(WEIGHTS).hexdigest()}"]
    again = api.upload_folder(repo_id="me/new", folder_path=tmp_path)
    assert again.oid == head == hub.branches("me/new")["main"]

    removal = [CommitOperationAdd("a/b/c.txt", b"c"), CommitOperationDelete("zoo.json")]
    api.create_commit("me/new", removal, commit_message="move")
    api.create_commit("me/new", [CommitOperationDelete("a/")], commit_message="clean")
    assert set(hub.files("me/new")) == {".gitattributes", "README.md", "model.safetensors"}
    with pytest.raises(RemoteEntryNotFoundError, match="doesn't exist"):
        api.create_commit("me/new", [CommitOperationDelete("zoo.json")], commit_message="again")


def test_client_lists_and_downloads_what_stands_there(hub, api, get, tmp_path):
    head = hub.commit("me/mine", {"a/b.txt": b"b"})
    info = api.model_info("me/mine", files_metadata=True)
    assert (info.id, info.sha, info.private, info.gated) == ("me/mine", head, False, False)
    assert api.model_info("me/mine", revision=head).siblings[0].size is None
    siblings = {sibling.rfilename: sibling for sibling in info.siblings}
    text, weights = siblings["zoo.json"], siblings["model.safetensors"]
    assert (text.size, text.blob_id, text.lfs) == (14, git_sha1(FILES["zoo.json"]), None)
    assert (weights.size, weights.lfs.sha256) == (200_000, hashlib.sha256(WEIGHTS).hexdigest())

    def tree(folder=None, **options):
        return [entry.path for entry in api.list_repo_tree("me/mine", folder, **options)]

    assert tree() == ["a", "model.safetensors", "zoo.json"]
    assert tree(recursive=True) == ["a", "a/b.txt", "model.safetensors", "zoo.json"]
    assert tree("a") == ["a/b.txt"]

    for name, content in hub.files("me/mine").items():
        assert get(name) == content
    folder = Path(snapshot_download("me/mine", endpoint=hub.url, token=False, cache_dir=tmp_path))
    assert {str(path.relative_to(folder)) for path in folder.rglob("*.*")} == set(hub.files("me/mine"))
    meta = get_hf_file_metadata(hf_hub_url("me/mine", "model.safetensors", endpoint=hub.url), token=False)
    assert (meta.etag, meta.size, meta.commit_hash) == (weights.lfs.sha256, 200_000, head)
    assert api.file_exists("me/mine", "zoo.json")
    with pytest.raises(RemoteEntryNotFoundError):
        get("absent.json")


@pytest.mark.parametrize(
    ("name", "content", "lfs"),
    [
        ("empty.safetensors", b"", False),
        ("small.safetensors", b"s", True),
        ("text.bin", b"text", False),
        ("binary.txt", b"\0\1", True),
        ("large.txt", b"." * 10_000_001, True),
    ],
)
def test_large_and_binary_files_go_to_lfs(hub, api, name, content, lfs):
    api.create_commit("me/mine", [CommitOperationAdd(name, content)], commit_message="x")
    assert hub.files("me/mine")[name] == content
    assert ("PUT" in {method for method, _ in hub.requests}) == lfs
    siblings = api.model_info("me/mine", files_metadata=True).siblings
    assert [bool(sibling.lfs) for sibling in siblings if sibling.rfilename == name] == [lfs]


def test_branches_and_tags_name_commits(hub, api, get):
    main = hub.commits("me/mine")[0]
    api.create_branch("me/mine", branch="exp/a")
    api.create_tag("me/mine", tag="v1", revision="exp/a")
    head = api.create_commit("me/mine", add(zoo_json=b"{}"), commit_message="x", revision="exp/a").oid
    assert (hub.branches("me/mine"), hub.tags("me/mine")) == ({"main": main, "exp/a": head}, {"v1": main})
    assert hub.commits("me/mine", "exp/a")[:2] == [head, main]
    refs = api.list_repo_refs("me/mine")
    listed = {ref.ref: ref.target_commit for ref in refs.branches + refs.tags}
    assert listed == {"refs/heads/main": main, "refs/heads/exp/a": head, "refs/tags/v1": main}
    for revision in ("exp/a", head):
        assert get("zoo.json", revision=revision) == b"{}"
    for revision in ("v1", main):
        assert get("zoo.json", revision=revision) == FILES["zoo.json"]
    for create in (
        lambda: api.create_branch("me/mine", branch="exp/a"),
        lambda: api.create_tag("me/mine", tag="v1"),
    ):
        with pytest.raises(HfHubHTTPError, match="409"):
            create()
    api.create_tag("me/mine", tag="v1", exist_ok=True)
    api.delete_tag("me/mine", tag="v1")
    api.delete_branch("me/mine", branch="exp/a")
    assert (hub.branches("me/mine"), hub.tags("me/mine")) == ({"main": main}, {})
    for lost in (
        lambda: get(revision="v1"),
        lambda: api.delete_tag("me/mine", tag="v1"),
        lambda: api.create_tag("me/mine", tag="v2", revision="exp/a"),
        lambda: api.create_commit("me/mine", add(a_txt=b"a"), commit_message="x", revision="exp/a"),
    ):
        with pytest.raises(RevisionNotFoundError):
            lost()


def test_commit_on_a_stale_parent_changes_nothing(hub, api):
    stale = hub.commits("me/mine")[0]
    hub.commit("me/mine", {"zoo.json": b"{}"})
    commits, files = hub.commits("me/mine"), hub.files("me/mine")
    adds = add(zoo_json=b"[]", new_safetensors=b"new")
    with pytest.raises(HfHubHTTPError) as caught:
        api.create_commit("me/mine", adds, commit_message="x", parent_commit=stale)
    assert caught.value.response.status_code == 412
    # The weights are uploaded by then, but nothing shows them.
    assert hashlib.sha256(b"new").hexdigest() in hub.lfs
    assert (hub.commits("me/mine"), hub.files("me/mine")) == (commits, files)
    api.create_commit("me/mine", adds, commit_message="x", parent_commit=commits[0])
    assert hub.files("me/mine") == files | {"zoo.json": b"[]", "new.safetensors": b"new"}
    assert [method for method, _ in hub.requests].count("PUT") == 1


def test_of_concurrent_commits_on_one_parent_one_is_made(hub, api, monkeypatch):
    head, made, push_at_once = hub.commits("me/mine")[0], [], Repo.push
    monkeypatch.setattr(Repo, "push", lambda *args: time.sleep(0.05) or push_at_once(*args))

    def push(number: int) -> None:
        adds = add(zoo_json=b"%d" % number)
        try:
            made.append(api.create_commit("me/mine", adds, commit_message="x", parent_commit=head).oid)
        except HfHubHTTPError as error:
            assert error.response.status_code == 412

    threads = [threading.Thread(target=push, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert hub.commits("me/mine")[:2] == [*made, head]


def test_upload_must_have_the_sha256_of_its_address(hub):
    assert httpx.put(f"{hub.url}/lfs/{'0' * 64}", content=b"other").status_code == 400
    assert not hub.lfs


@pytest.mark.parametrize(
    ("token", "status"), [(False, 401), ("wrong", 401), ("readonly", 403), ("other", 403)]
)
def test_writing_needs_the_token_of_the_owner(hub, api, token, status):
    before = hub.files("me/mine")
    stranger = HfApi(endpoint=hub.url, token=token)
    for write in (
        lambda: stranger.create_repo("me/new"),
        lambda: stranger.create_commit("me/mine", add(a_txt=b"a"), commit_message="x"),
        lambda: stranger.create_branch("me/mine", branch="b"),
        lambda: stranger.create_tag("me/mine", tag="t"),
        lambda: stranger.delete_repo("me/mine"),
    ):
        with pytest.raises(HfHubHTTPError) as caught:
            write()
        assert caught.value.response.status_code == status
    assert (hub.files("me/mine"), hub.branches("me/mine").keys(), hub.tags("me/mine")) == (
        before,
        {"main"},
        {},
    )


def test_private_repository_is_missing_for_strangers(hub, api, get):
    hub.delete("me/mine")
    api.create_repo("me/mine", private=True)
    assert api.model_info("me/mine").private
    assert get(".gitattributes", token="secret")
    for token, status in ((False, 401), ("readonly", 404), ("other", 404)):
        with pytest.raises(RepositoryNotFoundError) as caught:
            get(token=token)
        assert caught.value.response.status_code == status


def test_gated_repository_shows_itself_but_not_its_files(hub, api, get):
    hub.gate("me/mine")
    assert api.model_info("me/mine").gated == "manual"
    with pytest.raises(GatedRepoError):
        get()


def test_deleted_repository_is_missing(hub, api, get):
    api.delete_repo("me/mine")
    assert not api.repo_exists("me/mine")
    with pytest.raises(RepositoryNotFoundError):
        get()
    with pytest.raises(RepositoryNotFoundError):
        api.delete_repo("me/mine")


def test_moved_repository_is_found_under_its_old_name(hub, api, get):
    hub.move("me/mine", "me/new")
    assert api.model_info("me/mine").id == "me/new"
    assert get() == WEIGHTS
    api.create_commit("me/mine", add(new_safetensors=b"new"), commit_message="x")
    assert hub.files("me/new")["new.safetensors"] == b"new"


def test_failing_download_is_told(hub, get):
    hub.fault(path=DOWNLOAD, status=503, headers={"Retry-After": "1"})
    with pytest.raises(HfHubHTTPError) as caught:
        get()
    assert (caught.value.response.status_code, caught.value.response.headers["Retry-After"]) == (503, "1")
    assert get() == WEIGHTS
    assert [method for method, _ in hub.requests] == ["HEAD", "GET"] * 2


def test_truncated_download_is_resumed(hub, get, monkeypatch):
    # The client loses what it has of a chunk that does not end, and its chunks are of 10 MB.
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.fault(path=DOWNLOAD, truncate=150_000)
    hub.fault(path=DOWNLOAD, flip=0)  # shows where the second answer starts
    assert [at for at, byte in enumerate(get()) if byte != WEIGHTS[at]] == [150_000]
    assert [method for method, _ in hub.requests] == ["HEAD", "GET", "GET"]


def test_flipped_bit_is_delivered(hub, get):
    hub.fault(path=DOWNLOAD, flip=10)
    flipped = bytearray(WEIGHTS)
    flipped[10] ^= 1
    assert get() == flipped


def test_slow_and_silent_answers(hub, api):
    hub.fault(path="/api/models/", delay=0.5)
    with pytest.raises(httpx.TimeoutException):
        api.model_info("me/mine", timeout=0.1)
    hub.fault(path="/api/models/", drop=True)
    with pytest.raises(httpx.RemoteProtocolError):
        api.model_info("me/mine")
    assert api.model_info("me/mine").sha == hub.commits("me/mine")[0]


def test_push_in_the_middle_of_a_download(hub, get):
    hub.fault(method="HEAD", path="zoo.json", call=lambda: hub.commit("me/mine", {"zoo.json": b"{}"}))
    assert get("zoo.json") == b"{}"
    assert len(hub.commits("me/mine")) == 3


def test_fault_has_exactly_one_known_kind(hub):
    for kinds, error in (({}, ValueError), ({"drop": True, "flip": 1}, ValueError), ({"slow": 1}, TypeError)):
        with pytest.raises(error):
            hub.fault(**kinds)


def test_nothing_answers_after_the_end(api, hub):
    with HubServer() as other:
        other.create("me/mine")
        client = HfApi(endpoint=other.url, token="secret")
        client.model_info("me/mine")
    with pytest.raises(httpx.ConnectError):
        client.model_info("me/mine")
