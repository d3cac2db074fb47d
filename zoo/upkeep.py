"""What is done with checkpoints beside using them: fetch one whole, check it, bring it forward."""

from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoo import checkpoint, manifest, reference
from zoo.errors import CheckpointError
from zoo.hub import pushing
from zoo.hub.connection import AS_USUAL, Hub
from zoo.hub.pulling import Place
from zoo.hub.pushing import Pushed
from zoo.loading import is_shipped, load_at
from zoo.manifest import LOG, MANIFEST, Manifest

if TYPE_CHECKING:
    from zoo.model import Model


class Verified(NamedTuple):
    """A checkpoint that is whole.

    Attributes:
        folder, repo, commit: where it lies; the last two are "" if it is not on the Hub.
        manifest: what it says about itself.
        loaded: whether the model was built as well, which for an adapter takes its base.
    """

    folder: Path
    repo: str
    commit: str
    manifest: Manifest
    loaded: bool


def pull(
    ref: str,
    out: str | PathLike[str] | None = None,
    *,
    revision: str | None = None,
    offline: bool | None = None,
    endpoint: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | PathLike[str] | None = None,
) -> Path:
    """Fetches a checkpoint and returns its folder, which is whole.

    Args:
        ref: ``"org/repo"``, ``"org/repo@revision"``, or any other reference.
        out: a folder to copy it to: absent, empty or an older checkpoint; None leaves it in the cache.
        revision, offline, endpoint, token, cache_dir: as in `zoo.load`.

    Raises:
        UnknownModelError, HubError, CheckpointError: as in `zoo.load`.
    """
    return copy_of(reference.resolve(ref, Hub(endpoint, token, cache_dir, offline), revision), out)


def copy_of(place: Place, out: str | PathLike[str] | None) -> Path:
    """The folder of a checkpoint, which is whole, or a copy of it at `out`."""
    if out is None and place.repo:
        return place.folder  # checked when it was fetched
    described = manifest.read(place.folder)
    files = {name: checkpoint.read_file(place.folder, name, described) for name in described.files}
    if out is None:
        return place.folder
    copy = Path(out).expanduser()
    checkpoint.write(copy, files | {MANIFEST: manifest.dumps(described)})
    return copy


def push(
    folder: str | PathLike[str],
    repo: str,
    *,
    branch: str = "main",
    tag: str | None = None,
    private: bool | None = None,
    parent: str | None = None,
    message: str = "",
    dry_run: bool = False,
    offline: bool | None = None,
    endpoint: str | None = None,
    token: str | bool | None = None,
) -> Pushed:
    """Pushes a checkpoint folder, its training log included: see `zoo.Model.push`.

    Raises:
        CheckpointError: if the folder is not a whole checkpoint.
        ConflictError, HubError, OptionError: as in `zoo.Model.push`.
    """
    return pushing.push(
        sealed(Path(folder).expanduser(), pushing.reference_to(repo, branch)),
        repo,
        Hub(endpoint, token, None, offline),
        branch=branch,
        tag=tag,
        private=private,
        parent=parent,
        message=message,
        dry_run=dry_run,
    )


def verify(
    ref: str | PathLike[str],
    *,
    base: "str | PathLike[str] | Model | None" = None,
    revision: str | None = None,
    offline: bool | None = None,
    endpoint: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | PathLike[str] | None = None,
) -> Verified:
    """Checks a checkpoint whole: schema, sizes and hashes of all files, every tensor; then loads it.

    An adapter whose base is neither given nor shipped is checked without being loaded.

    Args:
        ref: any reference.
        base, revision, offline, endpoint, token, cache_dir: as in `zoo.load`.

    Raises:
        CheckpointError: naming what is wrong.
        UnknownModelError, HubError: as in `zoo.load`.
    """
    hub = Hub(endpoint, token, cache_dir, offline)
    return verify_at(reference.resolve(ref, hub, revision), base=base, hub=hub)


def verify_at(
    place: Place, *, base: "str | PathLike[str] | Model | None" = None, hub: Hub = AS_USUAL
) -> Verified:
    """Checks the checkpoint there; see `verify`."""
    described = manifest.read(place.folder)
    checkpoint.check_files(place.folder, described)
    for name, tensor in checkpoint.read_tensors(place.folder, described).items():
        if not bool(tensor.isfinite().all()):
            raise CheckpointError(f"{place.folder / described.weights}: tensor {name!r} is not finite")
    loads = described.lora is None or base is not None or is_shipped(described.lora.base)
    if loads:
        load_at(place, base=base, hub=hub)
    return Verified(*place, described, loads)


def migrate(folder: str | PathLike[str]) -> bool:
    """Writes a checkpoint folder of an older schema anew, in the schema of this version; weights stay.

    Args:
        folder: a checkpoint; it is replaced as a whole, or not at all.

    Returns:
        Whether there was anything to do.

    Raises:
        CheckpointError: if it is not whole, or holds an unfinished run.
    """
    path = Path(folder).expanduser().resolve()
    if (path / checkpoint.STATE).exists():
        raise CheckpointError(f"{path}: holds an unfinished run: finish it, or remove {checkpoint.STATE}")
    if manifest.dumps(manifest.read(path)) == (path / MANIFEST).read_bytes():
        return False
    checkpoint.write(path, sealed(path, f"./{path.name}"))
    return True


def sealed(folder: Path, ref: str) -> dict[str, bytes]:
    """The files of a checkpoint folder in the schema of this version, with a card that loads `ref`."""
    described = manifest.read(folder)
    checkpoint.check_files(folder, described)
    weights = checkpoint.read_file(folder, described.weights, described)
    log = checkpoint.read_file(folder, LOG, described) if LOG in described.files else None
    return checkpoint.seal(described, weights, ref=ref, log=log, known=described.files[described.weights])
