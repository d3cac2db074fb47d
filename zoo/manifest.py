"""`zoo.json`: what a checkpoint folder says about itself. Read and checked without torch.

The manifest is the only description of a checkpoint: the catalogue, `zoo info`, the model card
and loading all read it. Nothing in it is code, a path or a place to fetch from: a recipe is data for the
domain's own recipe class, and files have fixed names. Its digest tells a damaged manifest from a whole one;
the files beside it are known by their hashes.

Schema 2 added the digest and `lora`. An older schema is brought forward while it is read; `zoo.migrate`
writes it anew.
"""

import hashlib
import json
import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MaxLen
from pydantic import Field

from zoo import folders, typed
from zoo.errors import CheckpointError

SCHEMA = 2
MANIFEST, WEIGHTS, CARD, LOG = "zoo.json", "model.safetensors", "README.md", "log.csv"
ADAPTER = "adapter.safetensors"  # in place of WEIGHTS: changes to the weights of another checkpoint
FILES = (WEIGHTS, ADAPTER, CARD, LOG)  # beside the manifest; no other file is ever read or fetched
NAME = r"^[a-z0-9]+-[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+([_-][a-z0-9]+)*)?$"

MAX_BYTES = 4 * 2**20  # a manifest holds no bulk data; adapters keep statistics, not series
MAX_LOG_BYTES = 256 * 2**20
MAX_FILE_BYTES = 64 * 2**30
MAX_TENSORS, MAX_DIMENSIONS, MAX_RANK = 10_000, 8, 4096
HEADER_BYTES = 1024  # of a safetensors file, for each tensor, at most: a name, a dtype, a shape, a place
ITEM_BYTES = {
    "F64": 8,
    "I64": 8,
    "F32": 4,
    "I32": 4,
    "F16": 2,
    "BF16": 2,
    "I16": 2,
    "I8": 1,
    "U8": 1,
    "BOOL": 1,
}

