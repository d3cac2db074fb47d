"""Reading structures, packed sets and clouds: small files written here, and what happens to bad ones."""

import gzip
import os
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domains.proteins import domain, geometry, side
from domains.proteins.chain import Backbone, Cloud
from domains.proteins.data import Chains, clusters, read
from domains.proteins.data.known import known
from domains.proteins.data.pieces import pieces
from domains.proteins.data.structures import fits_pdb
from domains.proteins.evaluation.metrics import size
from domains.proteins.recipes import FLOW
from zoo.errors import DataError, OptionError

gemmi = pytest.importorskip("gemmi", reason="needs the extra proteins")

DATA = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "proteins"
real = pytest.mark.skipif(
    not DATA.is_dir(), reason="no real data: set ZOO_DATA to the folder that holds proteins/"
)
EXAMPLE = domain.example().items[0].part(0, 12)
SEQUENCE = "ACDEFGHIKLMN"
SIDE = ("CB", "CG", "CD1", "CD2", "CE1", "CE2", "CZ")  # of phenylalanine
CLOTHES = ["CRLF", "CR", "BOM", "gzip", "upper case", "ent", "blank chain", "no element", "no END"]


def line(serial, atom, residue, chain, number, xyz, *, alt=" ", icode=" ", occ=1.0, record="ATOM"):
    return (
        f"{record:6}{serial:5} {' ' + atom:4}{alt}{residue:>3} {chain}{number:4}{icode}   "
        f"{xyz[0]:8.3f}{xyz[1]:8.3f}{xyz[2]:8.3f}{occ:6.2f}{0:6.2f}          {atom[0]:>2}"
    )


def lines_of(chain=EXAMPLE, letter="A", first=1, names=None, **how):
    """The ATOM lines of a backbone, four a residue."""
    found = []
    for i, atoms in enumerate(chain.coords):
        name = names[i] if names else gemmi.expand_one_letter(SEQUENCE[i], gemmi.ResidueKind.AA)
        for k, atom in enumerate(("N", "CA", "C", "O")):
            found.append(line(4 * i + k + 1, atom, name, letter, first + i, atoms[k], **how))
    return found


def written(path, lines, end="\n"):
    path.write_bytes((end.join([*lines, "END", ""])).encode())
    return path


def only(path):
    (one,) = read(path).items
    return one


def test_a_plain_file(tmp_path):
    one = only(written(tmp_path / "a.pdb", lines_of(first=5)))
    assert one.coords == pytest.approx(EXAMPLE.coords, abs=6e-4)
    assert (one.sequence, one.chain, one.numbers[0]) == (SEQUENCE, "A", "5")
    assert one.name == "a.pdb, chain A"


@pytest.mark.parametrize("kind", CLOTHES)
def test_the_same_chain_in_other_clothes(tmp_path, kind):
    lines, path = lines_of(letter=" " if kind == "blank chain" else "A"), tmp_path / "a.pdb"
    if kind == "no element":
        lines = [one[:66] for one in lines]
    if kind == "upper case":
        path = tmp_path / "A.PDB"
    if kind == "ent":
        path = tmp_path / "pdb1abc.ent"
    written(path, lines, {"CRLF": "\r\n", "CR": "\r"}.get(kind, "\n"))
    if kind == "BOM":
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    if kind == "no END":
        path.write_bytes(path.read_bytes().replace(b"END\n", b"")[:-1])
    if kind == "gzip":
        (tmp_path / "a.pdb.gz").write_bytes(gzip.compress(path.read_bytes()))
        path = tmp_path / "a.pdb.gz"
    one = only(path)
    assert one.coords == pytest.approx(EXAMPLE.coords, abs=6e-4) and one.sequence == SEQUENCE
    assert one.chain == ("_" if kind == "blank chain" else "A")


