"""Geometry of protein backbones: angles, superposition, and atoms from other atoms. Ångström, radians.

Ideal values are means over real chains (Engh & Huber 1991 agree to 0.01 Å and 1°).
"""

import math
import warnings
from collections.abc import Sequence

import numpy as np

N_CA, CA_C, C_O, C_N = 1.460, 1.524, 1.233, 1.331
N_CA_C, CA_C_N, C_N_CA, CA_C_O = (math.radians(d) for d in (111.0, 116.7, 121.8, 120.4))
CA_CA = 3.80  # of a trans peptide
# Of cis peptides, three in a thousand, and the range that counts as such: 95 % do, and next to no others.
CIS_CA_CA, CIS_SHORTEST, CIS_LONGEST = 2.96, 2.8, 3.15
CIS_CA_C_N, CIS_C_N_CA = math.radians(118.6), math.radians(126.6)
RIGHT = 0.3  # Å that a bond between Cα may be off
OFF = 0.1  # Å: of real bonds between Cα, 99 in 100 are no further off; what is more is told
SLACK = 0.05  # Å beyond the least distance that clashes are pushed, so that not all of them return


def angle(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """The angle at b, (*), of points (*, 3).

    >>> float(angle(np.array([1.0, 0, 0]), np.zeros(3), np.array([0, 2.0, 0])).round(3))
    1.571
    """
    u, v = a - b, c - b
    # of the sine and the cosine, one is always well conditioned
    return np.arctan2(np.linalg.norm(np.cross(u, v), axis=-1), (u * v).sum(-1))


def dihedral(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """The angle between the planes abc and bcd, (*) in [-π, π], of points (*, 3); IUPAC's sign.

    >>> corners = np.array([[0.0, 1, 0], [0, 0, 0], [1, 0, 0], [1, 0, 1]])
    >>> float(np.degrees(dihedral(*corners)).round(3))
    90.0
    """
    axis = c - b
    u, v = np.cross(b - a, axis), np.cross(axis, d - c)
    sine = (np.cross(u, v) * axis).sum(-1) / np.linalg.norm(axis, axis=-1)
    return np.arctan2(sine, (u * v).sum(-1))


def placed(
    a: np.ndarray, b: np.ndarray, c: np.ndarray, length: float, bend: float, turn: np.ndarray | float
) -> np.ndarray:
    """The point d with |cd| = length, angle bcd = bend and dihedral abcd = turn (Parsons et al. 2005).

    Args:
        a, b, c: (*, 3).
        turn: (*).
    """
    x = _unit(c - b)
    z = _unit(np.cross(b - a, x))
    y = np.cross(z, x)
    turn = np.asarray(turn)[..., None]
    away = -math.cos(bend) * x + math.sin(bend) * (np.cos(turn) * y + np.sin(turn) * z)
    return c + length * away


def oxygens(backbone: np.ndarray) -> np.ndarray:
    """O of each residue, (L, 3), from N, CA and C, (L, 3, 3): in the plane of the peptide that follows.

    The last one stands as in an extended chain.
    """
    n, ca, c = backbone[:, 0], backbone[:, 1], backbone[:, 2]
    psi = np.full(len(n), math.radians(135.0))
    psi[:-1] = dihedral(n[:-1], ca[:-1], c[:-1], n[1:])
    return placed(n, ca, c, C_O, CA_C_O, psi + math.pi)


def torsions(coords: np.ndarray) -> np.ndarray:
    """φ, ψ and ω of each residue, (L, 3), from N, CA, C, ... (L, ≥ 3, 3); NaN where there is none."""
    n, ca, c = coords[:, 0], coords[:, 1], coords[:, 2]
    found = np.full((len(n), 3), np.nan)
    found[1:, 0] = dihedral(c[:-1], n[1:], ca[1:], c[1:])
    found[:-1, 1] = dihedral(n[:-1], ca[:-1], c[:-1], n[1:])
    found[:-1, 2] = dihedral(ca[:-1], c[:-1], n[1:], ca[1:])
    return found


def superposed(x: np.ndarray, onto: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotation R (3, 3), proper, and shift t (3,) so that x @ R.T + t is nearest to `onto`; both (N, 3).

    Reference: Kabsch 1976.
    """
    a, b = x.mean(0), onto.mean(0)
    u, _, vt = np.linalg.svd((x - a).T @ (onto - b))
    flip = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u @ flip @ vt).T
    return rotation, b - a @ rotation.T


def rmsd(x: np.ndarray, y: np.ndarray) -> float:
    """Root mean square distance of points (N, 3) after the best superposition."""
    rotation, shift = superposed(x, y)
    return float(np.sqrt(np.square(x @ rotation.T + shift - y).sum(1).mean()))


def cis(ca: np.ndarray) -> np.ndarray:
    """Which peptides of a Cα trace (L, 3) are cis, (L − 1,), by how near their Cα are."""
    length = np.linalg.norm(np.diff(ca, axis=0), axis=1)
    return (length > CIS_SHORTEST) & (length < CIS_LONGEST)


Tie = tuple[int, np.ndarray, float]  # a residue, a point in space, and how far its Cα must be from there


def size(ca: np.ndarray) -> float:
    """The radius of gyration of Cα, (residues, 3), over that of real chains as long: 3.12 N^.325 Å, a fit."""
    radius = np.sqrt(np.square(ca - ca.mean(0)).sum(1).mean())
    return float(radius / (3.12 * len(ca) ** 0.325))


def bonded(
    ca: np.ndarray,
    fixed: np.ndarray | None = None,
    ties: Sequence[Tie] = (),
    rounds: int = 1000,
    lowest: float = 3.6,
) -> np.ndarray:
    """The Cα trace (L, 3) with every bond of length CA_CA and no two others nearer than `lowest`.

    A bond as short as that of a cis peptide, among right ones, gets the length of such. Among wrong ones it
    is as wrong as they, and to a fixed residue there is none.

    Bonds and clashes are put right in turns, each by as little as it takes (Ryckaert et al. 1977, "SHAKE").
    What is left of them after the last round, as between fixed residues that are too far apart, is told by a
    warning.

    Args:
        ca: (L, 3), Å.
        fixed: residues that must not move, (L,).
        ties: distances from points in space that are kept like bonds.
        rounds: at most.
        lowest: Å.
    """
    x = ca.astype(float).copy()
    free = np.ones((len(x), 1)) if fixed is None else 1.0 - fixed[:, None]
    right = np.abs(np.linalg.norm(np.diff(x, axis=0), axis=1) - CA_CA) < RIGHT
    among = np.append(True, right[:-1]) & np.append(right[1:], True)
    wanted = np.where((cis(x) & among)[:, None] & (free[1:] + free[:-1] == 2), CIS_CA_CA, CA_CA)
    far = np.triu(free + free.T > 0, 3)
    loose = (free[1:] + free[:-1])[:, 0] > 0

    def left() -> tuple[float, np.ndarray, np.ndarray, np.ndarray]:
        """How far off the worst bond is; which pairs clash, their distances, and the vectors between them."""
        worst = (abs(np.linalg.norm(np.diff(x, axis=0), axis=1) - wanted[:, 0]) * loose).max(initial=0.0)
        away = x[:, None] - x[None]
        apart = np.linalg.norm(away, axis=2)
        return float(worst), far & (apart < lowest), apart, away

    for _ in range(rounds):
        for start in (0, 1):  # bonds that share no residue, all at once
            i = np.arange(start, len(x) - 1, 2)
            step = x[i + 1] - x[i]
            length = np.linalg.norm(step, axis=1, keepdims=True).clip(1e-6)
            move = step * (1 - wanted[i] / length) / (free[i] + free[i + 1]).clip(1)
            x[i] += free[i] * move
            x[i + 1] -= free[i + 1] * move
        for i, point, distance in ties:
            step = x[i] - point
            x[i] = point + step * distance / max(float(np.linalg.norm(step)), 1e-6)
        worst, near, apart, away = left()
        if worst < 0.01 and not near.any():
            break
        push = np.where(near, (lowest + SLACK - apart) / 2 / apart.clip(1e-6), 0.0)[..., None] * away
        x += free * (push.sum(1) - push.sum(0))
    else:
        worst, near, *_ = left()
        if worst > OFF or near.any():
            warnings.warn(
                f"a backbone could not be put right: bonds between Cα are up to {worst:.2f} Å off, and "
                f"{near.sum()} pairs nearer than {lowest:g} Å; draw it by another seed, or more residues "
                "between what is kept",
                stacklevel=2,
            )
    return x


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True).clip(1e-9)
