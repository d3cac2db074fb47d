"""`zoo.json`: what a checkpoint folder says about itself. Read and checked without torch.

The manifest is the only description of a checkpoint: the catalogue, `zoo info`, the model card
and loading all read it. Nothing in it is code or a path: a recipe is data for the domain's own
recipe class, and files have fixed names.
"""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Le, MaxLen
from pydantic import Field

from zoo import typed
from zoo.errors import CheckpointError

SCHEMA = 1
MANIFEST, WEIGHTS, CARD, LOG = "zoo.json", "model.safetensors", "README.md", "log.csv"
NAME = r"^[a-z0-9]+-[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9]+([_-][a-z0-9]+)*)?$"
MAX_BYTES = 4 * 2**20  # a manifest holds no bulk data; adapters keep statistics, not series

Size = Annotated[int, Ge(0), Le(2**53)]
Text = Annotated[str, MaxLen(4000)]


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
        parent: name of the model that was fine-tuned; "" if trained from scratch.
        data_given: trained on data handed in, not on the recipe's own.
        loss_by_level: pairs of a noise level t and the diffusion loss there on held-out data.
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


@dataclass(frozen=True)
class Tensor:
    """A tensor of the weights file: shape, and dtype in the names of safetensors (F32, BF16, I64, ...)."""

    shape: tuple[Size, ...]
    dtype: Annotated[str, Field(pattern="^[A-Z0-9_]{1,16}$")]


@dataclass(frozen=True)
class File:
    """A file of the folder."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    bytes: Size


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
        metrics: measured when the model was made; the first is the headline.
        provenance: where the weights come from.
    """

    schema_version: Annotated[int, Ge(1), Le(SCHEMA)]
    name: Annotated[str, Field(pattern=NAME, max_length=96)]
    domain: Annotated[str, Field(pattern="^[a-z0-9]+$")]
    licence: Text
    recipe: dict[str, Any]
    adapter: dict[str, Any]
    tensors: dict[str, Tensor]
    files: dict[str, File]
    provenance: Provenance
    metrics: tuple[Metric, ...] = field(default=())

    @property
    def method(self) -> str:
        """The method, from the name: "flow" of ``timeseries-flow.tuned``."""
        return self.name.partition(".")[0].partition("-")[2]

    @property
    def parameters(self) -> int:
        """The number of stored values."""
        return sum(_product(tensor.shape) for tensor in self.tensors.values())


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


def read(folder: Path) -> Manifest:
    """Reads and checks `folder/zoo.json`. Files beside it are not touched.

    Raises:
        CheckpointError: naming the folder, the field and what is wrong.
    """
    path = folder / MANIFEST
    try:
        if path.stat().st_size > MAX_BYTES:
            raise CheckpointError(f"{path}: larger than {MAX_BYTES} bytes, which no manifest is")
        data = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CheckpointError(f"{folder}: no {MANIFEST} here, so this is no checkpoint of the zoo") from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path}: not valid JSON") from None
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA:
        raise CheckpointError(
            f"{path}: schema {version} is newer than this version of the zoo reads ({SCHEMA}); "
            "upgrade with: pip install -U diffusion-zoo"
        )
    try:
        manifest = typed.from_json(Manifest, data)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: {error}") from None
    if not manifest.name.startswith(manifest.domain + "-"):
        raise CheckpointError(
            f"{path}: name {manifest.name!r} does not begin with its domain {manifest.domain!r}"
        )
    if strange := set(manifest.files) - {WEIGHTS, CARD, LOG}:
        raise CheckpointError(f"{path}: files: unknown file {min(strange)!r}")
    if WEIGHTS not in manifest.files:
        raise CheckpointError(f"{path}: files: {WEIGHTS} is missing")
    return manifest


def is_name(text: str) -> bool:
    """Whether `text` has the form of a model's name.

    >>> is_name("timeseries-flow.tuned"), is_name("org/repo")
    (True, False)
    """
    return re.fullmatch(NAME, text) is not None