def test_insertion_codes_are_residues_of_their_own(tmp_path):
    lines = lines_of()
    for i in range(16, 24):  # residues 5 and 6 become 4A and 4B
        lines[i] = lines[i][:22] + f"{4:4}" + "AB"[(i - 16) // 4] + lines[i][27:]
    one = only(written(tmp_path / "a.pdb", lines))
    assert len(one) == 12 and one.numbers[3:7] == ("4", "4A", "4B", "7")


def test_of_alternatives_the_one_that_is_there_most_is_read_whole(tmp_path):
    lines = lines_of()
    a, b = EXAMPLE.coords[4], EXAMPLE.coords[4] + 0.3
    places = []
    for k, (atom, low, high) in enumerate(zip(("N", "CA", "C", "O"), a, b, strict=True)):
        # of the atom C alone, A is there more: it still belongs to the others of A
        occ = (0.6, 0.4) if atom == "C" else (0.3, 0.7)
        places += [line(100 + k, atom, "PHE", "A", 5, xyz, alt=alt, occ=o)
                   for alt, xyz, o in zip("AB", (low, high), occ, strict=True)]  # fmt: skip
    one = only(written(tmp_path / "a.pdb", [*lines[:16], *places, *lines[20:]]))
    assert one.coords[4] == pytest.approx(b, abs=1e-3)
    even = [x[:54] + f"{0.5:6.2f}" + x[60:] for x in places]
    one = only(written(tmp_path / "b.pdb", [*lines[:16], *even, *lines[20:]]))
    assert one.coords[4] == pytest.approx(a, abs=1e-3)


def test_two_residues_in_one_place_are_one(tmp_path):
    lines = lines_of()
    twice = [one[:16] + "A" + one[17:] for one in lines[16:20]]
    other = [one[:16] + "BALA" + one[20:] for one in lines[16:20]]
    one = only(written(tmp_path / "a.pdb", [*lines[:16], *twice, *other, *lines[20:]]))
    assert one.sequence == SEQUENCE


def test_of_two_residues_in_one_place_the_one_that_is_there_most_is_read(tmp_path):
    moved = lines_of(replace(EXAMPLE, coords=EXAMPLE.coords + 0.2))[16:20]
    lines = lines_of()
    few = [one[:16] + "A" + one[17:54] + f"{0.2:6.2f}" + one[60:] for one in lines[16:20]]
    # only its backbone counts: a longer side chain is no greater part of the molecules
    few += [line(900 + i, name, "PHE", "A", 5, (9, 9, 9), alt="A", occ=0.2) for i, name in enumerate(SIDE)]
    many = [one[:16] + "BALA" + one[20:54] + f"{0.8:6.2f}" + one[60:] for one in moved]
    found = read(written(tmp_path / "a.pdb", [*lines[:16], *few, *many, *lines[20:]]))
    assert found.items[0].sequence == "ACDEAGHIKLMN" and found.notes == ()
    assert found.items[0].coords[4] == pytest.approx(EXAMPLE.coords[4] + 0.2, abs=1e-3)


def test_residues_that_share_a_number_are_told(tmp_path):
    lines = lines_of()
    lines[20:24] = [one[:22] + f"{5:4}" + one[26:] for one in lines[20:24]]
    found = read(written(tmp_path / "a.pdb", lines))
    assert [len(one) for one in found.items] == [5, 6]
    assert found.notes[0] == "a.pdb: chain A has 2 residues 5, PHE and GLY: PHE alone is read"
    lines[20:24] = [one[:17] + "PHE" + one[20:54] + f"{0.5:6.2f}" + one[60:] for one in lines[20:24]]
    found = read(written(tmp_path / "b.pdb", lines))
    assert [len(one) for one in found.items] == [5, 6]
    assert found.notes[-1] == (
        "b.pdb: chain A holds atoms twice, at two places (residues: 1, the first 5 PHE): of two copies the "
        "first is read"
    )


def test_modified_residues_have_the_letter_of_their_parent(tmp_path):
    lines = lines_of()
    lines[40:44] = [one.replace("ATOM  ", "HETATM").replace("MET", "MSE") for one in lines[40:44]]
    lines[44:48] = [one.replace("ASN", "UNK") for one in lines[44:48]]
    assert only(written(tmp_path / "a.pdb", lines)).sequence == "ACDEFGHIKLMX"


def test_water_ligands_and_nucleic_acids_are_left_out(tmp_path):
    lines = lines_of()
    others = [
        line(900, "O", "HOH", "A", 201, (9, 9, 9), record="HETATM"),
        line(901, "CA", "CA", "A", 202, (8, 8, 8), record="HETATM"),
        line(902, "P", "DA", "B", 1, (7, 7, 7)),
    ]
    found = read(written(tmp_path / "a.pdb", lines + others))
    assert len(found) == 1 and found.notes == () and len(found.items[0]) == 12


def test_a_lone_amino_acid_is_no_chain(tmp_path):
    ligand = [one[:6] + one[6:] for one in lines_of(EXAMPLE.part(0, 1), "A", 300)]
    ligand = [one[:30] + f"{90 + float(one[30:38]):8.3f}" + one[38:] for one in ligand]
    found = read(written(tmp_path / "a.pdb", lines_of() + ligand))
    assert len(found) == 1
    assert "residue 300 stands alone: left out" in found.notes[-1]


def test_the_first_model_counts(tmp_path):
    other = lines_of(replace(EXAMPLE, coords=EXAMPLE.coords + 20))
    models = ["MODEL        1", *lines_of(), "ENDMDL", "MODEL        2", *other, "ENDMDL"]
    found = read(written(tmp_path / "a.pdb", models))
    assert found.notes == ("a.pdb: 2 models; the first is read",)
    assert found.items[0].coords == pytest.approx(EXAMPLE.coords, abs=6e-4)


def test_chains_are_cut_where_they_are_broken(tmp_path):
    lines = lines_of()
    found = read(written(tmp_path / "a.pdb", lines[:20] + lines[28:]))  # without 6 and 7
    assert [one.numbers for one in found.items] == [tuple("12345"), ("8", "9", "10", "11", "12")]
    (note,) = found.notes
    assert note.startswith("a.pdb: chain A, residue 8 ILE is") and note.endswith(
        "Å from the one before: cut there"
    )
    without_ca = [one for i, one in enumerate(lines) if i != 21]
    found = read(written(tmp_path / "b.pdb", without_ca))
    assert [len(one) for one in found.items] == [5, 6]
    assert "residue 6 GLY lacks N, CA or C" in found.notes[0]
    found = read(written(tmp_path / "c.pdb", lines[:16] + lines[20:24] + lines[28:]))  # without 5 and 7
    assert [len(one) for one in found.items] == [4, 5]
    assert "c.pdb: chain A, residue 6 stands alone: left out" in found.notes


def test_chains_stay_apart(tmp_path):
    moved = replace(EXAMPLE, coords=EXAMPLE.coords + 30)
    found = read(written(tmp_path / "a.pdb", [*lines_of(), "TER", *lines_of(moved, "B"), "TER"]))
    assert [one.chain for one in found.items] == ["A", "B"]


@pytest.mark.parametrize("letter", ["A", " "])
def test_two_copies_under_one_name_are_both_read_or_told(tmp_path, letter):
    moved = lines_of(replace(EXAMPLE, coords=EXAMPLE.coords + 30), letter)
    found = read(written(tmp_path / "a.pdb", [*lines_of(letter=letter), "TER", *moved, "TER"]))
    first, second = found.items
    assert first.coords == pytest.approx(EXAMPLE.coords, abs=6e-4)
    assert second.coords == pytest.approx(EXAMPLE.coords + 30, abs=6e-4)
    called = letter.replace(" ", "_")
    assert found.notes == (f"a.pdb: 2 chains are called {called}; all are read",)
    found = read(written(tmp_path / "b.pdb", [*lines_of(letter=letter), *moved]))
    assert found.items[0].coords == pytest.approx(EXAMPLE.coords, abs=6e-4) and len(found) == 1
    assert found.notes[0].startswith(
        f"b.pdb: chain {called} holds atoms twice, at two places (residues: 12, "
    )


@pytest.mark.parametrize("between", ["TER", "another chain"])
def test_parts_of_a_chain_are_one(tmp_path, between):
    other = lines_of(replace(EXAMPLE, coords=EXAMPLE.coords + 30), "B")
    lines = [*lines_of()[:24], *(["TER"] if between == "TER" else other), *lines_of()[24:]]
    found = read(written(tmp_path / "a.pdb", lines))
    assert found.items[0].coords == pytest.approx(EXAMPLE.coords, abs=6e-4) and found.notes == ()


def test_what_is_no_known_residue_is_told(tmp_path):
    lines = lines_of()
    lines[20:24] = [one.replace("ATOM  ", "HETATM").replace("GLY", "QQ9") for one in lines[20:24]]
    found = read(written(tmp_path / "a.pdb", lines))
    assert [len(one) for one in found.items] == [5, 6]
    assert found.notes[0] == "a.pdb: chain A, residue 6 QQ9 is not known: left out"


def test_residues_on_top_of_each_other_are_not_bonded(tmp_path):
    coords = EXAMPLE.coords.copy()
    coords[6:] += coords[5, 2] - coords[6, 0] + 0.1
    assert [len(one) for one in read(written(tmp_path / "a.pdb", lines_of(Backbone(coords)))).items] == [6, 6]


def test_missing_oxygens_are_placed(tmp_path):
    one = only(written(tmp_path / "a.pdb", [one for one in lines_of() if one[13:15] != "O "]))
    assert one.coords[:-1] == pytest.approx(EXAMPLE.coords[:-1], abs=0.02)
    assert np.linalg.norm(one.coords[-1, 3] - one.coords[-1, 2]) == pytest.approx(1.233, abs=1e-3)


def test_duplicated_atoms_count_once(tmp_path):
    lines = [copy for one in lines_of() for copy in (one, one)]
    assert only(written(tmp_path / "a.pdb", lines)).coords == pytest.approx(EXAMPLE.coords, abs=6e-4)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no atoms in it"),
        (b"hello\n", "no atoms in it"),
        (b"\x1f\x8bxxxxxxxxxxxxxxxx", "cannot be read"),
        (gzip.compress(b"ATOM" * 1000, mtime=0)[:-20], "cannot be read"),
        (bytes(range(256)) * 20, "a.pdb"),
        ("\n".join(lines_of(EXAMPLE.part(0, 1))).encode(), "no two bonded residues.*stands alone"),
        (
            "\n".join(one for one in lines_of() if one[13:15] == "CA").encode(),
            "no two bonded residues.*lacks N",
        ),
    ],
)
def test_what_is_no_structure_is_refused_in_a_line(tmp_path, content, told):
    (tmp_path / "a.pdb").write_bytes(content)
    with pytest.raises(DataError, match=told) as caught:
        read(tmp_path / "a.pdb")
    assert "a.pdb" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("domains.proteins.data.structures.LARGEST", 10_000)
    (tmp_path / "a.pdb.gz").write_bytes(gzip.compress(b" " * 10**6))
    with pytest.raises(DataError, match="unpacks to more than 10000 bytes"):
        read(tmp_path / "a.pdb.gz")


