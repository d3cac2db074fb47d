"""References: how a user names a model. One grammar for Python and the command line.

timeseries-flow           a shipped model, by name
timeseries-flow.tag       a variant of it
timeseries-flow@revision  another version of it, from our organisation on the Hub
./folder, ../f, /f, ~/f   a checkpoint folder; also any path/with/slashes that holds one
org/repo                  a Hub repository, its main branch
org/repo@revision         at a branch, tag or commit
"""

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from zoo import catalog
from zoo.errors import CheckpointError, OptionError, UnknownModelError
from zoo.folders import recover
from zoo.hub.connection import AS_USUAL, ORGANISATION, REPO, REVISION, Hub
from zoo.hub.pulling import Place, pull
from zoo.manifest import MANIFEST, is_name

_HUB = re.compile(rf"(?P<repo>{REPO})(@(?P<revision>{REVISION}))?", re.ASCII)


@dataclass(frozen=True)
class Name:
    """A shipped model."""

    name: str


@dataclass(frozen=True)
class Folder:
    """A checkpoint on disk."""

    path: Path


@dataclass(frozen=True)
class Repository:
    """A checkpoint on the Hub."""

    repo: str
    revision: str | None = None


Reference = Name | Folder | Repository


def parse(ref: str | PathLike[str], revision: str | None = None) -> Reference:
    """Reads a reference. The disk is asked in one case: ``a/b`` is a folder if it holds a checkpoint.

    Args:
        ref: in one of the forms above.
        revision: the same as ``@revision`` at the end of a reference to the Hub.

    Raises:
        UnknownModelError: if `ref` has none of the forms above.
        OptionError: if a revision is given twice, or for a folder.

    >>> parse("timeseries-flow"), parse("me/mine@v2")
    (Name(name='timeseries-flow'), Repository(repo='me/mine', revision='v2'))
    """
    if not isinstance(ref, str | PathLike):
        raise OptionError(f"{ref!r} is no reference: write a name (zoo list), ./folder or org/repo")
    if revision is not None:
        if not isinstance(ref, str) or isinstance(parse(ref), Folder):
            raise OptionError(f"{ref}: is a folder, which has no revisions; drop revision={revision!r}")
        if "@" in ref:
            raise OptionError(f"{ref}: has a revision already; drop revision={revision!r}")
        ref = f"{ref}@{revision}"
    if not isinstance(ref, str):
        return Folder(Path(ref).expanduser())
    looks_like_a_folder = ref.startswith((".", "/", "~"))
    if looks_like_a_folder or ("/" in ref and recover(Path(ref)) and Path(ref, MANIFEST).is_file()):
        return Folder(Path(ref).expanduser())
    if is_name(ref):
        return Name(ref)
    if is_name(ref.partition("@")[0]):
        ref = f"{ORGANISATION}/{ref}"
    if match := _HUB.fullmatch(ref):
        return Repository(match["repo"], match["revision"])
    raise UnknownModelError(
        f"{ref!r} names no model: write a name (zoo list), ./folder, org/repo or org/repo@revision"
    )


def resolve(ref: str | PathLike[str], hub: Hub = AS_USUAL, revision: str | None = None) -> Place:
    """Where a reference leads; what it names on the Hub is fetched.

    Raises:
        UnknownModelError: if there is no such model.
        CheckpointError: if there is no such folder, or the repository holds no whole checkpoint.
        HubError: if the Hub cannot be reached.
    """
    parsed = parse(ref, revision)
    if isinstance(parsed, Name):
        return Place(catalog.find(parsed.name))
    if isinstance(parsed, Repository):
        return pull(parsed.repo, parsed.revision, hub)
    if not recover(parsed.path):
        raise CheckpointError(f"{ref}: no such folder")
    return Place(parsed.path)
