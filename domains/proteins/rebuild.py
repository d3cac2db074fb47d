"""N, C and O from a trace of Cα.

A peptide is flat and rigid, trans or, where its Cα are so near, cis: between the two it can only turn about
the line through them. One angle for each peptide is left, on a circle of `STATES`; two neighbours meet at a
Cα, where the angle N-CA-C should be right and φ, ψ frequent in real chains. The chain of all of them with the
lowest sum of such costs is found exactly, by dynamic programming (Viterbi 1967), on the circle first and in
finer steps around the best then.
"""

import math
from functools import cache
from pathlib import Path

import numpy as np

from domains.proteins import geometry as g

STATES = 72
BEND = math.radians(5.0)  # deviation of N-CA-C that costs as much as e times fewer φ, ψ, twice
RARITY = Path(__file__).parent / "ramachandran.npy"  # made by evaluation/reference.py


@cache
def peptide(cis: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """C, N and O of a peptide, (3,) each: CA at the origin, the next one on x, C in the plane xy."""
    ca = np.zeros(3)
    c = np.array([g.CA_C, 0.0, 0.0])
    along = math.pi - (g.CIS_CA_C_N if cis else g.CA_C_N)
    n = c + g.C_N * np.array([math.cos(along), math.sin(along), 0.0])
    turn = along + (math.pi - g.CIS_C_N_CA if cis else g.C_N_CA - math.pi)
    after = n + g.N_CA * np.array([math.cos(turn), math.sin(turn), 0.0])
    o = c + g.C_O * np.array([-math.cos(g.CA_C_O), -math.sin(g.CA_C_O), 0.0])
    x = after / np.linalg.norm(after)
    y = np.array([-x[1], x[0], 0.0])
    return tuple(np.array([(p - ca) @ x, (p - ca) @ y, 0.0]) for p in (c, n, o))  # type: ignore[return-value]


def peptides(ca: np.ndarray) -> list[np.ndarray]:
    """C, N and O of each peptide of a trace (L, 3), as in `peptide`, (L − 1, 3) each."""
    cis = g.cis(ca)[:, None]
    return [np.where(cis, *both) for both in zip(peptide(True), peptide(), strict=True)]


@cache
def rarity() -> np.ndarray:
    """−ln of how frequent φ, ψ are in real chains, (36, 36) bins of 10°, the first at −180°."""
    return np.load(RARITY, allow_pickle=False)


def backbone(ca: np.ndarray, coords: np.ndarray | None = None, trust: np.ndarray | None = None) -> np.ndarray:
    """N, CA, C and O, (L, 4, 3), of a Cα trace (L, 3) of two residues or more, bonds of about 3.8 Å.

    Args:
        ca: (L, 3), Å.
        coords: (L, 4, 3), Å, where they are known, about these Cα; peptides turn to where they point.
        trust: how much the coords of a residue count, (L,); 0, or None for all, where they are not known.
    """
    if coords is None or trust is None:
        coords, trust = np.zeros((len(ca), 4, 3)), np.zeros(len(ca))
    x, y, z = frames(ca)
    c, n, o = peptides(ca)
    seen = np.zeros((2, len(x)))  # along y and z
    for atom, own, weight in (
        (c, coords[:-1, 2], trust[:-1]), (o, coords[:-1, 3], trust[:-1]), (n, coords[1:, 0], trust[1:])
    ):  # fmt: skip
        away = (weight * atom[:, 1])[:, None] * (own - ca[:-1])
        seen += np.stack([(away * y).sum(1), (away * z).sum(1)])
    told = (trust[:-1] > 0) | (trust[1:] > 0)
    angles = np.tile(np.linspace(-math.pi, math.pi, STATES, endpoint=False), (len(x), 1))
    angles[told] = np.arctan2(seen[1], seen[0])[told, None]
    free = ~told[:, None]
    for spread in (math.pi / STATES * 2, math.pi / STATES / 3):
        best = angles[np.arange(len(x)), _cheapest(ca, x, y, z, angles)]
        angles = best[:, None] + free * np.linspace(-1, 1, 13) * spread
    best = angles[np.arange(len(x)), _cheapest(ca, x, y, z, angles)]
    c, n, o = (atoms[:, 0] for atoms in _turned(ca, x, y, z, best[:, None]))
    found = np.zeros((len(ca), 4, 3))
    found[:, 1] = ca
    found[:-1, 2], found[1:, 0], found[:-1, 3] = c, n, o
    # the ends have no peptide on their other side
    first, last = math.radians(135.0), math.radians(-120.0)
    if trust[0]:
        first = g.dihedral(found[1, 0], c[0], ca[0], coords[0, 0])
    if trust[-1]:
        last = g.dihedral(c[-1], n[-1], ca[-1], coords[-1, 2])
    found[0, 0] = g.placed(found[1, 0], c[0], ca[0], g.N_CA, g.N_CA_C, first)
    found[-1, 2] = g.placed(c[-1], n[-1], ca[-1], g.CA_C, g.N_CA_C, last)
    found[-1, 3] = g.oxygens(found[-1:, :3])[0]
    return found


def ties(coords: np.ndarray, kept: np.ndarray) -> list[g.Tie]:
    """Where peptides that join what is kept to what is not hold the Cα of the latter, as distances."""
    c, n, o = peptide()
    after = np.array([g.CA_CA, 0.0, 0.0])
    found: list[g.Tie] = []
    for i in np.flatnonzero(kept[:-1] & ~kept[1:]).tolist():
        found += [(i + 1, coords[i, at], float(np.linalg.norm(after - p))) for at, p in ((2, c), (3, o))]
    for i in np.flatnonzero(~kept[:-1] & kept[1:]).tolist():
        found.append((i, coords[i + 1, 0], float(np.linalg.norm(n))))
    return found


def frames(ca: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Axes of each peptide, (L − 1, 3) each: x to the next Cα, z off the plane of three Cα."""
    x = np.diff(ca, axis=0)
    x = x / np.linalg.norm(x, axis=1, keepdims=True).clip(1e-9)
    side = np.cross(x[:-1], x[1:])
    side = np.concatenate([side, side[-1:]]) if len(side) else np.array([[0.0, 0.0, 1.0]])
    z = side - (side * x).sum(1, keepdims=True) * x
    flat = np.linalg.norm(z, axis=1) < 1e-6  # a straight piece: any direction will do
    z[flat] = np.cross(x[flat], np.eye(3)[np.abs(x[flat]).argmin(1)])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    return x, np.cross(z, x), z


def _turned(
    ca: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, angles: np.ndarray
) -> tuple[np.ndarray, ...]:
    """C, N and O of each peptide at each of its angles, (L − 1, states, 3)."""
    cos, sin = np.cos(angles)[..., None], np.sin(angles)[..., None]
    up = cos * y[:, None] + sin * z[:, None]
    return tuple(
        ca[:-1, None] + (atom[:, :1] * x)[:, None] + atom[:, 1:2, None] * up for atom in peptides(ca)
    )


def _cheapest(ca: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The state of each peptide, (L − 1,)."""
    c, n, _ = _turned(ca, x, y, z, angles)
    # around each inner Cα: from it to N of the peptide before, to C of the one behind, and bonds beyond those
    to_n, to_c = n[:-1] - ca[1:-1, None], c[1:] - ca[1:-1, None]  # (L − 2, states, 3)
    before, behind = np.cross(c[:-1] - n[:-1], to_n), np.cross(to_c, n[1:] - c[1:])
    across = to_c.swapaxes(1, 2)
    long_n, long_c = (np.linalg.norm(one, axis=2, keepdims=True) for one in (to_n, to_c))
    bend = np.arccos(((to_n / long_n) @ (across / long_c.swapaxes(1, 2))).clip(-1, 1))
    # dihedrals as in `geometry`, written so that pairs of states meet in products of matrices alone
    phi = np.arctan2(long_n * before @ across, -np.cross(before, to_n) @ across)
    psi = np.arctan2(-to_n @ (long_c * behind).swapaxes(1, 2), -to_n @ np.cross(to_c, behind).swapaxes(1, 2))
    bins = [((np.degrees(one) + 180) // 10).astype(int) % 36 for one in (phi, psi)]
    costs = 0.5 * ((bend - g.N_CA_C) / BEND) ** 2 + 0.5 * rarity()[bins[0], bins[1]]
    total, back = np.zeros(angles.shape[1]), []
    for cost in costs:
        cost = total[:, None] + cost
        back.append(cost.argmin(0))
        total = cost.min(0)
    state = [int(total.argmin())]
    for choice in reversed(back):
        state.append(int(choice[state[-1]]))
    return np.array(state[::-1])