def test_folders_and_lists_tell_what_they_leave_out(tmp_path):
    (tmp_path / "deep").mkdir()
    written(tmp_path / "deep" / "a.pdb", lines_of())
    written(tmp_path / "b.pdb", ["REMARK"])
    (tmp_path / "readme.txt").write_text("no structure")
    found = read(tmp_path)
    assert len(found) == 1 and found.notes == ("b.pdb: no atoms in it",)
    assert len(read([tmp_path / "deep" / "a.pdb", EXAMPLE, [EXAMPLE]])) == 3
    with pytest.raises(DataError, match=r"no backbones in .*: 1 of 1 do not have at least 20 and at most 30"):
        read(tmp_path / "deep", 20, 30)


@pytest.mark.parametrize("kind", ["pdb", "cif"])
def test_files_of_a_worse_resolution_are_left_out_and_told_if_that_is_asked(tmp_path, kind):
    for name, stated in (("fine", 2.1), ("coarse", 4.2), ("nmr", None)):
        path = tmp_path / f"{name}.{kind}"
        if kind == "pdb":
            remark = "NOT APPLICABLE." if stated is None else f"{stated:7.2f} ANGSTROMS."
            written(path, ["REMARK   2", f"REMARK   2 RESOLUTION. {remark}", *lines_of()])
        else:
            more = {  # of crystals and of electron microscopy
                "fine": f"_refine.pdbx_refine_id 'X-RAY DIFFRACTION'\n_refine.ls_d_res_high {stated}",
                "coarse": f"_em_3d_reconstruction.resolution {stated}",
            }
            path.write_text(f"{EXAMPLE.to_cif(path).read_text()}\n{more.get(name, '')}\n")
    assert [one.name.split(".")[0] for one in read(tmp_path).items] == ["coarse", "fine", "nmr"]
    found = read(tmp_path, resolution=3.5)
    assert [one.name.split(".")[0] for one in found.items] == ["fine", "nmr"]
    told = f"coarse.{kind}: resolution of 4.2 Å is worse than 3.5 Å: left out"
    assert found.notes == (told,)
    assert len(read(tmp_path / f"coarse.{kind}", resolution=4.2)) == 1
    with pytest.raises(DataError, match=told):
        read(tmp_path / f"coarse.{kind}", resolution=3.5)
    assert len(read([EXAMPLE, Chains((EXAMPLE,))], resolution=3.5)) == 2  # these state none


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nowhere.pdb", "no such file or folder"),
        ("readme.txt", r"does not say what it is \(.pdb, .cif"),
        ("points.ply", "proteins-points is the recipe of such"),
        ("empty", "nothing to read in this folder"),
        (3, "a path, a Backbone or a list is wanted, not a int"),
        (Cloud(np.ones((5, 3))), "not a Cloud; other recipes train on these"),
        ([], "no backbones in the list"),
    ],
)
def test_other_sources_are_refused(tmp_path, source, told):
    for name in ("readme.txt", "points.ply"):
        (tmp_path / name).write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=told):
        read(tmp_path / source if isinstance(source, str) else source)


