"""Angles, superposition, rebuilding, measures: against closed forms."""

import math
import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from domains.proteins import domain, rebuild
from domains.proteins import geometry as g
from domains.proteins.chain import Backbone
from domains.proteins.data import read
from domains.proteins.dataset import rotations
from domains.proteins.evaluation import baselines, metrics, reference, similarity
from domains.proteins.evaluation.table import folds, histograms, mean, measured, table
from domains.proteins.losses import BONDS, bond_loss, clash_loss, distogram_loss, smooth_lddt
from zoo.errors import DataError

DATA = Path(os.environ.get("ZOO_DATA", Path(__file__).parents[3] / "shared" / "data")) / "proteins"
real = pytest.mark.skipif(
    not DATA.is_dir(), reason="no real data: set ZOO_DATA to the folder that holds proteins/"
)


@cache
def example():
    return domain.example()


def chain_of(phi: float, psi: float, count: int = 24) -> Backbone:
    """The chain of ideal bonds with these φ and ψ (degrees) everywhere, ω = 180°."""
    phi, psi = math.radians(phi), math.radians(psi)
    atoms = [np.zeros(3), np.array([g.N_CA, 0, 0])]
    bend = g.N_CA_C
    atoms.append(atoms[1] + g.CA_C * np.array([-math.cos(bend), math.sin(bend), 0]))
    for _ in range(count - 1):
        for length, angle, turn in (
            (g.C_N, g.CA_C_N, psi), (g.N_CA, g.C_N_CA, math.pi), (g.CA_C, g.N_CA_C, phi)
        ):  # fmt: skip
            atoms.append(g.placed(*atoms[-3:], length, angle, turn))
    bare = np.reshape(atoms, (count, 3, 3))
    return Backbone(np.concatenate([bare, g.oxygens(bare)[:, None]], 1))


@pytest.fixture(scope="module")
def helix():
    return chain_of(-57.8, -47.0)


def turned(points: np.ndarray, seed: int = 0) -> np.ndarray:
    rotation = rotations(1, torch.Generator().manual_seed(seed))[0].double().numpy()
    return points @ rotation.T + np.array([3.0, -40.0, 7.0])


def mirrored(chain: Backbone) -> Backbone:
    return Backbone(chain.coords * [1, 1, -1])


def test_torsions_are_those_that_a_chain_was_built_with(helix):
    phi, psi, omega = np.degrees(helix.torsions).T
    assert phi[1:] == pytest.approx(-57.8, abs=1e-2) and np.isnan(phi[0])
    assert psi[:-1] == pytest.approx(-47.0, abs=1e-2) and np.isnan(psi[-1])
    assert np.abs(omega[:-1]) == pytest.approx(180, abs=1e-2) and np.isnan(omega[-1])
    assert np.degrees(mirrored(helix).torsions[1:, 0]) == pytest.approx(57.8, abs=1e-2)


def test_an_ideal_helix_rises_as_paulings(helix):
    """Pauling, Corey & Branson 1951: 3.6 residues a turn, 1.5 Å each, right-handed."""
    ca = helix.ca.astype(float)
    second = ca[:-2] - 2 * ca[1:-1] + ca[2:]  # points at the axis
    inward = second / np.linalg.norm(second, axis=1, keepdims=True)
    axis = np.cross(inward[:-1], inward[1:]).sum(0)
    axis /= np.linalg.norm(axis)
    rise = (np.diff(ca, axis=0) @ axis).mean()
    turn = np.degrees(np.arccos((inward[:-1] * inward[1:]).sum(1))).mean()
    assert rise == pytest.approx(1.5, abs=0.1)  # positive along the axis that it turns about: right-handed
    assert 360 / turn == pytest.approx(3.6, abs=0.15)


def test_secondary_structure_of_ideal_chains(helix):
    pytest.importorskip("pydssp", reason="needs the extra proteins")
    assert helix.secondary[1:-1] == "H" * 22
    assert set(chain_of(-120, 140).secondary) == {"C"}  # a strand alone pairs with none
    for count in range(1, 9):
        assert len(chain_of(-57.8, -47.0, count).secondary) == count


