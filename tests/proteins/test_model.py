"""The verbs on a model that has hardly learned: what must hold whatever the weights."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import zoo
from domains.proteins import contigs, domain
from domains.proteins import geometry as g
from domains.proteins.backbone import Size
from domains.proteins.chain import Backbone, Cloud
from domains.proteins.data import Chains, read
from domains.proteins.evaluation import metrics
from domains.proteins.model import Asked
from domains.proteins.recipes import FLOW, POINTS
from zoo.cli import main
from zoo.errors import DataError, OptionError

pytest.importorskip("gemmi", reason="needs the extra proteins")
pytest.importorskip("pydssp", reason="needs the extra proteins")

# most of what is drawn here is short
pytestmark = pytest.mark.filterwarnings("ignore:a length of")
SMALL = Size(width=32, depth=2, condition=16, pair=8)
EXAMPLE = domain.example()
LOOPED = [EXAMPLE.items[0].part(0, 15), EXAMPLE.items[0].part(20, 42)]  # without 16 to 20


def trained(recipe, source, steps=30):
    brief = replace(recipe.training, steps=steps, batch_size=4, validation_batches=1, validate_every=steps)
    small = replace(recipe, network=SMALL, training=brief)
    return zoo.train(domain, source, recipe=small, device="cpu", show=False)


@pytest.fixture(scope="module")
def model():
    return trained(FLOW, EXAMPLE)


@pytest.fixture(scope="module")
def traces():
    return trained(replace(FLOW, atoms="ca"), EXAMPLE, steps=5)


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(20, 40, 3))
    return trained(POINTS, Chains(tuple(Cloud(100 + 3 * one) for one in directions)), steps=5)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return model.save(tmp_path_factory.mktemp("saved") / "model")


def alike(one, other, most=1e-3):
    return len(one) == len(other) and np.abs(np.asarray(one) - np.asarray(other)).max() < most


def test_members_depend_on_seed_and_index_alone(model):
    many, few = (model.sample(n, seed=3, steps=3) for n in (7, 3))
    assert len({len(one) for one in many}) > 1  # lengths too are a member's own
    assert all(alike(a, b, 0.02) for a, b in zip(many, few, strict=False))
    assert not any(alike(a, b, 1.0) for a, b in zip(few, model.sample(3, seed=4, steps=3), strict=True))
    one = model.sample(3, seed=3, steps=3, length=[len(one) for one in few])
    assert all(alike(a, b, 0.02) for a, b in zip(one, few, strict=True))


def test_lengths_are_kept(model):
    assert [len(one) for one in model.sample(3, length=[60, 4, 17], steps=2)] == [60, 4, 17]
    assert [len(one) for one in model.sample(2, length=30, steps=2)] == [30, 30]
    assert {len(one) for one in model.sample(20, steps=1)} <= set(model.adapter.lengths)


def test_lengths_that_were_not_trained_on_are_told(model, points, recwarn):
    model.sample(2, length=[40, 128], steps=1)
    model.sample(2, steps=1)
    model.scaffold(EXAMPLE.items[0], "20/A10-29", steps=1)
    points.sample(1, length=4, steps=1)
    assert not recwarn.list
    for verb, told in (
        (lambda: model.sample(3, length=[39, 50, 129], steps=1), "a length of 39, 129: .* on 40 to 128"),
        (lambda: model.scaffold(EXAMPLE.items[0], "5/A10-20", steps=1), "a length of 16: .* on 40 to 128"),
        (lambda: model.edit(EXAMPLE.items[0].part(0, 30), steps=1), "a length of 30: .* on 40 to 128"),
    ):
        with pytest.warns(UserWarning, match=told) as caught:
            verb()
        assert [one.filename for one in caught] == [__file__]  # once, of who asked


def test_backbones_have_the_geometry_of_backbones(model):
    for one in model.sample(2, length=40, steps=5):
        assert metrics.bonds(one.ca, 0.1) == 1 and metrics.clashes(one.ca) == 0
        assert np.linalg.norm(one.coords[:, 3] - one.coords[:, 2], axis=1) == pytest.approx(g.C_O, abs=1e-3)
        assert np.abs(one.torsions[:-1, 2]) == pytest.approx(np.where(g.cis(one.ca), 0, np.pi), abs=0.05)
        assert np.abs(one.ca.mean(0)).max() < 5


def test_what_was_drawn_is_told_beside_what_was_put_right(model):
    (one,) = model.sample(1, length=30, steps=5)
    assert one.drawn.shape == (30, 3) and not np.allclose(one.drawn, one.ca, atol=0.1)
    measures = metrics.of(one)
    assert measures["Cα-Cα within 0.2 Å"] == 1 > measures["Cα-Cα within 0.2 Å, as drawn"]
    moved = replace(one, coords=one.coords + (one.drawn - one.ca)[:, None], drawn=None)
    assert metrics.of(moved)["clashes / 100 residues"] == measures["clashes / 100 residues, as drawn"]
    assert "clashes / 100 residues, as drawn" not in metrics.of(moved)


def test_shipped_weights_draw_folds():
    shipped = zoo.load("proteins-flow")
    drawn = shipped.sample(6, length=60, steps=60, seed=0)
    turns = np.array([metrics.handed(one) for one in drawn]).sum(0)
    assert turns[0] / turns.sum() > 0.99 and turns.sum() > 30
    assert 0.8 < np.median([metrics.size(one) for one in drawn]) < 1.2
    assert np.mean([metrics.bonds(one.drawn, 0.2) for one in drawn]) > 0.5
    assert np.mean([metrics.clashes(one.drawn) for one in drawn]) < 10
    asked = "C" * 4 + "H" * 20 + "C" * 6 + "H" * 20 + "C" * 4
    helices = shipped.sample(2, secondary=asked, steps=60, seed=0)
    assert np.mean([metrics.met(asked, one) for one in helices]) > 0.8


def test_many_are_drawn_a_few_at_a_time(model, monkeypatch):
    together = model.sample(5, length=20, steps=2)
    monkeypatch.setattr("domains.proteins.model.PAIRS", 2 * 20**2)
    assert all(alike(a, b, 0.02) for a, b in zip(model.sample(5, length=20, steps=2), together, strict=True))
    monkeypatch.setattr("domains.proteins.model.PAIRS", 1)
    assert len(model.sample(2, length=20, steps=2)) == 2


def test_secondary_structure_and_guidance_change_what_is_drawn(model):
    letters = "-" + "H" * 18 + "c"
    told, free, more = (
        model.sample(1, length=20, steps=3, **how)[0]
        for how in ({"secondary": letters}, {}, {"secondary": letters, "guidance": 4.0})
    )
    assert not alike(told, free) and not alike(told, more)
    assert alike(model.sample(1, secondary=letters, guidance=2, steps=3)[0], told)  # the recipe's own
    assert not alike(model.sample(1, secondary=letters, guidance=1, steps=3)[0], told)
    # a weight of 0 is the estimate that is told nothing
    assert alike(model.sample(1, secondary=letters, guidance=0, steps=3)[0], free, 0.02)
    assert alike(model.sample(1, secondary="-" * 20, guidance=4, steps=3)[0], free)
    assert alike(model.sample(1, secondary="-" * 20, steps=3)[0], free)
    tuned = model.copy()
    tuned.recipe = replace(model.recipe, sampling=replace(model.recipe.sampling, guidance=4.0))
    assert alike(tuned.sample(1, secondary=letters, steps=3)[0], more)
    each = tuned.sample(3, secondary=["-" * 12, "E" * 20, letters], steps=3, guidance=2)
    assert [len(one) for one in each] == [12, 20, 20]
    assert alike(each[2], model.sample(3, secondary=letters, steps=3)[2], 0.02)
    assert not alike(each[1], model.sample(3, secondary=letters, steps=3)[1])


@pytest.mark.parametrize("kind", ["model", "traces"])
def test_a_motif_is_kept_exactly(kind, request, tmp_path):
    model = request.getfixturevalue(kind)
    chain = Backbone(EXAMPLE.items[1].coords + np.array([50, -20, 7]), "ACDEFGHIKL" + "M" * 34)
    file = chain.to_pdb(tmp_path / "a.pdb")
    given = read(file).items[0]
    found = model.scaffold(file, "5-8/A10-20/10/A31-35/4", 4, steps=3)
    assert len({len(one) for one in found}) > 1
    for one in found:
        first = one.sequence.index("L")
        assert 5 <= first <= 8
        kept = [*range(first, first + 11), *range(first + 21, first + 26)]
        assert np.array_equal(one.coords[kept], given.coords[[*range(9, 20), *range(30, 35)]])
        assert one.sequence[first : first + 11] == given.sequence[9:20] and one.sequence[0] == "X"
        assert np.flatnonzero(one.kept).tolist() == kept
        if kind == "model":
            joints = [first - 1, first + 10, first + 20, first + 25]
            gaps = np.linalg.norm(one.coords[1:, 0] - one.coords[:-1, 2], axis=1)
            assert gaps[joints] == pytest.approx(g.C_N, abs=0.25)
            assert np.linalg.norm(np.diff(one.ca, axis=0), axis=1) == pytest.approx(g.CA_CA, abs=0.1)
    again = model.scaffold(file, "5-8/A10-20/10/A31-35/4", 2, steps=3)
    assert all(alike(a, b, 0.02) for a, b in zip(found, again, strict=False))


def test_scaffolds_of_a_length_with_a_secondary_structure(model):
    given = [EXAMPLE.items[0]]
    contig, letters = "3-9/A10-20/3-9", "H" * 20
    assert len(model.scaffold(given, contig, length=25, steps=2)[0]) == 25
    told, free = (
        model.scaffold(given, contig, length=20, steps=2, **how)[0] for how in ({"secondary": letters}, {})
    )
    assert len(told) == 20 and not alike(told, free)
    with pytest.raises(OptionError, match="a secondary structure of 20 residues, but a length of 21"):
        model.scaffold(given, contig, length=21, secondary=letters)
    with pytest.raises(OptionError, match="the contig takes 17 to 29"):
        model.scaffold(given, contig, length=40)


def test_a_missing_loop_is_drawn_and_the_rest_is_as_it_was(model, tmp_path):
    for one in model.inpaint(LOOPED, 2, steps=3):
        assert len(one) == 42
        assert np.array_equal(one.coords[:15], LOOPED[0].coords)
        assert np.array_equal(one.coords[20:], LOOPED[1].coords)
        assert np.linalg.norm(np.diff(one.ca[14:21], axis=0), axis=1) == pytest.approx(g.CA_CA, abs=0.3)
        assert one.numbers == EXAMPLE.items[0].numbers and one.kept is not None and one.kept.sum() == 37
    other = [replace(one, chain="B") for one in LOOPED]
    (found,) = model.inpaint([*LOOPED, *other], chain="B", secondary="H" * 42, guidance=2.0, steps=2)
    assert len(found) == 42 and found.chain == "B"
    with pytest.raises(OptionError, match="several chains: A, B; say chain="):
        model.inpaint([*LOOPED, *other])
    with pytest.raises(OptionError, match="no chain 'C'; there are: A, B"):
        model.inpaint([*LOOPED, *other], chain="C")
    with pytest.raises(OptionError, match="nothing is missing in chain A"):
        model.inpaint(EXAMPLE.items[0])


def test_edits_lie_where_the_structure_lies_and_go_further_with_strength(model, tmp_path):
    chain = Backbone(EXAMPLE.items[0].coords + 70)
    away = [
        np.mean(
            [g.rmsd(one.ca.astype(float), chain.ca.astype(float)) for one in model.edit(chain, s, 3, steps=8)]
        )
        for s in (0.02, 0.3, 0.8)
    ]
    assert away[0] < 1 and away[0] < away[1] < away[2]
    named = replace(chain, chain="B", numbers=tuple(str(i) for i in range(100, 100 + len(chain))))
    (near,) = model.edit(named.to_cif(tmp_path / "a.cif"), 0.02, chain="B", steps=4)
    assert (near.chain, near.numbers) == ("B", named.numbers)
    assert np.abs(near.ca - chain.ca).max() < 3
    with pytest.raises(OptionError, match="one unbroken chain is wanted, but there are 2"):
        model.edit(LOOPED)


def test_clouds_are_drawn_and_edited(points, tmp_path):
    found = points.sample(2, length=30, steps=2)
    assert all(isinstance(one, Cloud) and len(one) == 30 for one in found)
    assert all(alike(a, b, 0.01) for a, b in zip(points.sample(3, length=30, steps=2), found, strict=False))
    file = Cloud(100 + np.random.default_rng(0).normal(size=(25, 3))).to_xyz(tmp_path / "a.xyz")
    (near,) = points.edit(file, 0.02, steps=4)
    assert np.asarray(near) == pytest.approx(np.asarray(read(file, clouds=True).items[0]), abs=1)
    page = near.view(tmp_path / "cloud.html")
    assert '"kinds": ""' in page
    for verb, told in (
        (lambda: points.sample(1, secondary="HHHH"), "never told a secondary structure"),
        (lambda: points.scaffold(file, "5/A1-3"), "have no residues"),
        (lambda: points.inpaint(file), "have no residues"),
        (lambda: points.edit(EXAMPLE.items[0]), "not a Backbone"),
        (lambda: points.edit(file, chain="A"), "a cloud has no chains: leave chain out"),
        (lambda: points.evaluate(), "these measures are of proteins"),
    ):
        with pytest.raises((OptionError, DataError), match=told):
            verb()


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        (lambda m: m.sample(0), "n must be at least 1"),
        (lambda m: m.sample(1.5), "n must be a whole number"),
        (lambda m: m.sample(1, length=3), "length must be at least 4"),
        (lambda m: m.sample(1, length=5000), "length must be at most 1024, not 5000"),
        (lambda m: m.sample(1, length="long"), "1 backbones|whole number"),
        (lambda m: m.sample(3, length=[40, 50]), "2 lengths for 3 backbones"),
        (lambda m: m.sample(1, secondary="HHHX"), "letters H, E, C and -, not 'X'"),
        (lambda m: m.sample(1, secondary=""), "length must be at least 4"),
        (lambda m: m.sample(2, secondary=["HHHHH"]), "1 lengths for 2 backbones"),
        (lambda m: m.sample(2, length=5, secondary=["HHHHH"]), "1 secondary structures for 2 backbones"),
        (lambda m: m.sample(1, secondary="HHHH", length=5), "structure of 4 residues, but a length of 5"),
        (lambda m: m.sample(1, secondary="HHHH", guidance="much"), "finite number"),
        (lambda m: m.sample(1, sampler="magic"), "unknown sampler 'magic'"),
        (lambda m: m.sample(1, steps=0), "steps must be at least 1"),
        (lambda m: m.sample(1, seed=0.5), "seed must be a whole number"),
        (lambda m: m.edit(EXAMPLE.items[0], 1.0), r"strength must lie in \(0, 1\), not 1.0"),
        (lambda m: m.edit(EXAMPLE.items[0], "half"), "strength must lie in"),
        (lambda m: m.edit("nowhere.pdb"), "no such file"),
        (lambda m: m.edit(EXAMPLE.items[0].part(0, 3)), "length must be at least 4"),
        (lambda m: m.edit(Cloud(np.ones((9, 3)))), "not a Cloud"),
        (lambda m: m.scaffold(EXAMPLE.items[0], "A1-5"), "leaves nothing to draw"),
        (lambda m: m.scaffold(EXAMPLE.items[0], "A1-2/1"), "length must be at least 4"),
        (lambda m: m.scaffold(3, "A1-5/3"), "a path, a Backbone or a list is wanted"),
        (lambda m: m.scaffold(EXAMPLE.items[0], 5), "a contig is a text"),
        (lambda m: m.edit("tests"), "is a folder; one structure is wanted"),
        (lambda m: m.sample(1, length=8, secondary=[3]), "a string of letters, or several"),
        (lambda m: m.sample(1, length=8, guidance=2.0), "guidance is of a secondary structure"),
        (lambda m: EXAMPLE.items[0].view("a.pdb"), "call it .html"),
        (lambda m: EXAMPLE.items[0].plot("a.docx"), "cannot draw .docx; use .png"),
    ],
)
def test_what_cannot_be_done_is_told(model, verb, told):
    with pytest.raises(ValueError, match=told):
        verb(model)


def test_negative_and_large_seeds_are_seeds(model):
    drawn = [model.sample(1, seed=seed, steps=1, length=8)[0] for seed in (-1, 2**70, 0)]
    assert not alike(drawn[0], drawn[1]) and not alike(drawn[1], drawn[2])


def test_checkpoints_draw_the_same(model, saved):
    back = zoo.load(saved, device="cpu")
    assert back.adapter == model.adapter and back.recipe == model.recipe
    for ours, theirs in zip(model.sample(2, steps=2), back.sample(2, steps=2), strict=True):
        assert np.array_equal(ours.coords, theirs.coords)


def test_a_view_needs_no_network(tmp_path):
    chain = replace(EXAMPLE.items[0], name="</script><script src=//evil>")
    text = chain.view(tmp_path / "new" / "a.html")
    assert text == (tmp_path / "new" / "a.html").read_text() == chain.view()
    assert not re.search(r"https?:|src=|href=|import ", text.replace("\\u003cscript src=", ""))
    assert text.count("<script") == 1 and "[/*shapes*/]" not in text
    assert "Drag to turn, wheel to zoom" in text and "touch-action: none" in text
    shown = re.search(r"const shapes = (\[.*?\]);  //", text)
    assert shown is not None and '"kinds": "CH' in shown[1]


def test_a_plot_shows_torsions_and_contacts(tmp_path):
    figure = EXAMPLE.items[0].plot(tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")
    angles, _contacts = figure.axes[:2]
    assert len(angles.collections[0].get_offsets()) == 40  # the ends have no φ or no ψ
    assert EXAMPLE.items[0].plot().axes[1].images[0].get_array().shape == (42, 42)
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["a.png"]


def test_what_is_of_about_the_same_length_is_drawn_together(model, monkeypatch):
    sizes = []
    original = type(model).draw

    def counted(self, members, *args, **how):
        sizes.append(len(members))
        return original(self, members, *args, **how)

    monkeypatch.setattr(type(model), "draw", counted)
    chain = EXAMPLE.items[0]
    lengths = [20, 40, 21, 17, 12]
    found = model.sample(5, length=lengths, steps=3, seed=1)
    assert sizes == [1, 3, 1] and [len(one) for one in found] == lengths
    alone = [model._draw([Asked(n)], 1, None, None, steps=3, sampler=None)[0] for n in lengths[:1]]
    assert alike(alone[0], found[0], 0.02)
    sizes.clear()
    kept = [contigs.parsed(one, [chain]).laid_out(np.random.default_rng(0)) for one in ("5/A1-20", "6/A1-19")]
    asked = [Asked(len(one.kept), one) for one in (*kept, kept[0])]
    model._draw(asked, 0, None, None, steps=1, sampler=None)
    assert sizes == [2, 1]  # what is kept of these stands at other places


def run(*args):
    with pytest.raises(SystemExit) as stopped:
        main(list(map(str, args)))
    return stopped.value.code


def test_the_command_line_draws_in_every_way(saved, tmp_path, capsys):
    ref, structure = str(saved), EXAMPLE.items[0].to_pdb(tmp_path / "a.pdb")
    out, page = tmp_path / "out", tmp_path / "a.html"
    how = ("--steps", 2, "-n", 2)
    assert run("sample", ref, *how, "--length", 20, "--out", out, "--plot", page) == 0
    assert [len(read(one).items[0]) for one in sorted(out.iterdir())] == [20, 20]
    assert page.read_text().startswith("<!doctype html>")
    given = read(structure).items[0]
    out = tmp_path / "told"
    assert run("sample", ref, *how, "--secondary", "H" * 10 + "-" * 8, "--guidance", 2, "--out", out) == 0
    assert len(read(out / "00000.pdb").items[0]) == 18
    out = tmp_path / "around"
    assert run("sample", ref, *how, "--data", structure, "--contig", "5/A10-20/5", "--out", out) == 0
    kept = read(out / "00001.pdb").items[0]
    assert kept.coords[5:16] == pytest.approx(given.coords[9:20], abs=1e-3)
    out = tmp_path / "edited"
    assert run("sample", ref, *how, "--data", structure, "--strength", 0.02, "--out", out) == 0
    assert np.abs(read(out / "00000.pdb").items[0].ca - given.ca).max() < 3
    lines = structure.read_text().splitlines()
    loop = [one for one in lines if not (one.startswith("ATOM") and 15 < int(one[22:26]) <= 20)]
    (tmp_path / "loop.pdb").write_text("\n".join(loop))
    out = tmp_path / "bridged"
    assert run("sample", ref, *how, "--data", tmp_path / "loop.pdb", "--missing", "--out", out) == 0
    assert len(read(out / "00000.pdb").items[0]) == 42
    far = replace(EXAMPLE.items[0], chain="AAA").to_cif(tmp_path / "far.cif")
    out = tmp_path / "roomy"  # what a PDB file has no room for
    assert run("sample", ref, *how, "--data", far, "--strength", 0.02, "--out", out) == 0
    assert [one.name for one in sorted(out.iterdir())] == ["00000.cif", "00001.cif"]
    assert read(out / "00001.cif").items[0].chain == "AAA"
    assert "00001.cif" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--contig", "5/A1-5"], "--contig speaks of a structure: give that by --data"),
        (["--missing"], "--missing speaks of a structure"),
        (["--strength", "0.5"], "--strength says how far to go from a structure"),
        (["--data", "{a}", "--contig", "5/A1-5", "--strength", "0.5"], "are other ways"),
        (["--data", "{a}", "--missing", "--strength", "0.5"], "keeps all that is there"),
        (["--data", "{a}", "--chain", "B"], "no chain 'B'; there are: A"),
        (["--chain", "B"], "--chain is of a structure"),
        (["--guidance", "2"], "guidance is of a secondary structure"),
        (["--data", "{a}", "--length", "50"], "--length is that of the structure"),
        (["--data", "{a}", "--missing"], "nothing is missing in chain A"),
        (["--plot", "a.png"], "a.png: is written as a page; call it .html"),
        (["--out", "{a}"], "is a file; name a folder"),
    ],
)
def test_the_command_line_refuses_what_makes_no_sense(saved, tmp_path, capsys, options, told):
    structure = EXAMPLE.items[0].to_pdb(tmp_path / "a.pdb")
    options = [one.format(a=structure) for one in options]
    if "--out" not in options and "--plot" not in options:
        options += ["--out", str(tmp_path / "out")]
    assert run("sample", saved, "-n", 1, "--steps", 1, *options) == 2
    assert told in capsys.readouterr().err
    assert structure.is_file() and not (tmp_path / "out").exists()


def test_evaluation_stands_beside_real_chains_and_constructions(saved, tmp_path, capsys):
    folder = tmp_path / "chains"
    for i, one in enumerate(EXAMPLE.items):
        one.to_pdb(folder / f"{i}.pdb")
    table = tmp_path / "table.csv"
    assert run("evaluate", saved, "--data", folder, "-n", 3, "--steps", 2, "--out", table) == 0
    told = "one in 10 clusters of its chains is compared with (chains: 2), and the intervals mean little"
    assert told in " ".join(capsys.readouterr().err.split())
    found = pd.read_csv(table).set_index("measure")
    assert list(found.columns[::2]) == ["model", "real", "shuffled fragments", "independent angles"]
    assert found.loc["Cα-Cα within 0.2 Å", "model"] == 1
    assert found.loc["theta-tau divergence, bits", "real"] < found.loc["theta-tau divergence, bits", "model"]
    met = found.loc["secondary structure met"]
    assert 0 <= met["model"] <= 1 and np.isnan(met["real"])
    capsys.readouterr()
    assert run("evaluate", saved) == 2
    assert "trained on data of its own: give --data" in capsys.readouterr().err
    assert run("evaluate", saved, "--data", folder, "-n", 1) == 2
    assert "-n must be at least 2" in capsys.readouterr().err


def test_a_demonstration_writes_what_it_says(model, points, tmp_path):
    short = model.copy()
    short.recipe = replace(model.recipe, sampling=replace(model.recipe.sampling, steps=2))
    files = domain.demo(short, tmp_path)
    assert [one.name for one in files] == [
        *(f"proteins-{i}.pdb" for i in range(4)), "proteins.png", "proteins-angles.png", "proteins.html",
    ]  # fmt: skip
    assert all(one.stat().st_size > 1000 for one in files)
    assert len(read(files[0]).items[0]) == 96
    few = points.copy()
    few.recipe = replace(points.recipe, sampling=replace(points.recipe.sampling, steps=2))
    (page,) = domain.demo(few, tmp_path / "clouds")
    assert page.is_file()