@pytest.mark.parametrize("kind", ["pdb", "cif"])
def test_files_are_read_as_they_were_written(tmp_path, kind):
    numbers = (*map(str, range(-2, 3)), "3", "3A", "3B", *map(str, range(10, 14)))
    chain = Backbone(EXAMPLE.coords, "ACDEFGHIKLMX", numbers, "B", "mine")
    path = (chain.to_pdb if kind == "pdb" else chain.to_cif)(tmp_path / "new" / f"a.{kind}")
    again = only(path)
    assert again.coords == pytest.approx(chain.coords, abs=6e-4)
    assert (again.sequence, again.numbers, again.chain) == (chain.sequence, chain.numbers, "B")
    assert [one.name for one in path.parent.iterdir()] == [path.name]  # nothing half-written is left


@pytest.mark.parametrize(
    "name", ["_", "A B", '"x', "'x", "a'b\" c", "?", ".", ";a", "#", "data_x", "loop_", ""]
)
def test_mmcif_holds_any_name_of_a_chain(tmp_path, name):
    chain = replace(EXAMPLE, chain=name, name="my file.pdb, chain 'A'")
    again = only(chain.to_cif(tmp_path / "a.cif"))
    assert again.chain == (name or "_") and again.coords == pytest.approx(chain.coords, abs=1e-5)


def test_a_chain_without_a_name_is_read_as_it_was_written(tmp_path):
    bare = only(written(tmp_path / "a.pdb", lines_of(letter=" ", first=7)))
    for path in (bare.to_cif(tmp_path / "b.cif"), bare.to_pdb(tmp_path / "b.pdb")):
        again = only(path)
        assert (again.chain, again.numbers) == ("_", bare.numbers)
        assert again.coords == pytest.approx(bare.coords, abs=6e-4)


def test_mmcif_is_written_as_strict_readers_want(tmp_path):
    numbers = (*map(str, range(40, 48)), "47A", "47B", "60", "61")
    chain = Backbone(EXAMPLE.coords, "ACXXXGXIKLMX", numbers, "B")
    block = gemmi.cif.read(str(chain.to_cif(tmp_path / "a.cif"))).sole_block()
    columns = ("label_asym_id", "label_entity_id", "label_seq_id", "auth_seq_id", "auth_asym_id")
    rows = [tuple(row) for row in block.find("_atom_site.", columns)]
    assert rows[::4] == [("A", "1", str(i + 1), numbers[i].rstrip("AB"), "B") for i in range(12)]
    assert len(block.find("_entity_poly_seq.", ["mon_id"])) == 12
    assert [tuple(row) for row in block.find("_struct_asym.", ["id", "entity_id"])] == [("A", "1")]
    assert not block.find_values("_cell.length_a")
    assert "CRYST1" not in chain.to_pdb(tmp_path / "a.pdb").read_text()


