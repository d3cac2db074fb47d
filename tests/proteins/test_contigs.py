"""Contigs: what they mean, and what is refused."""

import numpy as np
import pytest

from domains.proteins.chain import Backbone
from domains.proteins.contigs import LONGEST, Free, bridged, bridged_numbers, parsed
from zoo.errors import OptionError


def piece(chain, numbers, start=0):
    """Residues on a line, at the distance of bonds; the first is the `start`-th of it."""
    coords = np.arange(12 * start, 12 * (start + len(numbers)), dtype=float).reshape(-1, 4, 3)
    return Backbone(coords * (3.8 / 12 / 3**0.5), "ACDEFGHIKL"[: len(numbers)], tuple(numbers), chain)


CHAINS = (
    piece("A", ["45", "46", "46A", "47", "48"]),
    piece("A", ["55", "56"], 11),
    piece("B", ["-2", "-1", "0", "1"], 6),
    piece("AB", ["1", "2"], 30),
    piece("1", ["7", "8"], 40),
)


def test_parts_in_their_order():
    contig = parsed("2-4/A46-47/3/B-1-1", CHAINS)
    assert [part if isinstance(part, Free) else part.numbers for part in contig.parts] == [
        Free(2, 4), ("46", "46A", "47"), Free(3, 3), ("-1", "0", "1"),
    ]  # fmt: skip
    assert contig.lengths == (11, 13)
    layout = contig.laid_out(np.random.default_rng(0), 12)
    assert layout.kept.tolist() == [False] * 3 + [True] * 3 + [False] * 3 + [True] * 3
    assert np.array_equal(layout.coords[3:6], CHAINS[0].coords[1:4])
    assert np.array_equal(layout.coords[9:], CHAINS[2].coords[1:])
    assert layout.sequence == "XXXCDEXXXCDE"


@pytest.mark.parametrize(
    ("word", "numbers"),
    [
        ("A45", ["45"]),
        ("A46A-48", ["46A", "47", "48"]),
        (" A55-56 ", ["55", "56"]),
        ("AB1-2", ["1", "2"]),
        ("1:7-8", ["7", "8"]),
        ("B:-2", ["-2"]),
    ],
)
def test_ways_to_name_residues(word, numbers):
    assert list(parsed(f"{word}/3", CHAINS).parts[0].numbers) == numbers


def test_free_lengths_are_even_and_fill_a_length():
    contig = parsed("0-2/A45/0-2", CHAINS)
    rng = np.random.default_rng(0)
    totals = np.array([len(contig.laid_out(rng).kept) for _ in range(600)])
    assert np.bincount(totals, minlength=6)[1:] == pytest.approx(np.full(5, 120), abs=40)
    assert {int(contig.laid_out(rng, 3).kept.argmax()) for _ in range(40)} == {0, 1, 2}
    for length in (0, 6):
        with pytest.raises(OptionError, match=f"length of {length} cannot be had: the contig takes 1 to 5"):
            contig.laid_out(rng, length)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "contig '': a number of residues"),
        ("10/", "contig '': a number of residues"),
        ("5;A45", "contig '5;A45': a number of residues"),
        ("A45-46-47", "a chain and its residues"),
        ("20-10/A45", "20 is more than 10"),
        ("C1-5/3", "no chain 'C'; there are: 1, A, AB, B"),
        ("A46-56/3", r"not in one piece of chain A; there are: 45-48, 55-56"),
        ("A1-5/3", "not in one piece of chain A"),
        ("A48-45/3", "residue 45 stands before 48"),
        ("A45-46", "leaves nothing to draw"),
        ("0/A45-46", "leaves nothing to draw"),
        ("10-20", "keeps nothing"),
        ("999999999/A45", f"takes up to 1000000000 residues; {LONGEST} can be drawn"),
        ("A45-46/A55-56/3", "A46 and A55 are 38.0 Å apart, which is no bond"),
        ("A45-46/5/A55-56", "A46 and A55 are 38.0 Å apart: 5 residues do not reach, 9 may"),
        ("A45-46/5/A46-48", "keeps residue 46 of chain A twice"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_is_drawn(text, told):
    with pytest.raises(OptionError, match=told):
        parsed(text, CHAINS)


def test_as_many_residues_are_drawn_as_can_reach():
    contig = parsed("A48/0-9/2-4/A55", CHAINS)  # seven bonds apart
    assert contig.parts[1:3] == (Free(4, 9), Free(2, 4))
    assert contig.lengths == (8, 15)
    assert parsed("A48/10-12/A55", CHAINS).parts[1] == Free(10, 12)
    assert parsed("A45-46/A46A-48/3", CHAINS).lengths == (8, 8)  # a bond


def test_bridges_over_what_is_missing():
    contig = bridged(CHAINS[:2])
    assert contig.parts == (CHAINS[0], Free(6, 6), CHAINS[1])
    layout = contig.laid_out(np.random.default_rng(0))
    assert layout.kept.tolist() == [True] * 5 + [False] * 6 + [True] * 2
    numbers = ("45", "46", "46A", "47", "48", "49", "50", "51", "52", "53", "54", "55", "56")
    assert bridged_numbers(CHAINS[:2]) == numbers
    for chains, told in (
        (CHAINS[:1], "nothing is missing in chain A"),
        (CHAINS, "several chains: 1, A, AB, B; say chain="),
        ((CHAINS[1], CHAINS[0]), "broken between 56 and 45: these numbers do not say"),
        ((piece("A", ["1"]), piece("A", ["2"])), "do not say how many"),
        ((piece("A", ["1", "ten"]), CHAINS[1]), "residue 'ten' of chain A: its number is no number"),
        ((CHAINS[0], piece("A", ["", "6"], 11)), "residue '' of chain A: its number is no number"),
    ):
        with pytest.raises(OptionError, match=told):
            bridged(chains)
