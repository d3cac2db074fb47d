"""References: how a user names a model. One grammar for Python and the command line.

timeseries-flow           a shipped model, by name
timeseries-flow.tag       a variant of it
./folder, ../f, /f, ~/f   a checkpoint folder; also any path/with/slashes that holds one
org/repo                  a Hub repository, its main branch
org/repo@revision         at a branch, tag or commit
"""

import re
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from zoo import catalog, hub
from zoo.errors import CheckpointError, UnknownModelError
from zoo.manifest import MANIFEST, is_name

_HUB = re.compile(r"(?P<repo>[\w.-]{1,96}/[\w.-]{1,96})(@(?P<revision>[\w./-]{1,255}))?", re.ASCII)


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


def parse(ref: str | PathLike[str]) -> Reference:
    """Reads a reference. The disk is asked in one case: ``a/b`` is a folder if it holds a checkpoint.

    Raises:
        UnknownModelError: if `ref` has none of the forms above.

    >>> parse("timeseries-flow"), parse("me/mine@v2")
    (Name(name='timeseries-flow'), Repository(repo='me/mine', revision='v2'))
    """
    if not isinstance(ref, str):
        return Folder(Path(ref).expanduser())
    if ref.startswith((".", "/", "~")) or ("/" in ref and Path(ref, MANIFEST).is_file()):
        return Folder(Path(ref).expanduser())
    if is_name(ref):
        return Name(ref)
    if match := _HUB.fullmatch(ref):
        return Repository(match["repo"], match["revision"])
    raise UnknownModelError(
        f"{ref!r} names no model: write a name (zoo list), ./folder, org/repo or org/repo@revision"
    )


def resolve(ref: str | PathLike[str]) -> Path:
    """The checkpoint folder that a reference leads to; a Hub reference is downloaded.

    Raises:
        UnknownModelError: if there is no such model.
        CheckpointError: if there is no such folder.
    """
    parsed = parse(ref)
    if isinstance(parsed, Name):
        return catalog.find(parsed.name)
    if isinstance(parsed, Repository):
        return hub.fetch(parsed.repo, parsed.revision)
    if not parsed.path.is_dir():
        raise CheckpointError(f"{ref}: no such folder")
    return parsed.path
