"""Protein backbones and plain clouds of points: what is read, and what the verbs give back."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.proteins import geometry
from zoo.errors import DataError, OptionError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ATOMS = ("N", "CA", "C", "O")
UNKNOWN = "X"


@dataclass(frozen=True, eq=False)
class Backbone:
    """One chain, without breaks. As an array it is its coords.

    Attributes:
        coords: (residues, 4, 3), float32: N, CA, C and O in Å.
        sequence: a letter a residue, "X" where it is not known.
        numbers: what the residues are called in a file, with insertion codes: "45", "45A".
        chain: what the chain is called.
        name: where it comes from.
        kept: (residues,), bool: what a model was given, in a backbone that it drew around that; None for any
            other.
        drawn: (residues, 3), Å: where a model drew the Cα, before bonds were put right; None for any other.

    Raises:
        DataError: if the parts do not fit together, or a coordinate is not finite.
    """

    coords: np.ndarray
    sequence: str = ""
    numbers: tuple[str, ...] = ()
    chain: str = "A"
    name: str = ""
    kept: np.ndarray | None = None
    drawn: np.ndarray | None = None

    def __post_init__(self) -> None:
        where = self.name or "a backbone"
        coords = _finite(self.coords, where)
        if coords.ndim != 3 or coords.shape[1:] != (4, 3) or not len(coords):
            raise DataError(f"{where}: coords are {coords.shape}; (residues, 4, 3) is wanted")
        object.__setattr__(self, "coords", coords)
        object.__setattr__(self, "sequence", self.sequence or UNKNOWN * len(coords))
        numbers = self.numbers or tuple(str(i + 1) for i in range(len(coords)))
        object.__setattr__(self, "numbers", tuple(numbers))
        if not len(self.sequence) == len(self.numbers) == len(coords):
            raise DataError(
                f"{where}: {len(coords)} residues, but a sequence of {len(self.sequence)} and "
                f"{len(self.numbers)} numbers"
            )
        if self.kept is not None and np.shape(self.kept) != (len(coords),):
            raise DataError(f"{where}: {len(coords)} residues, but kept is {np.shape(self.kept)}")

    def __len__(self) -> int:
        return len(self.coords)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.coords, dtype, copy=copy)

    def part(self, first: int, last: int) -> "Backbone":
        """The residues from place `first` up to, not with, place `last`, counted from 0."""
        at = slice(first, last)
        return Backbone(self.coords[at], self.sequence[at], self.numbers[at], self.chain, self.name)

    @property
    def ca(self) -> np.ndarray:
        """Cα, (residues, 3), Å."""
        return self.coords[:, 1]

    @property
    def torsions(self) -> np.ndarray:
        """φ, ψ and ω, (residues, 3), radians; NaN where there is none."""
        return geometry.torsions(self.coords)

    @property
    def secondary(self) -> str:
        """A letter a residue: H helix, E strand, C neither; by hydrogen bonds (Kabsch & Sander 1983).

        Raises:
            MissingExtraError: without pydssp.
        """
        from domains.proteins.evaluation.secondary import assigned

        return assigned(self.coords)

    def to_pdb(self, path: str | PathLike[str]) -> Path:
        """Writes a PDB file, under the chain's name and the residues' numbers.

        Raises:
            OptionError: if the format has no room for the coordinates or the chain's name.
            MissingExtraError: without gemmi.
        """
        from domains.proteins.data.structures import written

        return written(self, Path(path), "pdb")

    def to_cif(self, path: str | PathLike[str]) -> Path:
        """Writes an mmCIF file; see `to_pdb`."""
        from domains.proteins.data.structures import written

        return written(self, Path(path), "cif")

    def plot(self, path: str | PathLike[str] | None = None) -> "Figure":
        """A Ramachandran plot, and a map of distances between Cα; also as a picture file.

        Raises:
            OptionError: if the ending of the file is that of no picture.
        """
        from domains.proteins.plots import overview

        return overview(self, None if path is None else Path(path))

    def view(self, path: str | PathLike[str] | None = None) -> str:
        """A web page that shows the trace, to be turned by the mouse; it needs no network. Also as a file.

        Raises:
            OptionError: if the file is not called .html.
        """
        from domains.proteins.plots import page

        return page([self], None if path is None else Path(path))

    def __repr__(self) -> str:
        return f"<Backbone of {len(self)} residues{': ' + self.name if self.name else ''}>"


@dataclass(frozen=True, eq=False)
class Cloud:
    """Points in no order. As an array it is its points.

    Attributes:
        points: (points, 3), float32, in any unit.
        name: where it comes from.

    Raises:
        DataError: if there are none, or one is not finite.
    """

    points: np.ndarray
    name: str = ""

    def __post_init__(self) -> None:
        points = _finite(self.points, self.name or "a cloud")
        if points.ndim != 2 or points.shape[1:] != (3,) or not len(points):
            raise DataError(f"{self.name or 'a cloud'}: points are {points.shape}; (points, 3) is wanted")
        object.__setattr__(self, "points", points)

    def __len__(self) -> int:
        return len(self.points)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.points, dtype, copy=copy)

    def to_xyz(self, path: str | PathLike[str]) -> Path:
        """Writes a text file: x, y and z of a point in each line."""
        from zoo.folders import write_bytes

        lines = (" ".join(f"{value:.7g}" for value in point) for point in self.points.tolist())
        write_bytes(Path(path), "".join(f"{line}\n" for line in lines).encode())
        return Path(path)

    def view(self, path: str | PathLike[str] | None = None) -> str:
        """A web page that shows the points; see `Backbone.view`."""
        from domains.proteins.plots import page

        return page([self], None if path is None else Path(path))

    def __repr__(self) -> str:
        return f"<Cloud of {len(self)} points{': ' + self.name if self.name else ''}>"


Shape = Backbone | Cloud


def one_of(found: Any, what: str) -> Any:
    """The only one of a sequence.

    Raises:
        OptionError: if there are more.
    """
    if len(found) == 1:
        return found[0]
    named = ", ".join(sorted({repr(one) for one in found})[:4])
    raise OptionError(f"{what} is wanted, but there are {len(found)}: {named}; pass one")


def _finite(values: Any, where: str) -> np.ndarray:
    try:
        array = np.asarray(values, np.float32)
    except (ValueError, TypeError) as error:
        raise DataError(f"{where}: no coordinates: {error}") from None
    if not np.isfinite(array).all():
        raise DataError(f"{where}: coordinates are not all finite")
    return array