@pytest.mark.parametrize("kind", ["pdb", "cif"])
def test_places_that_cannot_be_written_to(tmp_path, kind):
    write = EXAMPLE.to_pdb if kind == "pdb" else EXAMPLE.to_cif
    (tmp_path / "file").write_text("")
    for path in (tmp_path, tmp_path / "file" / "a.pdb"):
        with pytest.raises(OptionError, match=r"cannot be written: .*; pass another file"):
            write(path)
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))  # nothing half-written is left


def test_what_a_pdb_file_cannot_hold(tmp_path):
    for chain in (
        replace(EXAMPLE, coords=EXAMPLE.coords + 5000),
        replace(EXAMPLE, chain="heavy"),
        replace(EXAMPLE, numbers=tuple(map(str, range(-1005, -993)))),
        replace(EXAMPLE, numbers=tuple(map(str, range(9995, 10007)))),
        replace(EXAMPLE, numbers=tuple(map(str, range(12_345_678, 12_345_690)))),
    ):
        with pytest.raises(OptionError, match="use to_cif"):
            chain.to_pdb(tmp_path / "a.pdb")
        again = only(chain.to_cif(tmp_path / "a.cif"))
        assert (again.chain, again.numbers) == (chain.chain, chain.numbers) and not fits_pdb(again)
    with pytest.raises(OptionError, match="residue 'one': its number is no number"):
        Backbone(EXAMPLE.coords[:1], numbers=("one",)).to_pdb(tmp_path / "a.pdb")
    assert not (tmp_path / "a.pdb").exists()


def test_mmcif_with_models_alternatives_and_names_of_its_own(tmp_path):
    rows = []
    for model in (1, 2):
        for i, atoms in enumerate(EXAMPLE.coords + 20 * (model - 1)):
            residue = gemmi.expand_one_letter(SEQUENCE[i], gemmi.ResidueKind.AA)
            for atom, place in zip(("N", "CA", "C", "O"), atoms, strict=True):
                # of residue 3, B is there most
                for alt, occ, off in (("A", 0.3, 0.0), ("B", 0.7, 0.3)) if i == 2 else ((".", 1.0, 0.0),):
                    xyz = " ".join(f"{value:.3f}" for value in place + off)
                    rows.append(f"ATOM {len(rows) + 1} {atom[0]} {atom} {alt} {residue} Q 1 {i + 1} ? {xyz} "
                                f"{occ} 0 {90 + i} H {model}")  # fmt: skip
    names = (
        "group_PDB id type_symbol label_atom_id label_alt_id label_comp_id label_asym_id label_entity_id "
        "label_seq_id pdbx_PDB_ins_code Cartn_x Cartn_y Cartn_z occupancy B_iso_or_equiv auth_seq_id "
        "auth_asym_id pdbx_PDB_model_num"
    )
    head = ["data_x", "loop_", *(f"_atom_site.{name}" for name in names.split())]
    text = "\n".join([*head, *rows, ""])
    (tmp_path / "b.cif.gz").write_bytes(gzip.compress(text.replace("\n", "\r\n").encode()))
    found = read(tmp_path / "b.cif.gz")
    (one,) = found.items
    assert found.notes == ("b.cif.gz: 2 models; the first is read",)
    assert (one.sequence, one.chain, one.numbers) == (SEQUENCE, "H", tuple(map(str, range(90, 102))))
    expected = EXAMPLE.coords + 0.3 * (np.arange(12) == 2)[:, None, None]
    assert one.coords == pytest.approx(expected, abs=6e-4)
    for cut in (len(text) // 3, len(text) - 40):
        (tmp_path / "c.cif").write_text(text[:cut])
        try:
            assert sum(map(len, read(tmp_path / "c.cif").items)) <= 12
        except DataError as error:
            assert "c.cif" in str(error)
    (tmp_path / "d.cif").write_text("data_x\nloop_\n_atom_site.id\n1\n")
    with pytest.raises(DataError, match=r"d\.cif"):
        read(tmp_path / "d.cif")


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"coords": np.zeros((3, 3, 3))}, r"coords are \(3, 3, 3\); \(residues, 4, 3\)"),
        ({"coords": np.full((3, 4, 3), np.nan)}, "not all finite"),
        ({"coords": [["a"]]}, "no coordinates"),
        ({"coords": np.zeros((3, 4, 3)), "sequence": "AC"}, "3 residues, but a sequence of 2 and 3 numbers"),
        ({"coords": np.zeros((3, 4, 3)), "kept": np.ones(2, bool)}, r"3 residues, but kept is \(2,\)"),
    ],
)
def test_backbones_that_make_no_sense(fields, told):
    with pytest.raises(DataError, match=told):
        Backbone(**fields)


def packed(path, chains, **more):
    coords = np.concatenate([one.coords for one in chains])
    offsets = np.cumsum([0, *map(len, chains)])
    np.savez(path, **{"coords": coords, "offsets": offsets} | more)
    return path


def test_packed_sets(tmp_path):
    whole, broken = EXAMPLE, replace(EXAMPLE, coords=EXAMPLE.coords + 9 * (np.arange(12) > 5)[:, None, None])
    path = packed(
        tmp_path / "a.npz", [whole, broken], ids=np.array(["x", "y"]), seqs=np.array([SEQUENCE] * 2)
    )
    found = read(path)
    assert [(one.name, one.sequence) for one in found.items] == [("x", SEQUENCE)]
    assert found.notes[0].startswith("a.npz: y is broken behind residue 6: ")
    two = [whole, whole.part(2, 9)]
    bare = packed(tmp_path / "b.npz", two, coords=np.concatenate([one.coords[:, :3] for one in two]))
    for one, chain in zip(read(bare).items, two, strict=True):
        assert one.coords[:-1] == pytest.approx(chain.coords[:-1], abs=1e-3)
        assert one.coords[-1, 3] == pytest.approx(geometry.oxygens(one.coords[:, :3])[-1], abs=1e-5)