@real
def test_secondary_structure_of_real_chains():
    """The notes' shares: helix .34, strand .27."""
    pytest.importorskip("pydssp", reason="needs the extra proteins")
    chains = read(DATA / "pdb_chains" / "pdb_chains_backbone.npz", 40, 128).items[::10]
    shares = np.mean([[one.secondary.count(letter) / len(one) for letter in "HE"] for one in chains], 0)
    assert shares == pytest.approx([0.25, 0.3], abs=0.12)
    right, left = np.sum([metrics.handed(one) for one in chains], 0)
    assert right > 100 * left


def test_handedness_tells_a_helix_from_its_image(helix):
    assert metrics.handed(helix) == (21, 0)
    assert metrics.handed(mirrored(helix)) == (0, 21)
    assert metrics.handed(chain_of(-120, 140)) == (0, 0)
    assert metrics.handed(helix.part(0, 3)) == (0, 0)


def test_placed_atoms_have_the_length_angle_and_dihedral_asked_for():
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 50, 3))
    turn = rng.uniform(-np.pi, np.pi, 50)
    d = g.placed(a, b, c, 1.4, 1.9, turn)
    assert np.linalg.norm(d - c, axis=1) == pytest.approx(1.4)
    assert g.angle(b, c, d) == pytest.approx(1.9)
    assert g.dihedral(a, b, c, d) == pytest.approx(turn)


@pytest.mark.parametrize("flat", [False, True])
def test_superposition_undoes_a_motion_and_never_mirrors(flat):
    x = np.random.default_rng(0).normal(size=(12, 3)) * [1, 1, 0 if flat else 1]
    rotation, shift = g.superposed(x, turned(x))
    assert np.linalg.det(rotation) == pytest.approx(1)
    assert x @ rotation.T + shift == pytest.approx(turned(x), abs=1e-5)
    assert g.rmsd(x, turned(x)) == pytest.approx(0, abs=1e-5)
    image = x * [1, 1, -1]
    assert (g.rmsd(x, image) < 1e-5) == flat


def test_rmsd_of_a_known_distortion():
    x = np.array([[1.0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0]])
    assert g.rmsd(x, x * 1.5) == pytest.approx(math.sqrt((2 * 0.5**2 + 2 * 1.0**2) / 4))


def test_random_rotations_are_proper_and_even():
    turns = rotations(4000, torch.Generator().manual_seed(0)).double()
    assert torch.allclose(turns @ turns.mT, torch.eye(3).double().expand(4000, 3, 3), atol=1e-5)
    assert torch.linalg.det(turns).min() > 0.999
    assert turns.mean(0).abs().max() < 0.03
    assert (turns**2).mean(0) == pytest.approx(np.full((3, 3), 1 / 3), abs=0.02)


@pytest.mark.parametrize(("phi", "psi"), [(-57.8, -47.0), (-120.0, 140.0), (-75.0, 145.0)])
def test_rebuilding_from_ca_finds_the_chain_again(phi, psi):
    chain = chain_of(phi, psi)
    ca = turned(chain.ca.astype(float))
    found = Backbone(rebuild.backbone(ca))
    inner = slice(1, -1)
    away = np.linalg.norm(found.coords - turned(chain.coords.astype(float)), axis=2)[inner]
    assert np.sqrt((away**2).mean(0)) == pytest.approx([0, 0, 0, 0], abs=0.35)
    angles = np.degrees(found.torsions[2:-2, :2])
    assert np.abs(angles - [phi, psi]).max() < 15
    assert worst(found) < 3


def worst(chain: Backbone) -> float:
    """The root mean square of what angles are off, degrees, of the kind where they are most."""
    ideal = {"N-CA-C, °": g.N_CA_C, "CA-C-N, °": g.CA_C_N, "C-N-CA, °": g.C_N_CA, "CA-C-O, °": g.CA_C_O}
    found = metrics.lengths_angles(chain)
    return max(np.sqrt(np.square(found[name] - math.degrees(to)).mean()) for name, to in ideal.items())