Size = Annotated[int, Ge(0), Le(2**40)]
Text = Annotated[str, MaxLen(4000)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Dtype = Literal["F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"]
TensorName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$", max_length=200)]


@dataclass(frozen=True)
class Source:
    """Data that a model was trained on: its name, licence (SPDX where there is one) and home."""

    name: Text
    licence: Text
    url: Text = ""


@dataclass(frozen=True)
class Metric:
    """A measured number beside the number that a simple baseline gets.

    Attributes:
        name: what was measured, where: ``"wQL, M4 hourly"``.
        value: the model's figure.
        baseline: the baseline's figure; None if there is none.
        baseline_name: what the baseline is.
        lower_is_better: the direction.
    """

    name: Text
    value: float
    baseline: float | None = None
    baseline_name: Text = ""
    lower_is_better: bool = True


@dataclass(frozen=True)
class Provenance:
    """Where weights come from.

    Attributes:
        zoo, torch: versions that trained them.
        date: ISO date on which training ended.
        steps: the optimiser step whose averaged weights these are.
        of: the optimiser steps that the run took.
        seed: the seed of the run.
        sources: the training data.
        parent: reference to the model that was fine-tuned; "" if trained from scratch.
        data_given: trained on data handed in, not on the recipe's own.
        loss_by_level: pairs of a noise level t and the diffusion loss there on held-out data.
        repo, commit: where on the Hub this copy was loaded from; "" for any other.
        sha256: of the files that this copy was loaded from, by name.

    The last three are never in a file: a checkpoint does not say where it lies.
    """

    zoo: Text
    torch: Text
    date: Text
    steps: Size
    of: Size
    seed: Size
    sources: tuple[Source, ...] = ()
    parent: Text = ""
    data_given: bool = False
    loss_by_level: tuple[tuple[float, float], ...] = ()
    repo: Annotated[str, Field(exclude=True)] = field(default="", compare=False)
    commit: Annotated[str, Field(exclude=True)] = field(default="", compare=False)
    sha256: Annotated[dict[str, str], Field(exclude=True)] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Tensor:
    """A tensor of the weights file: shape, and dtype in the names of safetensors (F32, BF16, I64, ...)."""

    shape: Annotated[tuple[Size, ...], MaxLen(MAX_DIMENSIONS)]
    dtype: Dtype

    @property
    def values(self) -> int:
        """The number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class File:
    """A file of the folder."""

    sha256: Sha256
    bytes: Annotated[int, Ge(0), Le(MAX_FILE_BYTES)]


@dataclass(frozen=True)
class Lora:
    """What makes a checkpoint an adapter: low-rank changes to the weights of a base (Hu et al. 2021).

    Attributes:
        rank, alpha: every matrix W becomes W + (alpha/rank) B A, with A of `rank` rows.
        base: the name of a shipped model, or ``org/repo@commit``, for people to read; "" if it is neither.
        base_sha256: `zoo.checkpoint.digest` of the base's weights; no other base will do.
    """

    rank: Annotated[int, Ge(1), Le(MAX_RANK)]
    alpha: Annotated[float, Gt(0), Le(1e6)]
    base: Text
    base_sha256: Sha256


@dataclass(frozen=True)
class Manifest:
    """The content of `zoo.json`.

    Attributes:
        schema_version: of this format.
        name: ``<domain>-<method>[.<tag>]``.
        domain: the registered domain that knows the recipe.
        licence: SPDX identifier of the weights' licence, or words.
        recipe: the whole recipe, sampling defaults included, as the domain's recipe class writes it.
        adapter: the adapter's statistics, as the domain's adapter writes them.
        tensors: the table of the weights file.
        files: size and hash of every other file of the folder.
        provenance: where the weights come from.
        metrics: measured when the model was made; the first is the headline.
        lora: set if the weights are changes to those of a base.
    """

    schema_version: Annotated[int, Ge(SCHEMA), Le(SCHEMA)]
    name: Annotated[str, Field(pattern=NAME, max_length=96)]
    domain: Annotated[str, Field(pattern="^[a-z0-9]+$")]
    licence: Text
    recipe: dict[str, Any]
    adapter: dict[str, Any]
    tensors: Annotated[dict[TensorName, Tensor], MaxLen(MAX_TENSORS)]
    files: dict[str, File]
    provenance: Provenance
    metrics: tuple[Metric, ...] = ()
    lora: Lora | None = None

    @property
    def method(self) -> str:
        """The method, from the name: "flow" of ``timeseries-flow.tuned``."""
        return self.name.partition(".")[0].partition("-")[2]

    @property
    def parameters(self) -> int:
        """The number of stored values."""
        return sum(tensor.values for tensor in self.tensors.values())

    @property
    def weights(self) -> str:
        """The name of the weights file."""
        return WEIGHTS if self.lora is None else ADAPTER


def read(folder: Path) -> Manifest:
    """Reads and checks `folder/zoo.json`. Files beside it are not touched.

    Raises:
        CheckpointError: naming the folder, the field and what is wrong.
    """
    path = folder / MANIFEST
    try:
        return loads(folders.read_bytes(path, MAX_BYTES), str(path))
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no {MANIFEST} here, so this is no checkpoint of the zoo") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None


def loads(data: bytes, where: str) -> Manifest:
    """The manifest in the bytes of a `zoo.json`, brought forward if its schema is older.

    Raises:
        CheckpointError: naming `where`, the field and what is wrong.
    """
    try:
        manifest = _parse(data)
    except RecursionError:
        raise CheckpointError(f"{where}: not valid JSON: nested too deeply") from None
    except ValueError as error:
        raise CheckpointError(f"{where}: {error}") from None
    _check(manifest, where)
    return manifest


def _parse(data: bytes) -> Manifest:
    try:
        tree = json.loads(
            data, object_pairs_hook=_unique, parse_int=_int, parse_float=_float, parse_constant=_float
        )
    except _OddError:
        raise
    except ValueError:
        raise ValueError("not valid JSON") from None
    version = tree.get("schema_version") if isinstance(tree, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise ValueError(
            f"schema {version} is newer than this version of the zoo reads ({SCHEMA}); "
            "upgrade with: pip install -U diffusion-zoo"
        )
    if type(version) is int and version == 1:
        tree |= {"schema_version": SCHEMA}
    elif isinstance(tree, dict) and tree.pop("digest", None) != _digest(tree):
        raise ValueError("does not match its own digest: damaged, or edited by hand")
    return typed.from_json(Manifest, tree)


def dumps(manifest: Manifest) -> bytes:
    """The bytes of the `zoo.json` of a manifest.

    Raises:
        ValueError: if a field holds what its type does not allow.
    """
    tree = typed.to_json(manifest)
    return (json.dumps(tree | {"digest": _digest(tree)}, indent=1, ensure_ascii=False) + "\n").encode()


def _digest(tree: dict[str, Any]) -> str:
    """sha256 of the content, however it is laid out."""
    return hashlib.sha256(json.dumps(tree, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


class _OddError(ValueError):
    """JSON that readers take differently, or that Python takes for more than it is."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _OddError(f"key {key!r} stands there twice")
        found[key] = value
    return found


def _int(text: str) -> int:
    if len(text) > 18:
        raise _OddError(f"the number {text[:18]}... is too large")
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _OddError(f"the number {text[:18]} is not finite")
    return value


def _check(m: Manifest, where: str) -> None:
    """What no type says: the parts of a manifest fit each other, and what is shown of a recipe can be."""
    for name in ("summary", "limits"):
        if not isinstance(m.recipe.get(name, ""), str):
            raise CheckpointError(f"{where}: recipe: {name}: input should be a valid string")
    if not isinstance(m.recipe.get("sampling", {}), dict):
        raise CheckpointError(f"{where}: recipe: sampling: input should be an object")
    for name, most in ((CARD, MAX_BYTES), (LOG, MAX_LOG_BYTES)):
        if name in m.files and m.files[name].bytes > most:
            raise CheckpointError(f"{where}: files: {name} is larger than {most} bytes")
    if not m.name.startswith(m.domain + "-"):
        raise CheckpointError(f"{where}: name {m.name!r} does not begin with its domain {m.domain!r}")
    if strange := set(m.files) - {m.weights, CARD, LOG}:
        raise CheckpointError(f"{where}: files: unknown file {min(strange)!r}")
    if m.weights not in m.files:
        raise CheckpointError(f"{where}: files: {m.weights} is missing")
    data = sum(tensor.values * ITEM_BYTES[tensor.dtype] for tensor in m.tensors.values())
    size = m.files[m.weights].bytes
    if not data + 8 < size <= data + 8 + max_header(len(m.tensors)):
        raise CheckpointError(
            f"{where}: files: {m.weights} of {size} bytes cannot hold the {data} bytes of its tensors"
        )


def max_header(tensors: int) -> int:
    """The most bytes that the header of a safetensors file with so many tensors may have."""
    return HEADER_BYTES * (tensors + 1)


def is_name(text: str) -> bool:
    """Whether `text` has the form of a model's name.

    >>> is_name("timeseries-flow.tuned"), is_name("org/repo")
    (True, False)
    """
    return re.fullmatch(NAME, text) is not None
