"""Parquet files that hold encoded images, as data sets of the Hub do: one file, or shards of each split."""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
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

    Args:
        paths: the files, in the order of the images.
        labels: the column of labels, where there is a doubt.
        where: the source, for messages.

    Raises:
        DataError: if a file is damaged, a shard is missing, the files are of several data sets, or there is
            no column of images.
        MissingExtraError: without pyarrow.
    """
    groups: dict[str, list[Path]] = {}
    for path in paths:
        groups.setdefault(_split(path), []).append(path)
    if "" in groups and len(groups) > 1:
        raise DataError(f"{where}: {groups[''][0].name} is of no split: neither train, validation nor test")
    homes = sorted({str(path.parent.parent if path.parent.name in SPLITS else path.parent) for path in paths})
    if len(homes) > 1:
        raise DataError(f"{where}: several data sets, in {homes[0]} and {homes[1]}; name one of the folders")
    for group in groups.values():
        _check_complete(group, where)
    shards = {split: _Shards(group, labels) for split, group in groups.items()}
    classes = next((names for part in shards.values() if (names := part.classes())), ())
    return Found(where, {split: _part(part) for split, part in shards.items()}, classes)


def _split(path: Path) -> str:
    """The split that a file's name says, else its folder's."""
    words = re.split("[-_.]", path.stem.lower())
    return next((SPLITS[word] for word in words if word in SPLITS), SPLITS.get(path.parent.name.lower(), ""))


def _check_complete(paths: Sequence[Path], where: str) -> None:
    """Sees that no shard of train-00000-of-00002.parquet and so on is missing."""
    matches = [match for path in paths if (match := SHARD.search(path.stem))]
    totals = {int(match[2]) for match in matches}
    there = {int(match[1]) for match in matches}
    for missing in sorted(set(range(max(totals, default=0))) - there):
        raise DataError(
            f"{where}: of {max(totals)} shards such as {paths[0].name}, number {missing} is missing; fetch it"
        )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Errors of pyarrow as ours."""
    try:
        yield
    except (DataError, MissingExtraError):
        raise
    except (OSError, ValueError, KeyError, NotImplementedError, RuntimeError) as error:
        raise DataError(f"{path}: cannot be read as parquet: {one_line(str(error))}") from None


def opened(path: Path) -> "ParquetFile":
    """A parquet file.

    Raises:
        DataError: if it is none.
        MissingExtraError: without pyarrow.
    """
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingExtraError("pyarrow", "images") from None
    with _reading(path):
        return ParquetFile(path)


def holds_images(path: Path) -> bool:
    """Whether a parquet file has a column of encoded images, rather than of file names."""
    with opened(path) as file:
        schema = file.schema_arrow
        return any(_is_image(schema.field(name).type) for name in schema.names)


def _is_image(kind: "DataType") -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return "bytes" in {field.name for field in kind}
    return types.is_binary(kind) or types.is_large_binary(kind)


class _Shards:
    """The images of one split, read from its files a few at a time."""

    def __init__(self, paths: Sequence[Path], labels: str | None) -> None:
        self.paths = tuple(paths)
        with opened(paths[0]) as file:
            self._schema = file.schema_arrow
        kinds = {name: self._schema.field(name).type for name in self._schema.names}
        self.columns = table.columns(list(kinds), labels, str(paths[0]))
        if not _is_image(kinds[self.columns.image]):
            raise DataError(
                f"{paths[0]}, column {self.columns.image!r}: holds {kinds[self.columns.image]}, not "
                "encoded images"
            )
        counts = []
        for path in paths:
            with opened(path) as file:
                if not {self.columns.image, self.columns.label} - {None} <= set(file.schema_arrow.names):
                    raise DataError(f"{path}: has other columns than {paths[0].name}")
                counts.append(file.metadata.num_rows)
        self._starts = [0, *accumulate(counts)]

    def __len__(self) -> int:
        return self._starts[-1]

    def __iter__(self) -> Iterator[Item]:
        for path in self.paths:
            with opened(path) as file, _reading(path):
                for batch in file.iter_batches(ROWS, columns=[self.columns.image]):
                    for value in batch.column(0):
                        yield table.item(value.as_py(), path.parent)[0]

    def name(self, index: int) -> str:
        shard = bisect_right(self._starts, index) - 1
        return f"{self.paths[shard].name}, row {index - self._starts[shard] + 1}"

    def column(self, name: str) -> list[object]:
        """All values of a column."""
        values: list[object] = []
        for path in self.paths:
            with opened(path) as file, _reading(path):
                values += file.read(columns=[name]).column(0).to_pylist()
        return values

    def classes(self) -> tuple[str, ...]:
        """The names of the labels, which the Hub's library writes into the schema; empty without."""
        try:
            about = json.loads((self._schema.metadata or {})[b"huggingface"])
            names = about["info"]["features"][self.columns.label]["names"]
        except (KeyError, ValueError, TypeError):
            return ()
        return tuple(map(str, names)) if isinstance(names, list) else ()


def _part(shards: _Shards) -> Part:
    label, caption = shards.columns.label, shards.columns.caption
    return Part(
        lambda: shards,
        shards.name,
        shards.column(label) if label else (),
        [table.caption(cell) for cell in shards.column(caption)] if caption else (),
        shards.paths,
    )