def test_rebuilding_of_short_straight_and_turned_traces():
    for count in (2, 3, 4):
        line = np.arange(count)[:, None] * np.array([[g.CA_CA, 0.0, 0.0]])
        found = rebuild.backbone(line)
        assert np.isfinite(found).all() and np.array_equal(found[:, 1], line)
    ca = example().items[0].ca.astype(float)
    one, other = rebuild.backbone(ca), rebuild.backbone(turned(ca))
    assert np.abs(turned(one) - other).max() < 0.05


@real
def test_rebuilding_of_real_chains():
    chains = read(DATA / "pdb_chains" / "pdb_chains_backbone.npz", 40, 128).items[:40:4]
    away = [
        np.sqrt(np.square(rebuild.backbone(one.ca.astype(float)) - one.coords).sum(2).mean(0))
        for one in chains
    ]
    n, ca, c, o = np.median(away, 0)
    assert ca == 0 and n < 0.3 and c < 0.3 and o < 0.8


def test_bonds_are_put_right_and_clashes_pushed_apart():
    rng = np.random.default_rng(0)
    ca = example().items[0].ca + rng.normal(0, 0.5, (42, 3))
    ca[20] = ca[16] + 0.1  # one turn of the helix on top of the next
    found = g.bonded(ca)
    length = np.linalg.norm(np.diff(found, axis=0), axis=1)
    assert length == pytest.approx(np.where(g.cis(found), g.CIS_CA_CA, g.CA_CA), abs=0.02)
    distance = np.linalg.norm(found[:, None] - found[None], axis=2)
    assert distance[np.triu_indices(len(ca), 3)].min() > 3.59
    assert g.rmsd(found, ca) < 2
    right = example().items[0].ca.astype(float)
    assert np.abs(g.bonded(right) - right).max() < 0.02  # what is right already is left alone


def test_what_cannot_be_put_right_is_told(recwarn):
    ca = example().items[0].ca + np.random.default_rng(0).normal(0, 1.0, (42, 3))
    g.bonded(ca)
    assert not recwarn.list  # what a model draws is put right
    ends = np.zeros((5, 3))
    ends[4, 0] = 20.0  # four bonds reach 15.2 Å
    with pytest.warns(UserWarning, match=r"up to [1-4]\.\d\d Å off, and 0 pairs nearer than 3.6 Å") as told:
        found = g.bonded(ends, np.array([True, False, False, False, True]))
    assert len(told) == 1 and np.array_equal(found[[0, 4]], ends[[0, 4]])
    with pytest.warns(UserWarning, match=r"up to 3\.80 Å off, and 3 pairs nearer"):
        g.bonded(np.zeros((5, 3)))  # points in one place know no direction


def test_cis_peptides_are_known_by_their_length():
    ca = example().items[0].ca.astype(float)
    away = ca[21] - ca[20]
    ca[21:] -= away * (1 - 2.9 / np.linalg.norm(away))
    found = Backbone(rebuild.backbone(g.bonded(ca)))
    assert np.flatnonzero(g.cis(found.ca)).tolist() == [20]
    omega = np.degrees(found.torsions[:-1, 2])
    assert abs(omega[20]) < 1 and np.abs(np.delete(omega, 20)).min() > 179
    assert worst(found) < 15
    ca[22:] += 1.0  # the bond behind is wrong: so is this one
    assert not g.cis(g.bonded(ca)).any()


@real
def test_cis_peptides_of_real_chains_are_rebuilt():
    chains = read(DATA / "pdb_chains" / "pdb_chains_backbone.npz", 40, 128).items
    few = [one for one in chains if (np.abs(np.degrees(one.torsions[:-1, 2])) < 30).any()][:5]
    for one in few:
        omega = np.abs(np.degrees(one.torsions[:-1, 2]))
        found = np.abs(np.degrees(g.torsions(rebuild.backbone(one.ca.astype(float)))[:-1, 2]))
        assert ((found < 90) == g.cis(one.ca)).all()
        assert ((found < 90) == (omega < 90)).mean() > 0.98


