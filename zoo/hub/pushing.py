"""Pushing: a checkpoint into a repository, in one commit or none."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from zoo import manifest
from zoo.errors import ConflictError, HubError, OptionError, ZooError
from zoo.hub.connection import ANSWER_SECONDS, REPO, REVISION, Calls, Hub, translated
from zoo.hub.pulling import blob_id
from zoo.manifest import FILES, MANIFEST

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo, RepoSibling


@dataclass(frozen=True)
class Pushed:
    """What a push did, or with `dry_run` would do.

    Attributes:
        repo, branch, tag: where; tag is None if none was asked for.
        commit: the branch's commit afterwards; "" if a dry run would make a new one.
        url: of the repository at that commit.
        added, changed, removed: names of files; all empty if the branch holds this checkpoint already.
        dry_run: nothing was done.
    """

    repo: str
    branch: str
    tag: str | None
    commit: str
    url: str
    added: tuple[str, ...]
    changed: tuple[str, ...]
    removed: tuple[str, ...]
    dry_run: bool


def push(
    files: Mapping[str, bytes],
    repo: str,
    hub: Hub,
    *,
    branch: str = "main",
    tag: str | None = None,
    private: bool | None = None,
    parent: str | None = None,
    message: str = "",
    dry_run: bool = False,
) -> Pushed:
    """Makes a branch hold these files: see `zoo.Model.push`, which has the same arguments."""
    _check_names(repo, branch, tag)
    if hub.is_offline:
        raise HubError(f"{repo}: a push needs the Hub, but offline is set")
    api, calls = hub.api(), Calls(repo)
    main = _head(api, repo, None, calls)
    if main is not None and private is not None and bool(main.private) != private:
        is_now = "private" if main.private else "public"
        raise OptionError(f"{repo}: is {is_now}; change that on its page, or leave private= out")
    tags = _tags(api, repo, calls) if tag is not None and main is not None else {}
    own = _head(api, repo, branch, calls) if main is not None else None
    info = own or main  # a new branch begins where main is
    found = _listing(info)
    added = tuple(sorted(files.keys() - found.keys()))
    changed = tuple(_differing(found, files))
    removed = tuple(sorted(found.keys() - files.keys()))
    moves = bool(added or changed or removed)
    head = (info.sha or "") if info is not None else ""
    if parent is not None and parent != head:
        raise ConflictError(_moved(repo, branch, parent, head))
    if tag in tags and (moves or tags[tag] != head):
        raise OptionError(f"{repo}: tag {tag!r} is at commit {tags[tag]}; tags stay: choose another")
    if not dry_run:
        if main is None:
            head = _create(api, repo, private, calls)
        if own is None and branch != "main":
            _make(calls, lambda: api.create_branch(repo, branch=branch, revision=head, exist_ok=False))
        if moves:
            head = _commit(api, repo, branch, head, files, removed, message, calls, own is None)
        if tag is not None and tag not in tags:
            _tag(api, repo, tag, head, calls)
    elif moves:
        head = ""
    url = f"{api.endpoint}/{repo}" + (f"/tree/{head}" if head else "")
    return Pushed(repo, branch, tag, head, url, added, changed, removed, dry_run)


def reference_to(repo: str, branch: str) -> str:
    """How a card says that what was pushed there is loaded."""
    return repo if branch == "main" else f"{repo}@{branch}"


def _check_names(repo: str, branch: str, tag: str | None) -> None:
    names = (("repository", repo, REPO), ("branch", branch, REVISION), ("tag", tag, REVISION))
    for what, name, form in names:
        if name is not None and not re.fullmatch(form, name, re.ASCII):
            raise OptionError(f"{name!r} is no name for a {what}")


def _head(api: "HfApi", repo: str, branch: str | None, calls: Calls) -> "ModelInfo | None":
    """The branch as it is now; None if there is no such repository or branch yet."""
    from huggingface_hub import errors

    ask = partial(api.model_info, repo, revision=branch, files_metadata=True, timeout=ANSWER_SECONDS)
    try:
        return calls(ask, expect=(errors.RepositoryNotFoundError, errors.RevisionNotFoundError))
    except errors.GatedRepoError as error:
        raise translated(repo, error) from None
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError):
        return None


def _tags(api: "HfApi", repo: str, calls: Calls) -> dict[str, str]:
    return {ref.name: ref.target_commit for ref in calls(partial(api.list_repo_refs, repo)).tags}


def _make(calls: Calls, make: Callable[[], object]) -> None:
    """Makes what was not there a moment ago."""
    try:
        calls(make)
    except ConflictError:
        raise ConflictError(
            f"{calls.shown}: came into being meanwhile, so nothing was pushed; look at it, then push again"
        ) from None


def _create(api: "HfApi", repo: str, private: bool | None, calls: Calls) -> str:
    """Makes the repository; returns its first commit, in which none of our files is."""
    _make(calls, lambda: api.create_repo(repo, private=private, exist_ok=False))
    info = _head(api, repo, None, calls)
    if info is None or _listing(info):
        raise ConflictError(_moved(repo, "main", "its first commit", (info and info.sha) or ""))
    return info.sha or ""


def _tag(api: "HfApi", repo: str, tag: str, commit: str, calls: Calls) -> None:
    try:
        calls(partial(api.create_tag, repo, tag=tag, revision=commit, exist_ok=False))
    except HubError as error:
        if _tags(api, repo, calls).get(tag) != commit:
            told = f"{repo}: is at commit {commit} now, but was not given the tag {tag!r}: {error}"
            raise type(error)(told) from None


def _listing(info: "ModelInfo | None") -> "dict[str, RepoSibling]":
    """The files of ours in a repository; those of others are left alone."""
    siblings = (info.siblings or []) if info is not None else []
    return {file.rfilename: file for file in siblings if file.rfilename in (MANIFEST, *FILES)}


def _differing(found: "dict[str, RepoSibling]", files: Mapping[str, bytes]) -> list[str]:
    """Names of the files that a repository holds with other content, by the hashes that it lists."""
    known = manifest.loads(files[MANIFEST], MANIFEST).files

    def same(name: str) -> bool:
        lfs = found[name].lfs
        if lfs is not None and name in known:
            return lfs.sha256 == known[name].sha256
        return found[name].blob_id == blob_id(files[name])

    return [name for name in sorted(files.keys() & found.keys()) if not same(name)]


def _commit(
    api: "HfApi",
    repo: str,
    branch: str,
    head: str,
    files: Mapping[str, bytes],
    removed: tuple[str, ...],
    message: str,
    calls: Calls,
    new: bool,
) -> str:
    """Commits on top of `head`; a new branch that comes to nothing is taken away again."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations = [
        *(CommitOperationAdd(name, data) for name, data in files.items()),
        *(CommitOperationDelete(name) for name in removed),
    ]
    make = partial(
        api.create_commit,
        repo,
        operations,
        commit_message=message or "Upload a checkpoint of the diffusion zoo",
        revision=branch,
        parent_commit=head,
    )
    try:
        return calls(make, transfer=sum(map(len, files.values()))).oid
    except ConflictError:
        # Someone else's commit; or our own, if the answer to it was lost and it was sent again.
        now = _head(api, repo, branch, calls)
        listed = _listing(now)
        if listed.keys() == files.keys() and not _differing(listed, files):
            return (now and now.sha) or ""
        raise ConflictError(_moved(repo, branch, head, (now and now.sha) or "")) from None
    except ZooError:
        if new and branch != "main":
            with suppress(ZooError):
                calls(partial(api.delete_branch, repo, branch=branch))
        raise


def _moved(repo: str, branch: str, old: str, new: str) -> str:
    return (
        f"{repo}: {branch} is at commit {new or 'none'}, not at {old}: someone pushed meanwhile, so nothing "
        "was pushed now; look at theirs, then push again"
    )