def test_of_a_packed_set_what_is_broken_is_left_out_and_told(tmp_path):
    close, lost, huge = (EXAMPLE.coords.copy() for _ in range(3))
    close[6:] += close[5, 2] - close[6, 0] + 0.1
    lost[3] = np.nan
    coords = np.concatenate([EXAMPLE.coords, close, lost, huge, EXAMPLE.coords]).astype(float)
    coords[40] = 1e300
    more = {"ids": np.arange(5), "seqs": np.array([SEQUENCE.encode()] * 4 + [b"AC"])}
    np.savez(tmp_path / "a.npz", coords=coords, offsets=np.arange(0, 61, 12), **more)
    found = read(tmp_path / "a.npz")
    assert [(one.name, one.sequence) for one in found.items] == [("0", SEQUENCE)]
    assert [note.removesuffix(": left out") for note in found.notes] == [
        "a.npz: 1 is broken behind residue 6: 0.2 Å",
        "a.npz: 2 has fewer than two residues, or coordinates that are not finite",
        "a.npz: 3 has fewer than two residues, or coordinates that are not finite",
        "a.npz: 4 has 12 residues, but a sequence of 2",
    ]


def test_one_bad_file_does_not_spoil_a_folder(tmp_path):
    written(tmp_path / "whole.pdb", lines_of())
    packed(tmp_path / "a.npz", [EXAMPLE], coords=EXAMPLE.coords.astype(str))
    packed(tmp_path / "b.npz", [EXAMPLE], ids=np.array("x"))
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as file:
        file.writestr("coords", b"no array")
        file.writestr("offsets", b"nor this")
    (tmp_path / "d.pdb.gz").write_bytes(b"\x1f\x8b no")
    (tmp_path / "e.cif").write_bytes(bytes(range(256)))
    found = read(tmp_path)
    assert [one.name for one in found.items] == ["whole.pdb, chain A"]
    assert [note[:5] for note in found.notes] == ["a.npz", "b.npz", "c.npz", "d.pdb", "e.cif"]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"offsets": np.array([0, 5])}, "offsets must rise from 0 to the number of rows, 12"),
        ({"offsets": np.array([0.0, 12.0])}, "offsets must rise"),
        ({"offsets": np.array([0, 20, 12])}, "offsets must rise"),
        ({"ids": np.array(["a", "b"])}, r"ids are <U1 of shape \(2,\); 1 texts are wanted"),
        ({"ids": np.array("a")}, r"a.npz: ids are <U1 of shape \(\)"),
        ({"seqs": np.array([1.5])}, "a.npz: seqs are float64"),
        ({"offsets": np.array(12)}, "offsets must rise"),
        ({"coords": EXAMPLE.coords.astype(str)}, r"a.npz: coords are <U32 .*; real numbers are wanted"),
        ({"coords": EXAMPLE.coords.astype(complex)}, "a.npz: coords are complex128"),
        ({"coords": np.array(1.0)}, "a.npz: coords are float64"),
        ({"coords": EXAMPLE.coords / 10}, "N and CA are 0.145 apart, not 1.46: .* are wanted, in Å, not nm"),
        ({"coords": EXAMPLE.coords[:, [0, 2, 1, 3]]}, "N and CA are 2.44 apart, .* N, CA, C"),
        ({"coords": np.zeros((12, 5, 3))}, r"\(residues, 3 or 4, 3\) is wanted"),
        ({"seqs": np.array([{}], object)}, "cannot be read"),  # would be unpickled
    ],
)
def test_packed_sets_that_make_no_sense(tmp_path, more, told):
    with pytest.raises(DataError, match=told):
        read(packed(tmp_path / "a.npz", [EXAMPLE], **more))


def test_npz_files_that_are_none(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"PK\x03\x04 not really")
    np.savez(tmp_path / "b.npz", other=np.zeros(3))
    for name, told in (("a", "cannot be read"), ("b", "coords and offsets are wanted; there are other")):
        with pytest.raises(DataError, match=told):
            read(tmp_path / f"{name}.npz")


def only_cloud(path):
    (one,) = read(path, clouds=True).items
    return one


def ply(points, order="ascii", kind="float"):
    names = "".join(f"property {kind} {axis}\n" for axis in ("x", "y", "nx", "z"))
    head = f"ply\nformat {order} 1.0\ncomment end\nelement vertex {len(points)}\n{names}"
    head += "element face 0\nproperty list uchar int vertex_indices\nend_header\n"
    rows = np.insert(points, 2, 7.0, axis=1)
    if order == "ascii":
        return head.encode() + "".join(" ".join(map(str, row)) + "\n" for row in rows).encode()
    return (
        head.encode()
        + rows.astype((">" if "big" in order else "<") + {"float": "f4", "double": "f8"}[kind]).tobytes()
    )


