"""What a reader finds in a source: images, not decoded yet, by split, and what is said of each."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from zoo.manifest import Source

# A file, its bytes, an image of PIL, uint8 (H, W, C); None where a table names none.
Item = Path | bytes | Image.Image | np.ndarray | None

# What folders, files and columns call the splits.
SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}


class Items(Protocol):
    """Images in the order of the source; may be walked through more than once."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Item]: ...


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one split.

    Attributes:
        load: gives the images; called only if the split is wanted.
        name: what to call the image at an index in messages.
        labels: one for each image, as the source writes them: numbers, names, None; empty if there are none.
        captions: one for each image; empty if there are none.
        files: the files that hold the encoded images; empty if they are in memory or are not encoded.
        key: tells the part from others in the same files.
    """

    load: Callable[[], Items]
    name: Callable[[int], str]
    labels: Sequence[object] | np.ndarray = ()
    captions: Sequence[str] = ()
    files: Sequence[Path] = ()
    key: str = ""


@dataclass(frozen=True, eq=False)
class Found:
    """The whole of a source.

    Attributes:
        where: what to call the source in messages.
        parts: by split; under "" alone if the source has no splits of its own.
        classes: the names of the labels, if the source gives them.
        sources: for the model card.
    """

    where: str
    parts: Mapping[str, Part]
    classes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()


def numbered(index: int) -> str:
    """The name of an image that has none."""
    return f"image {index + 1}"


def named(names: Sequence[str]) -> Callable[[int], str]:
    """Names by index."""
    return lambda index: names[index]


def hint(name: str, known: Sequence[str]) -> str:
    """A question after a name that is not known, if it is near one that is."""
    near = get_close_matches(name, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