def test_what_is_fixed_does_not_move_and_ties_hold():
    rng = np.random.default_rng(0)
    chain = example().items[1]
    coords, kept = chain.coords.astype(float), np.zeros(len(chain), bool)
    kept[10:20] = kept[30:36] = True
    ca = coords[:, 1] + rng.normal(0, 0.6, (len(chain), 3)) * ~kept[:, None]
    found = g.bonded(ca, kept, rebuild.ties(coords, kept))
    assert np.array_equal(found[kept], coords[kept, 1])
    whole = Backbone(np.where(kept[:, None, None], coords, rebuild.backbone(found, coords, kept)))
    joints = [9, 19, 29, 35]
    assert np.linalg.norm(whole.coords[:-1, 2] - whole.coords[1:, 0], axis=1)[joints] == pytest.approx(
        g.C_N, abs=0.1
    )
    assert np.abs(np.degrees(whole.torsions[joints, 2])).min() > 160


def test_oxygens_lie_in_the_plane_of_their_peptide(helix):
    n, ca, c, o = np.moveaxis(helix.coords.astype(float), 1, 0)
    assert np.linalg.norm(o - c, axis=1) == pytest.approx(g.C_O, abs=1e-4)
    assert np.abs(np.degrees(g.dihedral(o[:-1], c[:-1], n[1:], ca[1:]))) == pytest.approx(0, abs=0.1)


def test_measures_of_ideal_chains(helix):
    assert (
        metrics.bonds(helix.ca, 0.1) == 1 and metrics.clashes(helix.ca) == 0 and metrics.contacts(helix) == 0
    )
    assert metrics.left(helix) == 0 and metrics.left(mirrored(helix)) == 1
    # a rod: 1.5 Å a residue about an axis 2.3 Å away
    rod = math.sqrt((24**2 - 1) / 12 * 1.5**2 + 2.3**2)
    assert metrics.size(helix) * 3.12 * 24**0.325 == pytest.approx(rod, rel=0.04)
    stretched = Backbone(helix.coords * 1.1)  # 4.2 Å
    collapsed = Backbone(helix.coords * 0.9)
    assert metrics.bonds(stretched.ca, 0.2) == metrics.bonds(collapsed.ca, 0.2) == 0
    ball = Backbone(np.zeros((20, 4, 3)))
    assert metrics.clashes(ball.ca) == pytest.approx(100 * (17 * 18 / 2) / 20)
    assert metrics.contacts(ball) == pytest.approx((8 * 9 / 2) / 20)


def test_measures_do_not_depend_on_where_a_chain_lies():
    chain = example().items[1]
    moved = Backbone(turned(chain.coords.astype(float)))
    pytest.importorskip("pydssp", reason="needs the extra proteins")
    assert metrics.of(moved) == pytest.approx(metrics.of(chain), abs=1e-3)
    for name, values in metrics.lengths_angles(moved).items():
        assert values == pytest.approx(metrics.lengths_angles(chain)[name], abs=1e-2)


def test_ideal_chains_have_ideal_bonds_and_angles(helix):
    wanted = {
        "N-CA, Å": g.N_CA, "CA-C, Å": g.CA_C, "C-O, Å": g.C_O, "C-N, Å": g.C_N,
        "N-CA-C, °": math.degrees(g.N_CA_C), "CA-C-N, °": math.degrees(g.CA_C_N),
        "C-N-CA, °": math.degrees(g.C_N_CA), "CA-C-O, °": math.degrees(g.CA_C_O),
    }  # fmt: skip
    found = metrics.lengths_angles(helix)
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, abs=1e-3 if "Å" in name else 0.05)


