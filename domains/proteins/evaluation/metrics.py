"""Measures of backbones; each is computed for real chains with the same code.

of              of one chain: bonds between Cα, clashes, size, contacts, secondary structure and class
lengths_angles  bonds and angles of N, CA, C and O
handed          helical turns to the right and to the left
histogram, divergence   Jensen-Shannon, of pairs of angles from those of real chains, bits
met             how far a secondary structure that was asked for is there
"""

import math
from collections.abc import Sequence

import numpy as np

from domains.proteins import geometry as g
from domains.proteins.chain import Backbone

BINS = 36  # of 10° each way
HELICAL = 4  # residues of a run
SOME_HELIX, SOME_STRAND = 0.15, 0.10  # shares that make a class (Nakashima, Nishikawa & Ooi 1986)


def of(chain: Backbone) -> dict[str, float]:
    """The measures of one chain, by name.

    Raises:
        MissingExtraError: without pydssp.
    """
    letters = chain.secondary
    helix, strand = (letters.count(letter) / len(letters) for letter in "HE")
    as_drawn = {} if chain.drawn is None else {
        "Cα-Cα within 0.2 Å, as drawn": bonds(chain.drawn, 0.2),
        "clashes / 100 residues, as drawn": clashes(chain.drawn),
    }  # fmt: skip
    return as_drawn | {
        "Cα-Cα within 0.1 Å": bonds(chain.ca, 0.1),
        "Cα-Cα within 0.2 Å": bonds(chain.ca, 0.2),
        "cis peptides": float(g.cis(chain.ca).mean()),
        "clashes / 100 residues": clashes(chain.ca),
        "radius of gyration, ratio": size(chain),
        "long contacts / residue": contacts(chain),
        "helix": helix,
        "strand": strand,
        "all-α": float(helix > SOME_HELIX and strand <= SOME_STRAND),
        "all-β": float(helix <= SOME_HELIX and strand > SOME_STRAND),
        "α and β": float(helix > SOME_HELIX and strand > SOME_STRAND),
        "φ above 0": left(chain),
    }


def bonds(ca: np.ndarray, within: float) -> float:
    """Share of all Cα-Cα distances within so many Å of a trans peptide's, from both sides."""
    length = np.linalg.norm(np.diff(ca, axis=0), axis=1)
    return float((np.abs(length - g.CA_CA) < within).mean()) if len(length) else 0.0


def clashes(ca: np.ndarray) -> float:
    """Pairs of Cα under 3.6 Å per 100 residues."""
    return 100 * _pairs(ca, 3, 3.6) / len(ca)


def contacts(chain: Backbone) -> float:
    """Pairs of Cα under 8 Å that are twelve residues apart or more, per residue."""
    return _pairs(chain.ca, 12, 8.0) / len(chain)


def _pairs(ca: np.ndarray, apart: int, under: float) -> int:
    distance = np.linalg.norm(ca[:, None] - ca[None], axis=2)
    return int((distance[np.triu_indices(len(ca), apart)] < under).sum())


def size(chain: Backbone) -> float:
    """The radius of gyration over that of real chains as long."""
    return g.size(chain.ca)


def left(chain: Backbone) -> float:
    """Share of the residues with φ > 0, which few but glycine take."""
    return float((chain.torsions[1:, 0] > 0).mean())


def trace(chain: Backbone) -> np.ndarray:
    """θ, of three Cα, and τ, of four, (residues − 3, 2), radians; none of fewer than four residues."""
    if len(chain) < 4:
        return np.zeros((0, 2))
    a, b, c, d = (chain.ca[i : len(chain) - 3 + i].astype(float) for i in range(4))
    return np.stack([g.angle(a, b, c), g.dihedral(a, b, c, d)], 1)


def handed(chain: Backbone) -> tuple[int, int]:
    """Residues in helical turns to the right and to the left.

    A turn is a run of four or more with d(i, i + 3) < 6 Å and 30° < |τ| < 80°. Other measures cannot tell a
    helix from its mirror image.
    """
    tau = trace(chain)[:, 1]
    near = np.linalg.norm(chain.ca[3:] - chain.ca[:-3], axis=1) < 6
    counts = []
    for side in (tau, -tau):
        turn = near & (side > math.radians(30)) & (side < math.radians(80))
        edges = np.flatnonzero(np.diff(np.concatenate([[0], turn.astype(int), [0]])))
        runs = edges[1::2] - edges[::2]
        counts.append(int(runs[runs >= HELICAL].sum()))
    return counts[0], counts[1]


def lengths_angles(chain: Backbone) -> dict[str, np.ndarray]:
    """Bonds (Å) and angles (degrees) between neighbouring atoms of the backbone, by name."""
    n, ca, c, o = (chain.coords[:, i].astype(float) for i in range(4))
    return {
        "N-CA, Å": np.linalg.norm(n - ca, axis=1),
        "CA-C, Å": np.linalg.norm(ca - c, axis=1),
        "C-O, Å": np.linalg.norm(c - o, axis=1),
        "C-N, Å": np.linalg.norm(c[:-1] - n[1:], axis=1),
        "N-CA-C, °": np.degrees(g.angle(n, ca, c)),
        "CA-C-N, °": np.degrees(g.angle(ca[:-1], c[:-1], n[1:])),
        "C-N-CA, °": np.degrees(g.angle(c[:-1], n[1:], ca[1:])),
        "CA-C-O, °": np.degrees(g.angle(ca, c, o)),
    }


def met(asked: str, chain: Backbone, letters: str = "HE") -> float:
    """Share of the residues that were asked to be of these letters that are; NaN if none were.

    >>> from domains.proteins import domain
    >>> helices = domain.example().items[0]  # two, and a turn between them
    >>> met("-" * 5 + "HHHHHE" + "-" * (len(helices) - 11), helices)
    0.8333333333333334
    """
    pairs = [pair for pair in zip(asked, chain.secondary, strict=True) if pair[0] in letters]
    return sum(one == other for one, other in pairs) / len(pairs) if pairs else math.nan


def histogram(chains: Sequence[Backbone], kind: str) -> np.ndarray:
    """How often pairs of angles come in each chain, (chains, BINS, BINS); kind: "theta-tau" or "phi-psi"."""
    found = np.zeros((len(chains), BINS, BINS))
    for own, chain in zip(found, chains, strict=True):
        if kind == "phi-psi":
            angles = chain.torsions[:, :2]
            pairs = np.degrees(angles[np.isfinite(angles).all(1)]) + 180
        else:
            pairs = np.degrees(trace(chain)) + np.array([0.0, 180.0])
            pairs[:, 0] *= 2  # θ lies in 0 to 180°
        bins = (pairs * BINS // 360).astype(int) % BINS
        np.add.at(own, (bins[:, 0], bins[:, 1]), 1)
    return found


def divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Jensen-Shannon divergence of two histograms, bits.

    >>> divergence(np.array([1.0, 0.0]), np.array([0.0, 2.0]))
    1.0
    """
    p, q = p.ravel() / p.sum(), q.ravel() / q.sum()
    middle = (p + q) / 2

    def information(a: np.ndarray) -> float:
        there = a > 0
        return float((a[there] * np.log2(a[there] / middle[there])).sum())

    return (information(p) + information(q)) / 2
