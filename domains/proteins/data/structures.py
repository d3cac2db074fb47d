"""PDB and mmCIF files, plain or gzipped, by gemmi: into backbones without breaks, or refused with the reason.

The first model counts, and of alternative places of a residue those that are there most. Modified residues
have the letter of the residue that they are made of (selenomethionine is M), others "X". Where a residue
lacks N, CA or C, or the bond to the next one is broken, the chain is cut; O is placed where it is missing.
Parts of one name that TER parts in a PDB file are chains of their own if they share a number.
"""

import codecs
import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from domains.proteins import geometry
from domains.proteins.chain import ATOMS, UNKNOWN, Backbone
from zoo.errors import DataError, MissingExtraError, OptionError, one_line
from zoo.folders import read_bytes, write_bytes

CLOSE, BROKEN = 0.9, 2.0  # Å between C and the next N
TWICE = 0.1  # Å between two atoms that are not one
STRETCHED = 0.4  # Å by which a bond in a residue may be off
SUFFIXES = (".pdb", ".ent", ".cif", ".mmcif")
LARGEST = 400_000_000  # bytes of a structure
ASCII = bytes(range(128)) + b"?" * 128
NUMBER = re.compile(r"(-?\d{1,9})([A-Za-z]?)")


def gemmi() -> Any:
    """The library.

    Raises:
        MissingExtraError: without it.
    """
    try:
        import gemmi as library
    except ImportError as error:
        raise MissingExtraError("gemmi", "proteins") from error
    return library


def is_structure(path: Path) -> bool:
    """Whether its name says that it holds a structure."""
    return path.name.lower().removesuffix(".gz").endswith(SUFFIXES)


def read_structure(path: Path, worst: float | None = None) -> tuple[list[Backbone], list[str]]:
    """The unbroken pieces of a file's protein chains, and a line for whatever was left out or cut.

    Args:
        path: its name says what it holds.
        worst: a file that states a resolution worse than this, Å, gives no pieces; None for any.

    Raises:
        DataError: if the file cannot be read, or holds no protein.
        MissingExtraError: without gemmi.
    """
    library = gemmi()
    table = path.name.lower().removesuffix(".gz").endswith("cif")
    try:
        structure = (
            library.read_structure_string(_content(path), format=library.CoorFormat.Mmcif)
            if table
            else library.read_pdb_string(_content(path), split_chain_on_ter=True)
        )
    except Exception as error:  # gemmi's errors are of many kinds, some of the C++ library's
        raise DataError(f"{path.name}: cannot be read: {one_line(str(error))}") from None
    if not len(structure) or not len(structure[0]):
        raise DataError(f"{path.name}: no atoms in it")
    stated = structure.resolution  # 0 where there is none: of NMR, of predictions
    if worst is not None and stated > worst:
        return [], [f"{path.name}: resolution of {stated:g} Å is worse than {worst:g} Å: left out"]
    notes = [f"{path.name}: {len(structure)} models; the first is read"] if len(structure) > 1 else []
    found = [list(_pieces(*chain, path.name, notes)) for chain in _chains(structure[0])]
    pieces = [piece for own in found for piece in own]
    for name, count in Counter(own[0].chain for own in found if own).items():
        if count > 1:
            notes.append(f"{path.name}: {count} chains are called {name}; all are read")
    if not pieces:
        raise DataError(
            f"{path.name}: no two bonded residues with N, CA and C" + "".join(f"; {n}" for n in notes[:1])
        )
    return pieces, notes


def _content(path: Path) -> bytes:
    """What the file holds, unpacked; names of atoms and chains are ASCII, and gemmi counts bytes."""
    data = read_bytes(path, LARGEST)
    data = _unpacked(data) if data[:2] == b"\x1f\x8b" else data
    data = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return data.translate(ASCII)