@pytest.mark.parametrize(
    ("helix", "strand", "kind"),
    [(5, 0, "all-α"), (5, 1, "all-α"), (1, 5, "all-β"), (0, 2, "all-β"), (2, 2, "α and β"), (1, 1, None)],
)
def test_classes_by_shares_of_helix_and_strand(monkeypatch, helix, strand, kind):
    letters = "H" * helix + "E" * strand + "C" * (10 - helix - strand)
    monkeypatch.setattr("domains.proteins.evaluation.secondary.assigned", lambda coords: letters)
    found = metrics.of(chain_of(-57.8, -47.0, 10))
    assert {name for name in ("all-α", "all-β", "α and β") if found[name]} == ({kind} if kind else set())
    assert (found["helix"], found["strand"]) == (helix / 10, strand / 10)


def test_all_bonds_count_from_both_sides():
    lengths = [3.8, 3.85, 3.65, 3.95, 3.5, 2.95]
    ca = np.cumsum([0.0, *lengths])[:, None] * np.array([1.0, 0, 0])
    chain = Backbone(np.repeat(ca[:, None], 4, 1))
    assert metrics.bonds(chain.ca, 0.1) == pytest.approx(2 / 6)
    assert metrics.bonds(chain.ca, 0.2) == pytest.approx(4 / 6)
    assert g.cis(chain.ca).tolist() == [False] * 5 + [True]


def test_secondary_structure_met_is_of_what_was_asked_for(helix):
    pytest.importorskip("pydssp", reason="needs the extra proteins")
    assert metrics.met("-" * 24, helix) != metrics.met("-" * 24, helix)  # NaN
    assert metrics.met("-" * 4 + "HHHE" + "C" * 16, helix) == 0.75
    cell = mean([0.5, 1.0, math.nan])
    assert cell.value == 0.75 and cell.interval == "0.5 to 1"


def test_the_divergence_of_a_kind_from_itself_is_none_and_from_another_all(helix):
    strand = chain_of(-120, 140)
    for kind in ("theta-tau", "phi-psi"):
        a, b = (metrics.histogram([one], kind)[0] for one in (helix, strand))
        assert a.sum() == (21 if kind == "theta-tau" else 22)
        assert metrics.divergence(a, a) == 0
        assert metrics.divergence(a, b) == pytest.approx(1)
        assert metrics.divergence(a, a + b) == pytest.approx(0.3113, abs=1e-3)  # 1 − (3/4) log2 3 + 1/2


def test_trivial_chains_have_the_angles_of_real_ones():
    chains, rng = example().items, np.random.default_rng(0)
    for make in (baselines.shuffled, baselines.independent):
        made = make(chains, [50, 20, 5], rng)
        assert [len(one) for one in made] == [50, 20, 5]
        assert all(metrics.bonds(one.ca, 0.1) == 1 for one in made)
    known = np.concatenate([metrics.trace(one) for one in chains])
    own = metrics.trace(baselines.independent(chains, [60], rng)[0])
    nearest = np.abs(own[:, None] - known[None]).max(2).min(1)
    assert nearest.max() < 1e-3
    with pytest.raises(DataError, match="the 12 residues of a fragment"):
        baselines.shuffled([chains[0].part(0, 8)], [20], rng)


def test_grown_chains_have_the_angles_asked_for():
    rng = np.random.default_rng(1)
    angles = np.stack([rng.uniform(1.5, 2.2, 30), rng.uniform(-3, 3, 30)], 1)
    assert metrics.trace(baselines.grown(angles)) == pytest.approx(angles, abs=1e-3)


