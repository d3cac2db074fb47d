"""Pulling: one commit of a repository into the cache, every byte of it checked.

The revision is resolved once, and every file is fetched by that commit, so that a push in the middle cannot
mix two versions. The Hub's listing says how long each file is and gives a hash of `zoo.json`, which gives
those of all others. A branch or tag points to a commit in the cache only once the copy of it is complete.
"""

import hashlib
import re
import tempfile
import warnings
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoo import manifest
from zoo.errors import CheckpointError, HubError, UnknownModelError, ZooError
from zoo.hub.connection import ANSWER_SECONDS, Calls, Hub
from zoo.manifest import MANIFEST

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling


class Place(NamedTuple):
    """Where a checkpoint lies: its folder, and what it is a copy of if that is on the Hub."""

    folder: Path
    repo: str = ""
    commit: str = ""


def pull(repo: str, revision: str | None, hub: Hub) -> Place:
    """Fetches what is not in the cache yet.

    Where the Hub cannot be reached, or does not give the repository to this user any more, an earlier
    complete copy of the revision serves, with a warning.

    Args:
        repo: ``"org/repo"``.
        revision: branch, tag or commit; None for the main branch.
        hub: where, and as whom.

    Raises:
        UnknownModelError: if there is no such repository or revision.
        HubError: if the Hub cannot be reached or does not answer as it should.
        CheckpointError: if the repository holds no whole checkpoint, or offline, if the cache does not.
    """
    shown = f"{repo}@{revision}" if revision else repo
    if hub.is_offline:
        return _cached(repo, revision, hub, shown)
    if revision and is_commit(revision):  # it never changes: a whole copy will do
        with suppress(ZooError):
            return _cached(repo, revision, hub, shown)
    calls = Calls(shown)
    try:
        info = calls(partial(_describe, repo, revision, hub))
        copy = _fetch(repo, info, hub, calls)
    except (HubError, UnknownModelError) as error:
        try:
            copy = _cached(repo, revision, hub, shown)
        except ZooError:
            raise error from None
        warnings.warn(f"{error}. Used instead: the copy of commit {copy.commit} in the cache", stacklevel=2)
        return copy
    _point(copy.folder, revision or "main", copy.commit)
    if info.id != repo:
        warnings.warn(f"{repo} has moved to {info.id}: use that name", stacklevel=2)
    return copy


def _describe(repo: str, revision: str | None, hub: Hub) -> "ModelInfo":
    """The commit that the revision is now, with size and hash of each file."""
    api = hub.api()
    info = api.model_info(repo, revision=revision, files_metadata=True, timeout=ANSWER_SECONDS)
    if info.gated:
        api.auth_check(repo)  # a description is given to all
    return info


def _fetch(repo: str, info: "ModelInfo", hub: Hub, calls: Calls) -> Place:
    shown, commit = calls.shown, info.sha or ""
    if not is_commit(commit):
        raise HubError(f"{shown}: the Hub named no commit")
    listing = {file.rfilename: file for file in info.siblings or []}
    if MANIFEST not in listing:
        raise CheckpointError(f"{shown}: holds no {MANIFEST}, so this is no checkpoint of the zoo")
    if (listing[MANIFEST].size or 0) > manifest.MAX_BYTES:
        raise CheckpointError(f"{shown}: {MANIFEST} is larger than {manifest.MAX_BYTES} bytes")

    def download(name: str, anew: bool) -> Path:
        from huggingface_hub import hf_hub_download

        path = calls(
            lambda: hf_hub_download(
                repo,
                name,
                revision=commit,
                cache_dir=hub.own_cache,
                endpoint=hub.api().endpoint,
                token=hub.own_token,
                etag_timeout=ANSWER_SECONDS,
                force_download=anew,
            ),
            transfer=listing[name].size or 0,
        )
        return Path(path)

    def fetch(name: str, sha256: str | None) -> Path:
        """Downloads a file; once more, if it came damaged or was damaged in the cache."""
        for anew in (False, True):
            path = download(name, anew)
            if _is(path, listing[name], sha256):
                return path
        raise CheckpointError(
            f"{shown}: {name} is damaged: its hash is not the one that "
            + ("the Hub gives" if sha256 is None else f"{MANIFEST} gives")
        )

    folder = fetch(MANIFEST, None).parent
    described = manifest.read(folder)
    for name, file in sorted(described.files.items()):
        if name not in listing:
            raise CheckpointError(f"{shown}: {name} is missing, which {MANIFEST} lists")
        if listing[name].size not in (None, file.bytes):
            raise CheckpointError(
                f"{shown}: {name} has {listing[name].size} bytes, but {MANIFEST} says {file.bytes}"
            )
        fetch(name, file.sha256)
    return Place(folder, repo, commit)


def _is(path: Path, listed: "RepoSibling", sha256: str | None) -> bool:
    """Whether a file is the wanted one: by its sha256, or else by the hash that the Hub's listing gives."""
    if sha256 is None and listed.lfs is not None:
        sha256 = listed.lfs.sha256
    if sha256 is not None:
        return _sha256(path) == sha256
    return blob_id(path.read_bytes()) == listed.blob_id


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def blob_id(data: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def is_commit(revision: str) -> bool:
    """Whether a revision is a commit, which stays what it is, and no branch or tag."""
    return re.fullmatch("[0-9a-f]{40}", revision) is not None


def _found(repo: str, revision: str | None, hub: Hub) -> Path | None:
    """The folder of the revision in the cache, if there is any."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repo, MANIFEST, cache_dir=hub.own_cache, revision=revision)
    return Path(path).parent if isinstance(path, str) else None


def _cached(repo: str, revision: str | None, hub: Hub, shown: str) -> Place:
    """The copy in the cache, proven to be complete.

    Raises:
        UnknownModelError: if there is none.
        CheckpointError: naming a file that is missing or damaged.
    """
    folder = _found(repo, revision, hub)
    if folder is None:
        raise UnknownModelError(f"{shown}: not in the cache, and the Hub must not be asked: offline")
    path = folder / MANIFEST
    # files of the cache are links to blobs, which are named by their hash
    data = path.read_bytes()
    if path.resolve().name not in (MANIFEST, blob_id(data), hashlib.sha256(data).hexdigest()):
        raise CheckpointError(f"{shown}: {MANIFEST} is damaged in the cache; load it online once")
    for name, file in manifest.read(folder).files.items():
        path = folder / name
        if not path.is_file():
            raise CheckpointError(f"{shown}: {name} is missing in the cache; load it online once")
        if _sha256(path) != file.sha256:
            raise CheckpointError(f"{shown}: {name} is damaged in the cache; load it online once")
    return Place(folder, repo, folder.name)


def _point(folder: Path, revision: str, commit: str) -> None:
    """Notes in the cache, which may be read-only, which commit a branch or tag is."""
    if is_commit(revision):
        return
    home = folder.parents[1]
    place = home / "refs" / revision
    with suppress(OSError), tempfile.TemporaryDirectory(dir=home) as partial_folder:
        place.parent.mkdir(parents=True, exist_ok=True)
        written = Path(partial_folder, "ref")
        written.write_text(commit)
        written.replace(place)
