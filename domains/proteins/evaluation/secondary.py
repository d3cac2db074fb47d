"""Secondary structure by hydrogen bonds (Kabsch & Sander 1983), through pydssp."""

from typing import Any

import numpy as np

from zoo.errors import MissingExtraError


def library() -> Any:
    """pydssp.

    Raises:
        MissingExtraError: without it.
    """
    try:
        import pydssp
    except ImportError as error:
        raise MissingExtraError("pydssp", "proteins") from error
    return pydssp


def assigned(coords: np.ndarray) -> str:
    """A letter a residue, of N, CA, C and O (residues, 4, 3) in Å: H helix, E strand, C neither.

    Raises:
        MissingExtraError: without pydssp.
    """
    if len(coords) < 6:  # too short for a helix's turn
        return "C" * len(coords)
    found = library().assign(np.asarray(coords, float), out_type="index")
    return "".join("CHE"[int(index)] for index in found)
