"""Parquet files that hold encoded images, as data sets of the Hub do: one file, or shards of each split."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from domains.images.data import table
from domains.images.data.parts import SPLITS, Found, Item, Part
from zoo.errors import DataError, MissingExtraError, one_line

if TYPE_CHECKING:
    from pyarrow import DataType
    from pyarrow.parquet import ParquetFile

SHARD = re.compile(r"-(\d+)-of-(\d+)")
ROWS = 128  # decoded from parquet at once


def of_shards(paths: Sequence[Path], labels: str | None, where: str) -> Found:
    """The images of parquet files, each of the split that its name or folder says.

    Raises:
        DataError: if a file is damaged, a shard is missing, the files are of several data sets, or there is
            no column of images.
        MissingExtraError: without pyarrow.
    """
    groups: dict[str, list[Path]] = {}
    for path in paths:
        words = [*re.split("[-_.]", path.stem.lower()), path.parent.name.lower()]
        groups.setdefault(next((SPLITS[word] for word in words if word in SPLITS), ""), []).append(path)
    if "" in groups and len(groups) > 1:
        raise DataError(f"{where}: {groups[''][0].name} is of no split: neither train, validation nor test")
    homes = sorted({str(path.parent.parent if path.parent.name in SPLITS else path.parent) for path in paths})
    if len(homes) > 1:
        raise DataError(f"{where}: several data sets, in {homes[0]} and {homes[1]}; name one of the folders")
    for group in groups.values():
        matches = [match for path in group if (match := SHARD.search(path.stem))]
        total = max((int(match[2]) for match in matches), default=0)
        for missing in sorted(set(range(total)) - {int(match[1]) for match in matches}):
            raise DataError(
                f"{where}: of {total} shards such as {group[0].name}, number {missing} is missing; fetch it"
            )
    parts, classes = {}, ()
    for split, group in groups.items():
        parts[split], names = _part(group, labels)
        classes = classes or names
    return Found(where, parts, classes)


@contextmanager
def _opened(path: Path) -> "Iterator[ParquetFile]":
    """A parquet file; errors of pyarrow are ours."""
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingExtraError("pyarrow", "images") from None
    try:
        with ParquetFile(path) as file:
            yield file
    except DataError:
        raise
    except (OSError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {one_line(str(error))}") from None


def holds_images(path: Path) -> bool:
    """Whether a parquet file has a column of encoded images, rather than of file names."""
    with _opened(path) as file:
        return any(_is_image(kind) for kind in file.schema_arrow.types)


def _is_image(kind: "DataType") -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return "bytes" in {field.name for field in kind}
    return types.is_binary(kind) or types.is_large_binary(kind)


@dataclass(frozen=True)
class _Shards:
    """The images of one split, read a few at a time from a column of files that start at so many rows."""

    paths: Sequence[Path]
    column: str
    starts: Sequence[int]

    def __len__(self) -> int:
        return self.starts[-1]

    def __iter__(self) -> Iterator[Item]:
        for path in self.paths:
            with _opened(path) as file:
                for batch in file.iter_batches(ROWS, columns=[self.column]):
                    for value in batch.column(0):
                        yield table.item(value.as_py(), path.parent)[0]

    def name(self, index: int) -> str:
        shard = bisect_right(self.starts, index) - 1
        return f"{self.paths[shard].name}, row {index - self.starts[shard] + 1}"


def _part(paths: Sequence[Path], labels: str | None) -> tuple[Part, tuple[str, ...]]:
    """The images of one split, and the names of its classes if the files say them."""
    with _opened(paths[0]) as file:
        schema = file.schema_arrow
    found = table.columns(schema.names, labels, str(paths[0]))
    if not _is_image(kind := schema.field(found.image).type):
        raise DataError(f"{paths[0]}, column {found.image!r}: holds {kind}, not encoded images")
    starts, marks, captions = [0], [], []
    for path in paths:
        with _opened(path) as file:
            if not {found.image, found.label, found.caption} - {None} <= set(file.schema_arrow.names):
                raise DataError(f"{path}: has other columns than {paths[0].name}")
            starts.append(starts[-1] + file.metadata.num_rows)
            if found.label:
                marks += file.read(columns=[found.label]).column(0).to_pylist()
            if found.caption:
                captions += map(table.text, file.read(columns=[found.caption]).column(0).to_pylist())
    try:  # the Hub's library writes the names into the schema
        about = json.loads(schema.metadata[b"huggingface"])
        classes = tuple(map(str, about["info"]["features"][found.label]["names"]))
    except (KeyError, ValueError, TypeError):
        classes = ()
    shards = _Shards(paths, found.image, starts)
    return Part(lambda: shards, shards.name, marks, captions, paths), classes