def _unpacked(data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as file:
            data = file.read(LARGEST + 1)
    except zlib.error as error:
        raise OSError(0, str(error)) from None
    if len(data) > LARGEST:
        raise OSError(0, f"unpacks to more than {LARGEST} bytes")
    return data


def _number(residue: Any) -> str:
    return f"{residue.seqid.num}{residue.seqid.icode.strip()}"


def _chains(model: Any) -> list[tuple[str, list[Any]]]:
    """The name and the residues of each chain: parts of one name belong together, if they share no number."""
    found: list[tuple[str, list[Any], set[str]]] = []
    for part in model:
        name, own = part.name.strip() or "_", {_number(one) for one in part}
        for other, residues, numbers in found:
            if other == name and not numbers & own:
                residues.extend(part)
                numbers |= own
                break
        else:
            found.append((name, list(part), own))
    return [(name, residues) for name, residues, _ in found]


def _pieces(name: str, residues: list[Any], file: str, notes: list[str]) -> Iterator[Backbone]:
    """The unbroken pieces of a chain."""
    library = gemmi()
    run: list[tuple[np.ndarray, str, str]] = []

    def piece() -> Iterator[Backbone]:
        if len(run) == 1:
            notes.append(f"{file}: chain {name}, residue {run[0][2]} stands alone: left out")
        if len(run) < 2:
            return
        coords = np.stack([atoms for atoms, _, _ in run])
        bare = np.isnan(coords[:, 3, 0])
        coords[bare, 3] = geometry.oxygens(coords[:, :3])[bare]
        letters, numbers = ("".join(letter for _, letter, _ in run), tuple(number for _, _, number in run))
        yield Backbone(coords, letters, numbers, name, f"{file}, chain {name}")

    doubled: list[str] = []
    for number, group in groupby(residues, _number):
        kinds = list(group)  # mostly one; or some of the molecules have one, some another
        residue = max(kinds, key=_presence)
        plain = [one.name for one in kinds if len(_backbone(one)) > 1 and not _has_alternatives(one)]
        if len(plain) > 1:
            notes.append(f"{file}: chain {name} has {len(plain)} residues {number}, {' and '.join(plain)}: "
                         f"{residue.name} alone is read")  # fmt: skip
        about = library.find_tabulated_residue(residue.name)
        atoms = _atoms(residue)
        if not about.is_amino_acid() and (residue.het_flag == "H" or atoms is None):
            if atoms is not None:
                notes.append(f"{file}: chain {name}, residue {number} {residue.name} is not known: left out")
            continue  # water, ligands, nucleic acids
        if _doubled(residue):
            doubled.append(f"{number} {residue.name}")
        broken = ""
        if atoms is None:
            broken = "lacks N, CA or C, or they are not bonded"
        elif run and not CLOSE <= (gap := float(np.linalg.norm(run[-1][0][2] - atoms[0]))) <= BROKEN:
            broken = f"is {gap:.1f} Å from the one before"
        if broken:
            notes.append(f"{file}: chain {name}, residue {number} {residue.name} {broken}: cut there")
            yield from piece()
            run.clear()
        if atoms is not None:
            letter = about.one_letter_code.upper() if about.found() else UNKNOWN
            run.append((atoms, letter if letter.isalpha() else UNKNOWN, number))
    yield from piece()
    if doubled:
        notes.append(f"{file}: chain {name} holds atoms twice, at two places (residues: {len(doubled)}, the "
                     f"first {doubled[0]}): of two copies the first is read")  # fmt: skip


def _backbone(residue: Any) -> list[Any]:
    return [atom for atom in residue if atom.name in ATOMS]


def _has_alternatives(residue: Any) -> bool:
    return any(atom.altloc != "\0" for atom in _backbone(residue))


def _presence(residue: Any) -> float:
    """How much of a residue is there, by the occupancy of its backbone."""
    return round(sum(atom.occ for atom in _backbone(residue)), 3)


def _doubled(residue: Any) -> bool:
    """Whether an atom of the backbone is there twice under one name, at two places."""
    first: dict[tuple[str, str], Any] = {}
    return any(
        first.setdefault((atom.name, atom.altloc), atom).pos.dist(atom.pos) > TWICE
        for atom in _backbone(residue)
    )


def _atoms(residue: Any) -> np.ndarray | None:
    """N, CA, C and O, (4, 3), O as NaN if it is missing or misplaced; None if another is."""
    backbone = _backbone(residue)
    there: dict[str, float] = {}  # all atoms of one alternative belong together
    for atom in backbone:
        there[atom.altloc] = there.get(atom.altloc, 0.0) + atom.occ * (atom.altloc != "\0")
    best = max(there, key=lambda place: there[place], default="\0")
    found = np.full((4, 3), np.nan)
    for place, name in enumerate(ATOMS):
        same = [atom for atom in backbone if atom.name == name]
        if same:
            atom = max(same, key=lambda atom: (atom.altloc == best, there[atom.altloc]))
            found[place] = (atom.pos.x, atom.pos.y, atom.pos.z)
    bonds = np.linalg.norm(np.diff(found, axis=0), axis=1)
    if not (np.abs(bonds[:2] - 1.5) < STRETCHED).all():  # of atoms that are missing, NaN
        return None
    if not abs(bonds[2] - geometry.C_O) < STRETCHED:
        found[3] = np.nan
    return found


def _seqid(number: str, where: Path | Backbone) -> tuple[int, str]:
    match = NUMBER.fullmatch(number)
    if match is None:
        raise OptionError(f"{where}: residue {number!r}: its number is no number, perhaps with a letter")
    return int(match[1]), match[2] or " "


def fits_pdb(backbone: Backbone) -> bool:
    """Whether a PDB file has room for its coordinates, its numbers and its chain's name.

    Raises:
        OptionError: if a residue's number is none.
    """
    numbers = [_seqid(number, backbone)[0] for number in backbone.numbers]
    reach = np.abs(backbone.coords).max()
    return bool(reach < 999.5) and len(backbone.chain) <= 2 and -999 <= min(numbers) <= max(numbers) <= 9999


def written(backbone: Backbone, path: Path, kind: str) -> Path:
    """Writes a backbone as "pdb" or "cif".

    Raises:
        OptionError: if a PDB file has no room for its coordinates, numbers or the chain's name, if a
            residue's number is none, or if the file cannot be written.
    """
    library = gemmi()
    seqids = [_seqid(number, path) for number in backbone.numbers]
    if kind == "pdb" and not fits_pdb(backbone):
        raise OptionError(
            f"{path}: a PDB file holds coordinates under 1,000 Å, chains of two letters and residues -999 to "
            "9999: use to_cif"
        )
    structure, model = library.Structure(), library.Model(1)
    structure.name = re.sub(r"[^!-~]+", "_", backbone.name or path.stem)
    chain = library.Chain(backbone.chain)
    for seqid, atoms, letter in zip(seqids, backbone.coords, backbone.sequence, strict=True):
        residue = library.Residue()
        residue.name = library.expand_one_letter(letter, library.ResidueKind.AA) or "UNK"
        residue.seqid = library.SeqId(*seqid)
        residue.entity_type = library.EntityType.Polymer
        residue.subchain, residue.entity_id = "A", "1"
        for name, position in zip(ATOMS, atoms.tolist(), strict=True):
            atom = library.Atom()
            atom.name, atom.element, atom.occ = name, library.Element(name[0]), 1.0
            atom.pos = library.Position(*position)
            residue.add_atom(atom)
        chain.add_residue(residue)
    model.add_chain(chain)
    structure.add_model(model)
    entity = library.Entity("1")
    entity.entity_type, entity.polymer_type = library.EntityType.Polymer, library.PolymerType.PeptideL
    entity.subchains, entity.full_sequence = ["A"], [one.name for one in chain]
    structure.entities.append(entity)
    structure.assign_label_seq_id()
    if kind == "pdb":
        text = structure.make_pdb_string(library.PdbWriteOptions(cryst1_record=False))
    else:
        text = structure.make_mmcif_document(
            library.MmcifOutputGroups(True, cell=False, symmetry=False)
        ).as_string()
    write_bytes(path, text.encode())
    return path
