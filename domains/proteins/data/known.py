"""The chains that the recipes are trained on: chains of the Protein Data Bank, as others have collected them.

The files lie below ZOO_DATA/proteins. The chains of the collection TS50 (48 of its 50 are there), those that
are like them (see `data.clusters`), and one in ten of the other clusters are for tests alone.
"""

import hashlib
import os
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from domains.proteins.data import Chains, clouds, clusters, read
from zoo.errors import DataError
from zoo.manifest import Source

FILES = {
    "cgdms/cgdms_backbone.npz": Source(
        "chains of the PDB, by cgdms", "MIT", "https://github.com/psipred/cgdms"
    ),
    "pdb_chains/pdb_chains_backbone.npz": Source(
        "chains of the PDB, of several collections", "various (PDB: CC0-1.0)", "https://www.rcsb.org"
    ),
}
TEST = "ts50"  # what the files call the collection
ONE_IN = 10  # other clusters are for tests too


def known(shortest: int = 1, longest: int | None = None, *, tests: bool = False) -> Chains:
    """The chains of `shortest` to `longest` residues: those to train and validate on, or those for tests.

    Raises:
        DataError: if ZOO_DATA is not set, or the files are not there.
    """
    root = os.environ.get("ZOO_DATA")
    if not root:
        raise DataError("no data: give chains, or set ZOO_DATA to the folder that holds proteins/")
    chains, held = _all(Path(root) / "proteins")
    kept = tuple(one for one, test in zip(chains.items, held, strict=True) if test == tests)
    found = read(replace(chains, items=kept), shortest, longest)
    return replace(found, sources=tuple(FILES.values()))


@cache
def _all(folder: Path) -> tuple[Chains, tuple[bool, ...]]:
    """All chains, of any length, and whether each is for tests alone."""
    paths = [folder / name for name in FILES]
    chains = read(paths)
    test: set[str] = set()
    for arrays in map(clouds.arrays_of, paths):
        if "source" in arrays:
            test |= set(np.asarray(arrays["ids"])[arrays["source"] == TEST].tolist())
    named = clusters(chains.items)
    held = {name for name, one in zip(named, chains.items, strict=True) if one.name in test}
    held |= {name for name in named if _place(name) % ONE_IN == 0}
    return chains, tuple(name in held for name in named)


def _place(name: str) -> int:
    """A number that is a function of a cluster's name alone."""
    return int.from_bytes(hashlib.blake2b(f"test {name}".encode(), digest_size=4).digest())
