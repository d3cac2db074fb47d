"""Checkpoint folders: `zoo.json` (see `zoo.manifest`), `model.safetensors`, `README.md`, perhaps `log.csv`.

Writing is atomic: a folder is complete or absent. Reading is strict: bytes are hashed before they are
parsed, and what the manifest does not announce is refused. Nothing is ever unpickled.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from zoo import typed
from zoo.card import card
from zoo.errors import CheckpointError
from zoo.manifest import CARD, LOG, MANIFEST, WEIGHTS, File, Manifest, Tensor

# What may stand in a folder that `write` replaces: a checkpoint, and what a training run keeps beside it.
STATE, PARTIAL, BOARD = "training.safetensors", "training.safetensors.partial", "tensorboard"
OURS = {MANIFEST, WEIGHTS, CARD, LOG, STATE, PARTIAL, BOARD}

# A folder must not hold weights that its manifest does not know: another tool might load those instead.
WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pkl")

DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def table(tensors: Mapping[str, torch.Tensor]) -> dict[str, Tensor]:
    """Name, shape and dtype of every tensor, as a manifest lists them."""
    return {name: Tensor(tuple(t.shape), DTYPES[t.dtype]) for name, t in sorted(tensors.items())}


def halved(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors with those of single precision rounded to half precision.

    Raises:
        CheckpointError: naming a tensor whose values half precision cannot hold.
    """
    rounded = {name: t.half() if t.dtype == torch.float32 else t for name, t in tensors.items()}
    for name, t in rounded.items():
        if t.dtype == torch.float16 and bool(t.isinf().any()):
            largest = tensors[name].abs().max().item()
            raise CheckpointError(
                f"tensor {name!r} holds {largest:.4g}, which float16 (up to 65504) cannot; save as float32"
            )
    return rounded


def write(
    folder: Path, draft: Manifest, tensors: Mapping[str, torch.Tensor], *, log: Path | None = None
) -> Manifest:
    """Writes a checkpoint. One that is already there stays until the new one is complete, then makes room.

    Args:
        folder: may be absent, empty, or an older checkpoint or training run.
        draft: the manifest; `tensors` and `files` are filled in here.
        tensors: the weights, on any device.
        log: a training log to keep beside the weights.

    Returns:
        The manifest as written.

    Raises:
        CheckpointError: if a weight is not finite, or the folder holds files that are not ours.
    """
    check_place(folder)
    for name, t in tensors.items():
        if t.is_floating_point() and not bool(t.isfinite().all()):
            raise CheckpointError(f"{folder}: tensor {name!r} is not finite, so nothing was written")
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        # Clones: tied weights share memory, which safetensors refuses.
        weights = save({name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()})
        files = {WEIGHTS: weights}
        if log is not None:
            files[LOG] = log.read_bytes()
        draft = replace(draft, tensors=table(tensors))
        files[CARD] = card(draft).encode()
        listed = {
            name: File(hashlib.sha256(data).hexdigest(), len(data)) for name, data in sorted(files.items())
        }
        written = replace(draft, files=listed)
        files[MANIFEST] = (json.dumps(typed.to_json(written), indent=1, ensure_ascii=False) + "\n").encode()
        for name, data in files.items():
            _write_through(new / name, data)
        new.chmod(0o755)  # temporary folders are private; a checkpoint is as readable as any other folder
        _swap(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return written


def check_place(folder: Path) -> None:
    """Refuses a folder whose content a checkpoint must not replace.

    Raises:
        CheckpointError: naming a file that is not ours, or why the folder cannot be replaced as a whole.
    """
    if Path.cwd().is_relative_to(folder.resolve()) or folder.name == "..":
        raise CheckpointError(f"{folder}: is the current folder or around it; choose a new folder in it")
    if os.path.ismount(folder):
        raise CheckpointError(f"{folder}: is a mount point; choose a new folder in it")
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder}: is a file, not a folder")
    if folder.is_dir() and (strange := {path.name for path in folder.iterdir()} - OURS):
        raise CheckpointError(f"{folder}: holds other files ({min(strange)!r}); choose a new folder")


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _swap(new: Path, folder: Path) -> None:
    """Puts `new` in the place of `folder`; if that fails, the old one is put back."""
    if not folder.exists():
        new.rename(folder)
        return
    if (folder / BOARD).is_dir():
        shutil.copytree(folder / BOARD, new / BOARD)
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".old", dir=folder.parent)) / folder.name
    try:
        folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            old.rename(folder)
            raise
    finally:
        if folder.exists():
            shutil.rmtree(old.parent, ignore_errors=True)


def read_tensors(folder: Path, m: Manifest) -> dict[str, torch.Tensor]:
    """Reads the weights file that the manifest describes.

    Raises:
        CheckpointError: naming the file and, where one is at fault, the tensor.
    """
    path = folder / WEIGHTS
    try:
        # Read once, so that the bytes that are hashed are the bytes that are parsed.
        data = read_file(folder, WEIGHTS, m)
        tensors = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a valid safetensors file: {error}") from None
    check_tables(str(path), found=table(tensors), wanted=m.tensors, of="the manifest")
    return tensors


def check_files(folder: Path, m: Manifest) -> None:
    """Compares all files but the weights, which `read_tensors` reads, with the manifest.

    Raises:
        CheckpointError: naming a file that is missing, altered, or weights that the manifest does not list.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix in WEIGHT_SUFFIXES and path.name not in OURS:
            raise CheckpointError(f"{path}: {MANIFEST} does not list these weights; remove them")
    for name in sorted(m.files.keys() - {WEIGHTS}):
        read_file(folder, name, m)


def read_file(folder: Path, name: str, m: Manifest) -> bytes:
    """Reads a file of a checkpoint after comparing its size and hash with the manifest's.

    Raises:
        CheckpointError: if it is missing or altered.
    """
    path, listed = folder / name, m.files[name]
    try:
        if path.stat().st_size != listed.bytes:
            raise CheckpointError(f"{path}: {path.stat().st_size} bytes, but {MANIFEST} says {listed.bytes}")
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if hashlib.sha256(data).hexdigest() != listed.sha256:
        raise CheckpointError(f"{path}: sha256 differs from the one in {MANIFEST}: damaged or altered")
    return data


def check_tables(
    where: str, *, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], of: str, half: bool = False
) -> None:
    """Refuses tensors that are not exactly the wanted ones.

    Args:
        where: the file, for the message.
        found, wanted: the tables.
        of: what wants them, for the message.
        half: F16 will do where F32 is wanted.

    Raises:
        CheckpointError: naming the first tensor that is missing, unknown, misshapen or of another dtype.
    """
    for name in sorted(wanted.keys() - found.keys()):
        raise CheckpointError(f"{where}: tensor {name!r} of {of} is missing")
    for name in sorted(found.keys() - wanted.keys()):
        raise CheckpointError(f"{where}: tensor {name!r} is unknown to {of}")
    for name, tensor in sorted(found.items()):
        will_do = half and wanted[name].dtype == "F32" and tensor == replace(wanted[name], dtype="F16")
        if tensor != wanted[name] and not will_do:
            need = f"{wanted[name].dtype} {list(wanted[name].shape)}"
            raise CheckpointError(
                f"{where}: tensor {name!r} is {tensor.dtype} {list(tensor.shape)}, {of} has {need}"
            )