def test_the_table_of_measures(helix):
    pytest.importorskip("pydssp", reason="needs the extra proteins")
    strand = chain_of(-120, 140)
    angles = histograms([helix])
    columns = {"a": measured([helix] * 4, angles), "b": measured([strand, helix], angles)}
    found = table(columns).set_index("measure")
    assert found.loc["helix", "a"] == pytest.approx(22 / 24)
    assert found.loc["helix", "b"] == pytest.approx(11 / 24)
    assert found.loc["all-α", "b"] == 0.5
    assert found.loc["right-handed turns", "a"] == 1
    assert found.loc["phi-psi divergence, bits", "a"] == 0
    assert found.loc["N-CA, Å, mean", "b"] == pytest.approx(g.N_CA, abs=1e-3)
    assert found.loc["N-CA, Å, spread", "b"] == pytest.approx(0, abs=1e-3)
    assert found.loc["helix", "a, interval"] == "0.917 to 0.917"
    assert found.loc["helix", "b, interval"] == "0 to 0.917"
    only = measured([strand] * 2, angles)["right-handed turns"]
    assert np.isnan(only.value) and only.interval == ""


def test_the_spread_of_a_bond_is_that_of_all_residues_together():
    rng = np.random.default_rng(0)
    chains = [Backbone(one.coords + rng.normal(0, 0.1, one.coords.shape)) for one in example().items[:3]]
    found = measured(chains, histograms(chains))
    pooled = np.concatenate([metrics.lengths_angles(one)["CA-C, Å"] for one in chains])
    assert found["CA-C, Å, mean"].value == pytest.approx(pooled.mean())
    assert found["CA-C, Å, spread"].value == pytest.approx(pooled.std())


@real
def test_what_ships_of_real_chains_is_what_their_data_say(monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(DATA.parent))
    train, tests = reference.own()
    shipped = reference.shipped()
    assert np.array_equal(reference.rarity(train), rebuild.rarity())
    for kind, counts in histograms(train).items():
        assert np.array_equal(counts, shipped.angles[kind])
    real = shipped.columns["real"]
    for measure in ("helix", "clashes / 100 residues"):
        own = np.mean([metrics.of(one)[measure] for one in tests])
        assert real[measure].value == pytest.approx(own)
    assert set(real) == set(shipped.columns["independent angles"]) - set(reference.MET)


def test_real_chains_of_the_reference_are_better_than_constructions():
    columns = reference.shipped().columns
    for measure in ("clashes / 100 residues", "phi-psi divergence, bits"):
        assert columns["real"][measure].value < columns["shuffled fragments"][measure].value / 2
    assert columns["shuffled fragments"]["radius of gyration, ratio"].value > 1.3
    assert columns["real"]["right-handed turns"].value > 0.99


def test_tm_scores_of_copies_turned_chains_and_strangers(helix):
    pytest.importorskip("tmtools", reason="needs the extra tm")
    a, b = example().items[:2]
    assert similarity.tm_score(a, a) == pytest.approx(1, abs=1e-3)
    assert similarity.tm_score(a, Backbone(turned(a.coords.astype(float)))) == pytest.approx(1, abs=1e-3)
    assert similarity.tm_score(a, a.part(5, 30)) > 0.9  # by the shorter
    assert similarity.tm_score(a, b) < 0.6
    assert similarity.diversity([a, a, b, b]) == 0.5 and similarity.diversity([a, b]) == 1
    assert similarity.nearest([a, b], [b]) == pytest.approx([similarity.tm_score(a, b), 1], abs=1e-3)
    assert folds([a, b], [b])["folds per chain"].value == 1


