"""What samples are compared with: real chains that no model was trained on, and two simple constructions.

    ZOO_DATA=/folder/that/holds/proteins python -m domains.proteins.evaluation.reference

measures those of the recipes' own data, and writes what ships: reference.json, so that models can be
evaluated where the data are not at hand, and ramachandran.npy, by which atoms are rebuilt.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from domains.proteins import rebuild
from domains.proteins.chain import Backbone
from domains.proteins.data.known import known
from domains.proteins.evaluation import baselines, metrics
from domains.proteins.evaluation.table import Cell, Column, histograms, mean, measured
from domains.proteins.recipes import FLOW

FILE = Path(__file__).parent / "reference.json"
MET = {"secondary structure met": "HE", "helix met": "H", "strand met": "E"}  # of letters asked for
ASKED = 50  # chains whose secondary structure is asked for


@dataclass(frozen=True, eq=False)
class Reference:
    """What samples stand beside.

    Attributes:
        columns: measures of real chains and of the constructions, by name.
        angles: how often real training chains have each pair of angles, by kind.
        asked: secondary structures of real chains, to ask a model for.
    """

    columns: dict[str, Column]
    angles: dict[str, np.ndarray]
    asked: tuple[str, ...]

    def column(self, drawn: Sequence[Backbone], asked: Sequence[Backbone], seed: int = 0) -> Column:
        """Every measure of drawn chains; `asked` are those drawn for each of `self.asked`, or none.

        Raises:
            MissingExtraError: without pydssp.
        """
        found = measured(drawn, self.angles, seed)
        return found | (met(self.asked, asked, seed) if asked else {})


def met(asked: Sequence[str], chains: Sequence[Backbone], seed: int) -> Column:
    """How far what was asked for is there, in chains that were drawn for each."""
    found = {}
    for name, letters in MET.items():
        shares = [metrics.met(one, chain, letters) for one, chain in zip(asked, chains, strict=True)]
        found[name] = mean(shares, seed)
    return found


def made(train: Sequence[Backbone], held: Sequence[Backbone], seed: int = 0) -> Reference:
    """The reference of some real chains.

    Args:
        train: what angles are compared with, and the constructions made of.
        held: none of these; each construction is as long as they are.
        seed: of the constructions and the intervals.

    Raises:
        MissingExtraError: without pydssp.
    """
    rng = np.random.default_rng(seed)
    lengths = [len(one) for one in held]
    sets = {
        "real": held,
        "shuffled fragments": baselines.shuffled(train, lengths, rng),
        "independent angles": baselines.independent(train, lengths, rng),
    }
    angles = histograms(train)
    columns = {name: measured(chains, angles, seed) for name, chains in sets.items()}
    asked = tuple(one.secondary for one in held[:ASKED])
    for name in list(sets)[1:]:  # what chance gives
        columns[name] |= met(asked, sets[name][: len(asked)], seed)
    return Reference(columns, angles, asked)


@cache
def shipped() -> Reference:
    """That of the recipes' own data, as it was measured."""
    told = json.loads(FILE.read_text(encoding="utf-8"))
    columns = {
        name: {measure: Cell(*cell) for measure, cell in column.items()}
        for name, column in told["columns"].items()
    }
    angles = {kind: np.array(counts) for kind, counts in told["angles"].items()}
    return Reference(columns, angles, tuple(told["asked"]))


def own(seed: int = 0) -> tuple[Sequence[Backbone], Sequence[Backbone]]:
    """Chains of the recipes' own data: those to train on, and those for tests, shuffled.

    Raises:
        DataError: if they are not there.
    """
    train, tests = (known(FLOW.shortest, FLOW.longest, tests=tests).items for tests in (False, True))
    order = np.random.default_rng(seed).permutation(len(tests))
    return train, [tests[i] for i in order]


def rarity(chains: Sequence[Backbone]) -> np.ndarray:
    """−ln of how frequent φ, ψ are, (36, 36), 0 for the most frequent; half a count where none was seen."""
    counts = histograms(chains)["phi-psi"] + 0.5
    return -np.log(counts / counts.max()).astype(np.float32)


def write() -> None:
    """Measures and writes what ships.

    Raises:
        DataError: if the data are not there.
    """
    train, tests = own()
    np.save(rebuild.RARITY, rarity(train))
    rebuild.rarity.cache_clear()  # the constructions are rebuilt by it
    reference = made(train, tests)
    told: dict[str, Any] = {
        "columns": reference.columns,
        "angles": {kind: counts.astype(int).tolist() for kind, counts in reference.angles.items()},
        "asked": reference.asked,
    }
    FILE.write_text(json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
