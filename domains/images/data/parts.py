"""What a reader finds in a source: images, not decoded yet, by split, and what is said of each."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from PIL import Image

from zoo.manifest import Source

# A file, its bytes, an image of PIL, uint8 (H, W, C); None where a table names none.
Item = Path | bytes | Image.Image | np.ndarray | None

# What folders, files and columns call the splits.
SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


class Items(Protocol):
    """Images in the order of the source; may be walked through more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


def numbered(index: int) -> str:
    """The name of an image that has none."""
    return f"image {index + 1}"


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one split, and what is said of each; what is not said is empty."""

    load: Callable[[], Items]  # called only if the split is wanted
    name: Callable[[int], str] = numbered  # what to call the image at an index in messages
    labels: Sequence[object] | np.ndarray = ()  # as the source writes them: numbers, names, None
    captions: Sequence[str] = ()
    files: Sequence[Path] = ()  # that hold the encoded images; none if they are in memory or not encoded


@dataclass(frozen=True, eq=False)
class Found:
    """The whole of a source."""

    where: str  # what to call it in messages
    parts: Mapping[str, Part]  # by split; under "" alone if the source has no splits of its own
    classes: tuple[str, ...] = ()  # the names of the labels, if the source gives them
    sources: tuple[Source, ...] = ()  # for the model card


class Row(NamedTuple):
    """An image in a list, with the name that messages use, its split ("" for none), label and caption."""

    item: Item
    name: str
    split: str = ""
    label: object = None
    caption: str = ""


def by_split(rows: Iterable[Row]) -> dict[str, Part]:
    """The parts that a list of images makes."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.split, []).append(row)
    return {split: _part(group) for split, group in groups.items()}


def _part(rows: list[Row]) -> Part:
    items = [row.item for row in rows]
    # one that is missing counts as a file that never changes
    files = [item or Path(os.devnull) for item in items if isinstance(item, Path | None)]
    return Part(
        lambda: items,
        lambda index: rows[index].name,
        [row.label for row in rows],
        [row.caption for row in rows],
        files if len(files) == len(items) else (),
    )


def is_missing(cell: Any) -> bool:
    """Whether a cell of a table is empty: None, NaN and the like, but not ""."""
    return bool(pd.api.types.is_scalar(cell) and pd.isna(cell))
