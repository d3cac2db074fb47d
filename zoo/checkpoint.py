"""Checkpoint folders: `zoo.json` (see `zoo.manifest`), `model.safetensors`, `README.md`, perhaps `log.csv`.

Writing is atomic: a folder is complete or absent. Reading is strict: bytes are hashed before they are
parsed, and what the manifest does not announce is refused. Nothing is ever unpickled.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from zoo import folders, manifest
from zoo.card import card
from zoo.errors import CheckpointError
from zoo.manifest import (
    ADAPTER,
    CARD,
    FILES,
    LOG,
    MANIFEST,
    WEIGHTS,
    Dtype,
    File,
    Manifest,
    Tensor,
    max_header,
)

# What may stand in a folder that `write` replaces: a checkpoint, and what a training run keeps beside it.
STATE, PARTIAL, BOARD = "training.safetensors", "training.safetensors.partial", "tensorboard"
OURS = {MANIFEST, *FILES, STATE, PARTIAL, BOARD}

# of files that other tools read weights from
WEIGHT_SUFFIXES = {
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"),
    *(".npz", ".npy", ".h5", ".onnx", ".gguf", ".msgpack"),
}

DTYPES: dict[torch.dtype, Dtype] = {
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


def digest(tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256 of weights, the same however and with whatever precision they were stored and read."""
    total = hashlib.sha256()
    for name, listed in table(tensors).items():
        total.update(f"{name} {listed.dtype} {listed.shape};".encode())
        total.update(tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def pack(
    draft: Manifest, tensors: Mapping[str, torch.Tensor], *, ref: str, log: bytes | None = None
) -> dict[str, bytes]:
    """The files of a checkpoint, ready to be written or pushed.

    Args:
        draft: the manifest; `tensors` and `files` are filled in here.
        tensors: the weights, on any device.
        ref: how the card says that the model is loaded.
        log: a training log to keep beside the weights.

    Raises:
        CheckpointError: if a weight is not finite.
    """
    for name, t in tensors.items():
        if t.is_floating_point() and not bool(t.isfinite().all()):
            raise CheckpointError(f"tensor {name!r} is not finite, so nothing was written")
    # Clones: tied weights share memory, which safetensors refuses.
    weights = save({name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()})
    return seal(replace(draft, tensors=table(tensors)), weights, ref=ref, log=log)


def seal(
    draft: Manifest, weights: bytes, *, ref: str, log: bytes | None = None, known: File | None = None
) -> dict[str, bytes]:
    """The files of a checkpoint around a weights file that is there already: see `pack`.

    Args:
        known: size and hash of the weights file, to save hashing it.
    """
    files = {draft.weights: weights, CARD: card(draft, ref).encode()}
    if log is not None:
        files[LOG] = log
    listed = {
        name: File(hashlib.sha256(data).hexdigest(), len(data))
        for name, data in sorted(files.items())
        if name != draft.weights or known is None
    }
    if known is not None:
        listed[draft.weights] = known
    return files | {MANIFEST: manifest.dumps(replace(draft, files=listed))}


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes a checkpoint. One that is already there stays until the new one is complete, then makes room.

    Args:
        folder: may be absent, empty, or an older checkpoint or training run.
        files: what `pack` or `seal` made.

    Raises:
        CheckpointError: if the folder holds files that are not ours, or a full model where an adapter, which
            may need it, would take its place.
    """
    check_place(folder, adapter=ADAPTER in files)
    folders.replace(folder, files, keep=BOARD)


def check_place(folder: Path, *, adapter: bool = False) -> None:
    """Refuses a folder whose content a checkpoint, or an adapter, must not replace.

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
    if adapter and (folder / WEIGHTS).exists():
        raise CheckpointError(
            f"{folder}: holds a full model, which an adapter must not replace; choose another"
        )


def read_tensors(folder: Path, m: Manifest) -> dict[str, torch.Tensor]:
    """Reads the weights file that the manifest describes.

    Raises:
        CheckpointError: naming the file and, where one is at fault, the tensor.
    """
    path = folder / m.weights
    try:
        # Read once, so that the bytes that are hashed are the bytes that are parsed.
        data = read_file(folder, m.weights, m)
        if int.from_bytes(data[:8], "little") > max_header(len(m.tensors)):
            raise CheckpointError(f"{path}: its header is too large for the {len(m.tensors)} tensors listed")
        tensors = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path}: not a valid safetensors file: {error}") from None
    check_tables(str(path), found=table(tensors), wanted=m.tensors, of="the manifest")
    return tensors


def check_files(folder: Path, m: Manifest) -> None:
    """Compares all files but the weights, which `read_tensors` reads, with the manifest.

    Weights that the manifest does not list are refused: another tool might load those instead.

    Raises:
        CheckpointError: naming a file that is missing, altered, or weights that the manifest does not list.
    """
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in WEIGHT_SUFFIXES and path.name not in (STATE, m.weights):
            raise CheckpointError(f"{path}: {MANIFEST} does not list these weights; remove them")
    for name in sorted(m.files.keys() - {m.weights}):
        read_file(folder, name, m)


def read_file(folder: Path, name: str, m: Manifest) -> bytes:
    """Reads a file of a checkpoint after comparing its size and hash with the manifest's.

    Raises:
        CheckpointError: if it is missing or altered.
    """
    path, listed = folder / name, m.files[name]
    try:
        data = folders.read_bytes(path, listed.bytes)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    if len(data) != listed.bytes:
        raise CheckpointError(f"{path}: {len(data)} bytes, but {MANIFEST} says {listed.bytes}")
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
