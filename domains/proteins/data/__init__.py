"""Reading backbones: structure files, folders and lists of them, packed sets; and plain clouds of points.

    read("1ubq.pdb")                    # PDB or mmCIF, plain or gzipped; every unbroken piece of every chain
    read("structures")                  # a folder of them
    read("cgdms_backbone.npz")          # coords (residues, 3 or 4, 3), offsets, and perhaps ids and seqs
    read([backbone, "2abc.cif.gz"])     # any of these
    read("scans", clouds=True)          # .npz, .xyz and .ply, one or a folder

What cannot be used is told, not fatal, unless nothing is left.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from domains.proteins import geometry
from domains.proteins.chain import UNKNOWN, Backbone, Cloud, Shape
from domains.proteins.data import clouds as points
from domains.proteins.data.structures import BROKEN, CLOSE, is_structure, read_structure
from zoo.errors import DataError
from zoo.manifest import Source

WORD = 4  # residues
ALIKE = 0.1  # share of the words of the shorter sequence
N_CA = (1.2, 1.8)  # Å, the median of a set
FEWEST = 4  # shared words: fewer come about by chance


@dataclass(frozen=True, eq=False)
class Chains:
    """Backbones, or clouds, that were read.

    Attributes:
        items: in the order of the source.
        notes: a line for whatever was left out or cut, and why.
        sources: where they come from, for the model card.
    """

    items: tuple[Any, ...]
    notes: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()

    def __len__(self) -> int:
        return len(self.items)


def read(
    source: Any,
    shortest: int = 1,
    longest: int | None = None,
    *,
    clouds: bool = False,
    resolution: float | None = None,
) -> Chains:
    """Reads backbones, or clouds, of `shortest` to `longest` residues, or points.

    Args:
        source: a path, a Backbone (or Cloud), Chains, or a list of such.
        clouds: whether clouds are wanted rather than backbones.
        resolution: Å; structure files that state a worse one are left out. None reads them all, and those
            that state none (of NMR, of predictions) are read in any case.

    Raises:
        DataError: if there is nothing to read; it says why.
        MissingExtraError: without gemmi, for structure files.
    """
    notes: list[str] = []
    found = list(_found(source, notes, clouds, resolution))
    kept = [one for one in found if len(one) >= shortest and (longest is None or len(one) <= longest)]
    if len(kept) < len(found):
        most = "" if longest is None else f" and at most {longest}"
        notes.append(f"{len(found) - len(kept)} of {len(found)} do not have at least {shortest}{most} "
                     f"{'points' if clouds else 'residues'}")  # fmt: skip
    if not kept:
        told = f": {'; '.join(notes[:3])}" if notes else ""
        raise DataError(f"no {'clouds' if clouds else 'backbones'} in {_named(source)}{told}")
    sources = source.sources if isinstance(source, Chains) else (Source(_named(source), "unspecified"),)
    return Chains(tuple(kept), tuple(notes), sources)


def _named(source: Any) -> str:
    if isinstance(source, Chains) and source.sources:
        return source.sources[0].name
    if isinstance(source, list | tuple) and len(source):
        first, *others = source
        return f"{_named(first)} and {len(others)} more" if others else _named(first)
    return Path(source).name if isinstance(source, str | PathLike) else f"the {type(source).__name__}"


def _found(source: Any, notes: list[str], clouds: bool, resolution: float | None) -> Iterable[Shape]:
    wanted, other = (Cloud, Backbone) if clouds else (Backbone, Cloud)
    if isinstance(source, Chains):
        notes.extend(source.notes)
        yield from _found(source.items, notes, clouds, resolution)
    elif isinstance(source, wanted):
        yield source
    elif isinstance(source, str | PathLike):
        yield from _of_path(Path(source).expanduser(), notes, clouds, resolution)
    elif isinstance(source, list | tuple):
        for one in source:
            yield from _found(one, notes, clouds, resolution)
    else:
        hint = "" if not isinstance(source, other) else "; other recipes train on these"
        raise DataError(
            f"a path, a {wanted.__name__} or a list is wanted, not a {type(source).__name__}{hint}"
        )


def _of_path(path: Path, notes: list[str], clouds: bool, resolution: float | None) -> Iterable[Shape]:
    endings = ", ".join(points.SUFFIXES) if clouds else ".pdb, .cif, plain or .gz, or a packed set, .npz"
    if path.is_dir():
        files = [file for file in sorted(path.rglob("*")) if file.is_file()]
        files = [file for file in files if _reader(file, clouds, notes, resolution)]
        if not files:
            raise DataError(f"{path}: nothing to read in this folder ({endings})")
        for file in files:
            try:
                yield from _of_path(file, notes, clouds, resolution)
            except (DataError, OSError) as error:
                notes.append(str(error))
    elif not path.is_file():
        raise DataError(f"{path}: no such file or folder")
    elif reader := _reader(path, clouds, notes, resolution):
        yield from reader(path)
    else:
        hint = "; proteins-points is the recipe of such" if path.suffix.lower() in points.SUFFIXES else ""
        raise DataError(f"{path.name}: its name does not say what it is ({endings}){hint}")


def _reader(
    path: Path, clouds: bool, notes: list[str], resolution: float | None
) -> Callable[[Path], Iterable[Shape]] | None:
    """What reads a file of this name."""
    if clouds:
        return points.read_clouds if path.suffix.lower() in points.SUFFIXES else None
    if is_structure(path):
        return partial(_of_structure, notes=notes, resolution=resolution)
    return partial(_of_set, notes=notes) if path.suffix.lower() == ".npz" else None


def _of_structure(path: Path, notes: list[str], resolution: float | None) -> Iterable[Backbone]:
    pieces, told = read_structure(path, resolution)
    notes.extend(told)
    return pieces


def _of_set(path: Path, notes: list[str]) -> Iterable[Backbone]:
    """A packed set: coords (residues, 3 or 4, 3) of all chains, offsets, and perhaps ids and seqs."""
    arrays = points.arrays_of(path)
    if not {"coords", "offsets"} <= set(arrays):
        raise DataError(f"{path.name}: coords and offsets are wanted; there are {', '.join(arrays)}")
    coords = points.numbers(arrays["coords"], "coords", path.name)
    if coords.ndim != 3 or coords.shape[1] not in (3, 4) or coords.shape[2] != 3:
        raise DataError(f"{path.name}: coords are {coords.shape}; (residues, 3 or 4, 3) is wanted")
    whole = coords[np.isfinite(coords).all((1, 2))]
    bond = np.median(np.linalg.norm(whole[:, 1] - whole[:, 0], axis=1)) if len(whole) else N_CA[0]
    if not N_CA[0] <= bond <= N_CA[1]:
        raise DataError(
            f"{path.name}: N and CA are {bond:.3g} apart, not 1.46: N, CA, C (and O) are wanted, in Å, not nm"
        )
    parts = points.packed(coords, arrays["offsets"], path.name)
    names, sequences = (_texts(arrays, name, len(parts), path.name) for name in ("ids", "seqs"))
    if coords.shape[1] == 3:
        parts = points.packed(_with_oxygens(coords, arrays["offsets"]), arrays["offsets"], path.name)
    for i, own in enumerate(parts):
        name = names[i] if names else f"{path.name}, {i + 1}"
        if broken := _broken(own, sequences[i] if sequences else ""):
            notes.append(f"{path.name}: {name} {broken}: left out")
        else:
            yield Backbone(own, sequences[i] if sequences else "", name=name)


def _texts(arrays: dict[str, np.ndarray], what: str, count: int, where: str) -> list[str]:
    """An array of texts, one a chain; empty if there is none."""
    if what not in arrays:
        return []
    found = arrays[what]
    if found.shape != (count,) or found.dtype.kind not in "USiu":
        raise DataError(
            f"{where}: {what} are {found.dtype} of shape {found.shape}; {count} texts are wanted, one a chain"
        )
    return [one.decode("latin-1") if isinstance(one, bytes) else str(one) for one in found.tolist()]


def _with_oxygens(coords: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """All chains with their O, (residues, 4, 3), from N, CA and C."""
    atoms = coords.astype(float)
    last = offsets[1:][np.diff(offsets) > 0] - 1  # these stand as in an extended chain
    with np.errstate(invalid="ignore", divide="ignore"):  # of chains that will be left out
        oxygens = geometry.oxygens(atoms)
        n, ca, c = atoms[last].swapaxes(0, 1)
        oxygens[last] = geometry.placed(n, ca, c, geometry.C_O, geometry.CA_C_O, math.radians(315.0))
    return np.concatenate([coords, oxygens[:, None]], 1)


def _broken(own: np.ndarray, sequence: str) -> str:
    """Why a chain of a packed set cannot be used, if it cannot."""
    if len(own) < 2 or not np.isfinite(own).all():
        return "has fewer than two residues, or coordinates that are not finite"
    if sequence and len(sequence) != len(own):
        return f"has {len(own)} residues, but a sequence of {len(sequence)}"
    gap = np.linalg.norm(own[:-1, 2] - own[1:, 0], axis=1)
    off = (gap < CLOSE) | (gap > BROKEN)
    return f"is broken behind residue {off.argmax() + 1}: {gap[off.argmax()]:.1f} Å" if off.any() else ""


def clusters(items: Sequence[Shape]) -> list[str]:
    """A name for each item; those of one name are alike, and stay on one side of a split.

    Sequences that share a tenth of their words of four residues are alike, and what is like either of two
    (single linkage): near copies are found, and of remote relatives some are not. Without a sequence, only
    copies are alike.
    """
    return list(_clusters(tuple(items)))


@lru_cache(4)
def _clusters(items: tuple[Shape, ...]) -> tuple[str, ...]:
    from scipy.sparse import coo_array, csr_array
    from scipy.sparse.csgraph import connected_components

    copies = [hashlib.blake2b(np.asarray(one).tobytes(), digest_size=16).hexdigest() for one in items]
    words = [_words(one) or {copy} for one, copy in zip(items, copies, strict=True)]
    index = {word: i for i, word in enumerate(sorted(set().union(*words)))}
    counts = np.array([len(own) for own in words])
    places = np.array([index[word] for own in words for word in sorted(own)])
    rows = np.repeat(np.arange(len(items)), counts)
    table = csr_array((np.ones(len(rows)), (rows, places)), (len(items), len(index)))
    shared = coo_array(table @ table.T)
    a, b = shared.coords
    fewer = np.minimum(counts[a], counts[b])
    alike = shared.data >= np.maximum(ALIKE * fewer, np.minimum(FEWEST, fewer))
    graph = csr_array((np.ones(alike.sum()), (a[alike], b[alike])), (len(items), len(items)))
    labels = connected_components(graph, directed=False)[1]
    first: dict[int, str] = {}
    for label, copy in zip(labels.tolist(), copies, strict=True):  # the name does not depend on the order
        first[label] = min(copy, first.get(label, copy))
    return tuple(first[label] for label in labels.tolist())


def _words(one: Shape) -> set[str]:
    sequence = one.sequence if isinstance(one, Backbone) else ""
    found = {sequence[i : i + WORD] for i in range(len(sequence) - WORD + 1)}
    return {word for word in found if UNKNOWN not in word}