def test_clouds_of_every_kind(tmp_path):
    points = np.random.default_rng(0).normal(size=(20, 3)).round(3)
    plain = "\n".join(" ".join(map(str, row)) for row in points)
    (tmp_path / "plain.xyz").write_text(plain.replace(" ", ", ") + "\n\n")
    (tmp_path / "xmol.xyz").write_text(f"20\nwater\nO {plain.replace(chr(10), chr(10) + 'O ')}\n")
    (tmp_path / "text.ply").write_bytes(ply(points))
    (tmp_path / "little.ply").write_bytes(ply(points, "binary_little_endian"))
    (tmp_path / "big.ply").write_bytes(ply(points, "binary_big_endian", "double"))
    np.savez(tmp_path / "one.npz", points=points)
    Cloud(points).to_xyz(tmp_path / "ours.xyz")
    found = read(tmp_path, clouds=True)
    assert len(found) == 7 and found.notes == ()
    for one in found.items:
        assert np.asarray(one) == pytest.approx(points, abs=1e-6), one.name
    (tmp_path / "two.xyz").write_text("# frames\n1\n\nC 1 2 3\n\n2\nc\nC 0 0 0\nC 1 1 1\n")
    assert [len(one) for one in read(tmp_path / "two.xyz", clouds=True).items] == [1, 2]
    (tmp_path / "told.xyz").write_text("\ufeff# x y z\n1 2 3\n\n# more\n4 5 6 0.5\n")
    assert np.asarray(only_cloud(tmp_path / "told.xyz")).tolist() == [[1, 2, 3], [4, 5, 6]]
    np.savez(tmp_path / "odd.npz", points=points + 1j)
    with pytest.raises(DataError, match=r"odd.npz: points are complex128 of shape \(20, 3\)"):
        read(tmp_path / "odd.npz", clouds=True)
    np.savez(tmp_path / "set.npz", points=points, offsets=[0, 5, 20])
    assert [len(one) for one in read(tmp_path / "set.npz", clouds=True).items] == [5, 15]
    np.savez(tmp_path / "even.npz", points=points.reshape(4, 5, 3))
    assert [len(one) for one in read(tmp_path / "even.npz", clouds=True).items] == [5] * 4


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.xyz", b"", "it is empty"),
        ("a.xyz", b"5\nc\nO 1 2 3\n", "line 1 promises 5 points, but 1 follow"),
        ("a.xyz", b"# a comment\n1 2 3\n1 x 3\n", "line 3: x, y and z are wanted, not '1 x 3'"),
        ("a.xyz", b"1 2\n3 4\n", "line 1: x, y and z are wanted, not '1 2'"),
        ("a.xyz", b"O 1 2 3\n", "line 1: x, y and z are wanted, not 'O 1 2 3'"),
        ("a.xyz", b"1\nc\nO 1 2\n", "line 3: an element, x, y and z are wanted, not 'O 1 2'"),
        ("a.xyz", b"1\nc\nO 1 2 3\nO 1 2 3\n", "line 4: how many points follow is wanted, not 'O 1 2 3'"),
        ("a.xyz", b"1\n", "line 1 promises 1 points, but 0 follow"),
        ("a.xyz", b"1 2 nan\n", "not all finite"),
        ("a.ply", b"hello", "no header of ply"),
        ("a.ply", ply(np.ones((4, 3)), "binary_little_endian")[:-3], "cannot be read as ply"),
        ("a.ply", ply(np.ones((4, 3)))[:-20], "cannot be read as ply|points are"),
        (
            "a.ply",
            b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n",
            "must have x, y and z",
        ),
        ("a.ply", b"ply\nformat odd 1.0\nend_header\n", "cannot be read as ply"),
        ("a.npz", b"no", "cannot be read"),
        ("a.txt", b"1 2 3", "does not say what it is"),
    ],
)
def test_clouds_that_make_no_sense(tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=told):
        read(tmp_path / name, clouds=True)


def test_alike_sequences_stay_together():
    rng = np.random.default_rng(0)
    letters = np.array(list("ACDEFGHIKLMNPQRSTVWY"))
    one, other = ("".join(rng.choice(letters, 80)) for _ in range(2))
    near = one[:40] + "".join(rng.choice(letters, 40))

    def chain(sequence, seed):
        return Backbone(np.random.default_rng(seed).normal(size=(len(sequence), 4, 3)), sequence)

    items = [chain(one, 0), chain(near, 1), chain(other, 2), chain(one[10:70], 3)]
    names = clusters(items)
    assert names[0] == names[1] == names[3] != names[2]
    assert clusters(items[::-1]) == names[::-1]
    # without a sequence, copies alone are alike, however often they are read
    bare = [Backbone(one.coords) for one in (items[0], items[2], items[0])]
    names = clusters(bare)
    assert names[0] == names[2] != names[1] and clusters([Backbone(items[0].coords)]) == names[:1]


def test_pieces_are_compact_unbroken_and_in_place():
    helices, strands = (domain.example().items[i] for i in (8, 9))
    found = list(pieces(helices, 10, 26))
    assert found and {len(piece) for _, piece in found} == {10}  # a helix of 26 residues is a rod
    for first, piece in found:
        assert np.array_equal(piece.coords, helices.coords[first : first + 10])
        assert size(piece) <= 1
    assert not list(pieces(strands, 10, 26))  # a strand is longer than any fold of as many residues


