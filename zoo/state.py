"""The state of a training run on disk: one safetensors file, replaced as a whole, never pickled.

A state is a tree of dicts, lists, numbers, strings and tensors. The tensors are the file's tensors; the
tree stands in the file's header as JSON, each tensor replaced by its name.
"""

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from zoo.checkpoint import PARTIAL
from zoo.errors import TrainingError


def fingerprint(value: Any) -> str:
    """The start of a sha256 of a tree as above; dicts are compared in the order of their items.

    >>> fingerprint({"a": torch.zeros(2)}) == fingerprint({"a": torch.zeros(3)})
    False
    """
    return hashlib.sha256(_bytes(value)).hexdigest()[:16]


def write_state(path: Path, tree: Any) -> None:
    """Writes the tree; a kill at any moment leaves the old file or the new one, whole.

    Raises:
        TrainingError: if it cannot be written; the old file is still there.
    """
    data, partial = _bytes(tree), path.with_name(PARTIAL)
    try:
        # not by safetensors' save_file, which writes beside it first, under a name that a kill would leave
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        kept = "the last one is there, whole, to resume from" if path.is_file() else "there is none yet"
        raise TrainingError(f"{path}: the state of the run cannot be written: {error}; {kept}") from error


def read_state(path: Path, *keys: str) -> Any:
    """Reads a tree that `write_state` wrote, or what the keys lead to; tensors on the CPU, tuples as lists.

    Raises:
        TrainingError: if the file is damaged or something else.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tree = json.loads(file.metadata()["state"])
            for key in keys:
                tree = dict(tree["pairs"])[key]
            return _unpack(tree, file)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: not a training state of the zoo, or damaged: {error}") from None


def _bytes(tree: Any) -> bytes:
    tensors: dict[str, torch.Tensor] = {}
    skeleton = json.dumps(_pack(tree, tensors))
    places = set()
    for name, tensor in tensors.items():  # what shares memory is refused
        place = tensor.untyped_storage().data_ptr()
        tensors[name] = tensor.clone() if place in places else tensor
        places.add(place)
    return save(tensors, metadata={"state": skeleton})


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous()
        return {"tensor": name}
    if isinstance(value, dict):  # as pairs: JSON would turn an optimiser's integer keys into strings
        return {"pairs": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return [_pack(item, tensors) for item in value]
    return value


def _unpack(value: Any, file: Any) -> Any:
    if isinstance(value, dict):
        if "tensor" in value:
            return file.get_tensor(value["tensor"])
        return {key: _unpack(item, file) for key, item in value["pairs"]}
    if isinstance(value, list):
        return [_unpack(item, file) for item in value]
    return value