@pytest.mark.parametrize("atoms", [[1], [1, 0, 2, 3]], ids=["ca", "backbone"])
def test_losses_do_not_see_rotations_and_vanish_where_all_is_right(atoms):
    generator = torch.Generator().manual_seed(0)
    real = torch.from_numpy(np.stack([one.coords[:40, atoms] for one in example().items[:3]]))
    off = real + torch.randn(real.shape, generator=generator)
    turns = rotations(3, generator)
    moved = torch.einsum("bij,bnaj->bnai", turns, off) + 5
    present = torch.ones(3, 40, dtype=torch.bool)
    torch.testing.assert_close(
        smooth_lddt(moved, real, present), smooth_lddt(off, real, present), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(bond_loss(moved, present), bond_loss(off, present), atol=1e-4, rtol=0)
    assert bond_loss(real, present).max() < 1e-4
    best = 1 - sum(1 / (1 + math.exp(-limit)) for limit in (0.5, 1, 2, 4)) / 4
    assert smooth_lddt(real, real, present) == pytest.approx(np.full(3, best), abs=1e-3)
    assert (smooth_lddt(off, real, present) > best + 0.02).all()


@pytest.mark.parametrize("atoms", [1, 4])
def test_the_loss_of_bonds_is_the_mean_of_each_kind(atoms):
    found = torch.randn(2, 9, atoms, 3, generator=torch.Generator().manual_seed(0)) * 2
    present = torch.arange(9) < torch.tensor([[9], [6]])
    wanted = []
    for chain, count in zip(found, (9, 6), strict=True):
        kinds = []
        for a, b, step, length in BONDS if atoms > 1 else [(0, 0, 1, 3.8)]:
            off = [
                abs(float((chain[i + step, b] - chain[i, a]).norm()) - length) for i in range(count - step)
            ]
            kinds.append(np.mean([one**2 / 2 if one < 1 else one - 0.5 for one in off]))
        wanted.append(np.mean(kinds))
    assert bond_loss(found, present).numpy() == pytest.approx(np.array(wanted), rel=1e-4)


def test_strands_that_lie_on_top_of_each_other_cost():
    real = torch.from_numpy(np.stack([one.coords[:40, [1]] for one in example().items[:2]]))
    present = torch.ones(2, 40, dtype=torch.bool)
    assert clash_loss(real, present).max() < 0.02
    ca = torch.zeros(1, 6, 1, 3)
    ca[0, :, 0, 0] = torch.tensor([0.0, 3.8, 7.6, 7.6, 3.8, 0.5])  # there, and back on the same line
    found = clash_loss(ca, torch.ones(1, 6, dtype=torch.bool))
    assert found == pytest.approx(2 * (0.4 + 3.7 + 4.2 + 0.9) / 6)  # 0-4, 0-5, 1-4, 1-5, from both sides
    none = clash_loss(ca, torch.tensor([[True, True, True, False, False, False]]))
    assert none == 0


def test_the_distogram_loss_is_the_cross_entropy_of_bins():
    ca = torch.from_numpy(np.stack([one.ca[:40] for one in example().items[:3]]))
    present = torch.ones(3, 40, dtype=torch.bool)
    bins = torch.bucketize(torch.cdist(ca, ca), torch.linspace(2, 22, 31))
    sure = 50.0 * torch.nn.functional.one_hot(bins, 32)
    assert distogram_loss(sure, ca, present).max() < 1e-4
    even = distogram_loss(torch.zeros(3, 40, 40, 32), ca, present)
    assert even == pytest.approx(np.full(3, math.log(32)), abs=1e-4)


def test_hydrogen_bonds_that_are_lost_cost_more_than_where_nothing_binds():
    """Of a hairpin of strands: turned peptides leave all Cα where they are."""
    strands = torch.from_numpy(example().items[1].coords[None, :40, [1, 0, 2, 3]])
    present = torch.ones(1, 40, dtype=torch.bool)
    turned = strands.clone()
    turned[:, :, 1:] = 2 * strands[:, :, :1] - strands[:, :, 1:]
    best = smooth_lddt(strands, strands, present)
    torch.testing.assert_close(smooth_lddt(turned[:, :, :1], strands[:, :, :1], present), best)
    assert smooth_lddt(turned, strands, present) > best + 0.05


def test_losses_do_not_see_padding():
    real = torch.from_numpy(example().items[0].coords[None, :30, [1, 0, 2, 3]])
    off = real + torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    wide = [torch.cat([one, torch.randn(1, 7, 4, 3)], 1) for one in (off, real)]
    present = torch.ones(1, 30, dtype=torch.bool)
    padded = torch.cat([present, torch.zeros(1, 7, dtype=torch.bool)], 1)
    torch.testing.assert_close(smooth_lddt(*wide, padded), smooth_lddt(off, real, present))
    torch.testing.assert_close(bond_loss(wide[0], padded), bond_loss(off, present))