def test_long_chains_are_trained_on_in_pieces_unless_they_are_like_those_held_out():
    rng, letters = np.random.default_rng(0), list("ACDEFGHIKLMNPQRSTVWY")
    recipe = replace(FLOW, shortest=10, longest=42)
    chains = [
        replace(one, sequence="".join(rng.choice(letters, len(one))), name=str(i))
        for i, one in enumerate(domain.example().items)
    ]
    long = [i for i, one in enumerate(chains) if len(one) > recipe.longest]
    like, *helices = (i for i in long if i % 2 == 0)
    short = Chains(tuple(one for i, one in enumerate(chains) if i not in long))
    (held,) = side(short, "validation").items
    sequence = held.sequence + "W" * (len(chains[like]) - len(held))
    chains[like] = replace(chains[like], sequence=sequence, name="like the one held out")
    adapter = domain.adapter(recipe, domain.dataset(Chains(tuple(chains)), "train", recipe))
    items = domain.dataset(Chains(tuple(chains)), "train", recipe, adapter)
    cut = items.items[len(items.chains) :]
    assert {one.name for one in cut} == {str(i) for i in helices}
    assert {len(one) for one in cut} == {10}  # of these hairpins no more is compact
    assert len(domain.dataset(Chains(tuple(chains)), "validation", recipe, adapter)) == 1
    none = domain.dataset(Chains(tuple(chains)), "train", replace(recipe, pieces=0.0), adapter)
    assert len(none) == len(items.chains)


def test_no_cluster_is_on_both_sides_of_the_split():
    chains = domain.example()
    sides = [side(chains, split).items for split in ("train", "validation")]
    assert len(sides[0]) == 18 and len(sides[1]) == 2
    again = side(domain.example(), "validation").items
    assert all(np.array_equal(a.coords, b.coords) for a, b in zip(sides[1], again, strict=True))
    with pytest.raises(DataError, match="all chains are alike"):
        side(Chains((EXAMPLE, EXAMPLE)), "train")


@real
def test_the_known_chains_have_nothing_like_those_for_tests(monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(DATA.parent))
    chains = known(40, 128)
    assert 1500 < len(chains) < 2050 and all(40 <= len(one) <= 128 for one in chains.items)
    assert all(a is b for a, b in zip(known(40, 128).items, chains.items, strict=True))  # read once
    tests = {id(one) for one in known(40, 128, tests=True).items}
    assert len(tests) > 150 and not tests & {id(one) for one in chains.items}
    assert [one.licence for one in chains.sources] == ["MIT", "various (PDB: CC0-1.0)"]
    everything = read(DATA / "pdb_chains" / "pdb_chains_backbone.npz").items
    with np.load(DATA / "pdb_chains" / "pdb_chains_backbone.npz") as file:
        test = [one for one, source in zip(everything, file["source"], strict=True) if source == "ts50"]
    named = clusters([*chains.items, *test])
    assert not set(named[: len(chains)]) & set(named[len(chains) :])


def test_known_chains_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"cgdms_backbone.npz: no such file"):
        known(40, 128)


FAITHFUL = ("shifted", "doubled lines", "blank", "CRLF", "CR")  # these tell of the same chain
CARELESS = ("truncated", "renumbered", "bytes")


def mutated(text: str, kind: str, seed: int) -> bytes:
    """A structure as careless hands leave it."""
    rng = random.Random(seed)
    lines = text.splitlines()
    if kind == "truncated":
        return text[: rng.randrange(len(text))].encode()
    if kind in ("renumbered", "shifted"):
        shift = rng.choice([-700, 5000])
        return "\n".join(
            f"{one[:22]}{int(one[22:26]) + shift if kind == 'shifted' else rng.randrange(999):4}{one[26:]}"
            if one.startswith("ATOM")
            else one
            for one in lines
        ).encode()
    if kind == "doubled lines":
        return "\n".join(one for one in lines for _ in range(rng.choice([1, 1, 2]))).encode()
    if kind == "blank":
        return "\n".join(one[:21] + " " + one[22:] for one in lines).encode()
    if kind in ("CRLF", "CR"):
        return {"CRLF": "\r\n", "CR": "\r"}[kind].join(lines).encode()
    data = bytearray(text.encode())
    for _ in range(200):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


@real
def test_real_files_and_careless_copies_of_them_are_read_or_refused(tmp_path):
    with zipfile.ZipFile(DATA / "ts50" / "ts50_pdb.zip") as file:
        texts = [file.read(name).decode() for name in sorted(file.namelist()) if name.endswith(".pdb")]
    assert len(texts) == 50
    path = tmp_path / "copy.pdb"
    for i, text in enumerate(texts):
        path.write_text(text)
        original = read(path).items
        assert sum(map(len, original)) > 30
        path.write_bytes(mutated(text, kind := FAITHFUL[i % len(FAITHFUL)], i))
        copy = read(path).items
        assert [one.sequence for one in copy] == [one.sequence for one in original], (i, kind)
        assert all(np.array_equal(a.coords, b.coords) for a, b in zip(copy, original, strict=True)), (i, kind)
        for kind in CARELESS:
            path.write_bytes(mutated(text, kind, i))
            try:
                assert all(len(one) > 1 for one in read(path).items)
            except DataError as error:
                assert "copy.pdb" in str(error)
