"""What is kept of a structure and what is drawn around it, in RFdiffusion's words: "10-20/A45-60/15".

Parts stand in the order of the chain. A number or range of numbers is that many residues to be drawn; a
chain and a range, or one number, are residues of the structure, which are kept. Chains that are not called by
letters are set off by a colon: "1:45-60".
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from domains.proteins.chain import UNKNOWN, Backbone
from domains.proteins.geometry import CA_CA
from zoo.errors import OptionError

FREE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?")
NUMBER = r"-?\d+[A-Za-z]?"
KEPT = re.compile(rf"(?:([A-Za-z_]+)|(\w+):)({NUMBER})(?:-({NUMBER}))?")
PLACE = re.compile(r"(-?\d{1,9})[A-Za-z]?")  # of a residue: its number, and perhaps a letter
LONGEST = 1024  # residues that can be drawn: pairs of them fill the memory
BOND = 0.6  # Å by which neighbours that are both kept may be off a bond


@dataclass(frozen=True)
class Free:
    """`low` to `high` residues to be drawn."""

    low: int
    high: int


@dataclass(frozen=True, eq=False)
class Layout:
    """One choice of the free lengths.

    Attributes:
        coords: (residues, 4, 3), float32, Å; zeros where to draw.
        kept: (residues,).
        sequence: a letter a residue, "X" where to draw.
    """

    coords: np.ndarray
    kept: np.ndarray
    sequence: str

    def put_into(self, coords: np.ndarray) -> Backbone:
        """The backbone of drawn coords, (residues, 4, 3), with what is kept in its place, exactly."""
        whole = np.where(self.kept[:, None, None], self.coords, coords)
        return Backbone(whole, self.sequence, kept=self.kept)


@dataclass(frozen=True)
class Contig:
    """Parts in the order of the chain, kept ones as backbones; see `parsed`."""

    parts: tuple[Free | Backbone, ...]

    @property
    def lengths(self) -> tuple[int, int]:
        """The fewest and the most residues in all."""
        low, high = (
            sum(getattr(part, end) if isinstance(part, Free) else len(part) for part in self.parts)
            for end in ("low", "high")
        )
        return low, high

    def laid_out(self, rng: np.random.Generator, length: int | None = None) -> Layout:
        """One choice of the free lengths.

        Args:
            rng: chooses evenly among what is left.
            length: residues in all; None for any.

        Raises:
            OptionError: if the length cannot be had.
        """
        low, high = self.lengths
        if length is not None and not low <= length <= high:
            raise OptionError(
                f"a length of {length} cannot be had: the contig takes {low} to {high} residues"
            )
        counts = [part.low if isinstance(part, Free) else len(part) for part in self.parts]
        most = [part.high if isinstance(part, Free) else len(part) for part in self.parts]
        for _ in range((int(rng.integers(low, high + 1)) if length is None else length) - low):
            room = [i for i, count in enumerate(counts) if count < most[i]]
            counts[room[int(rng.integers(len(room)))]] += 1
        pairs = list(zip(self.parts, counts, strict=True))
        empty = np.zeros((1, 4, 3), np.float32)
        return Layout(
            np.concatenate([empty.repeat(n, 0) if isinstance(p, Free) else p.coords for p, n in pairs]),
            np.concatenate([np.full(n, isinstance(p, Backbone)) for p, n in pairs]),
            "".join(UNKNOWN * n if isinstance(p, Free) else p.sequence for p, n in pairs),
        )


def parsed(text: str, chains: Sequence[Backbone]) -> Contig:
    """The contig of a text, checked against the structure that it speaks of.

    Args:
        text: as above.
        chains: the pieces of the structure's chains.

    Raises:
        OptionError: for a part that cannot be read, or residues that are not there; it says which there are.
    """
    if not isinstance(text, str):
        raise OptionError(f"a contig is a text, such as 10-20/A45-60/15, not {text!r}")
    parts: list[Free | Backbone] = []
    for word in (word.strip() for word in text.split("/")):
        if match := FREE.fullmatch(word):
            low, high = int(match[1]), int(match[2] or match[1])
            if low > high:
                raise OptionError(f"contig {word!r}: {low} is more than {high}")
            parts.append(Free(low, high))
        elif match := KEPT.fullmatch(word):
            parts.append(_kept(match[1] or match[2], match[3], match[4] or match[3], chains, word))
        else:
            raise OptionError(
                f"contig {word!r}: a number of residues (15, 10-20) or a chain and its residues (A45-60) is "
                "wanted"
            )
    return _checked(parts, f"contig {text!r}")


def bridged(chains: Sequence[Backbone]) -> Contig:
    """The contig that keeps the pieces of one chain and draws what is missing between them.

    Raises:
        OptionError: if there is nothing missing, pieces are of several chains, or their numbers do not say
            how much is missing, or are no numbers.
    """
    names = sorted({piece.chain for piece in chains})
    if len(names) > 1:
        raise OptionError(f"there are several chains: {', '.join(names)}; say chain=, one of these")
    if len(chains) < 2:
        raise OptionError(f"nothing is missing in chain {names[0]}: it is of one piece")
    parts: list[Free | Backbone] = [chains[0]]
    for before, behind in pairwise(chains):
        missing = _between(before, behind)
        if not missing:
            raise OptionError(
                f"chain {names[0]} is broken between {before.numbers[-1]} and {behind.numbers[0]}: these "
                "numbers do not say how many residues are missing; say it by a contig"
            )
        parts += [Free(len(missing), len(missing)), behind]
    return _checked(parts, f"chain {names[0]} with what is missing")


def bridged_numbers(chains: Sequence[Backbone]) -> tuple[str, ...]:
    """What the residues of `bridged` pieces are called, those that were missing among them."""
    found = list(chains[0].numbers)
    for before, behind in pairwise(chains):
        found += [*map(str, _between(before, behind)), *behind.numbers]
    return tuple(found)


def _between(before: Backbone, behind: Backbone) -> range:
    """The numbers that are missing between two pieces of a chain."""
    last, first = _place(before, -1), _place(behind, 0)
    return range(last + 1, first)


def _place(piece: Backbone, at: int) -> int:
    """The number of a residue, without its letter."""
    match = PLACE.fullmatch(piece.numbers[at])
    if match is None:
        raise OptionError(
            f"residue {piece.numbers[at]!r} of chain {piece.chain}: its number is no number, perhaps with a "
            "letter: it does not say how many residues are missing"
        )
    return int(match[1])


def _checked(parts: Sequence[Free | Backbone], what: str) -> Contig:
    """The contig, in which no free part between kept ones is too short to lead from one to the other."""
    if not any(isinstance(part, Free) and part.high for part in parts):
        raise OptionError(f"{what} leaves nothing to draw")
    kept = [i for i, part in enumerate(parts) if isinstance(part, Backbone)]
    if not kept:
        raise OptionError(f"{what} keeps nothing: to draw freely, say a length")
    residues = [(parts[i].chain, number) for i in kept for number in parts[i].numbers]  # type: ignore[union-attr]
    if len(set(residues)) < len(residues):
        chain, number = next(one for one in residues if residues.count(one) > 1)
        raise OptionError(f"{what} keeps residue {number} of chain {chain} twice")
    fitted = list(parts)
    for before, behind in pairwise(kept):
        _span(fitted, before, behind, what)
    contig = Contig(tuple(fitted))
    if contig.lengths[1] > LONGEST:
        raise OptionError(f"{what} takes up to {contig.lengths[1]} residues; {LONGEST} can be drawn")
    return contig


def _span(parts: list[Free | Backbone], before: int, behind: int, what: str) -> None:
    """Raises the fewest residues between two kept parts to what their distance takes."""
    left, right = parts[before], parts[behind]
    assert isinstance(left, Backbone) and isinstance(right, Backbone)
    far = float(np.linalg.norm(left.ca[-1] - right.ca[0]))
    free = [(i, part) for i in range(before + 1, behind) if isinstance(part := parts[i], Free)]
    where = f"{what}: residues {left.chain}{left.numbers[-1]} and {right.chain}{right.numbers[0]}"
    most = sum(part.high for _, part in free)
    if not most and abs(far - CA_CA) > BOND:
        raise OptionError(f"{where} are {far:.1f} Å apart, which is no bond: draw residues between them")
    missing = max(math.ceil(far / CA_CA - 1e-3) - 1, 0) - sum(part.low for _, part in free)
    if most and missing > sum(part.high - part.low for _, part in free):
        raise OptionError(
            f"{where} are {far:.1f} Å apart: {most} residues do not reach, {math.ceil(far / CA_CA) - 1} may"
        )
    for i, part in free:
        more = min(max(missing, 0), part.high - part.low)
        parts[i], missing = Free(part.low + more, part.high), missing - more


def _kept(chain: str, first: str, last: str, chains: Sequence[Backbone], word: str) -> Backbone:
    own = [piece for piece in chains if piece.chain == chain]
    if not own:
        there = ", ".join(sorted({piece.chain for piece in chains}))
        raise OptionError(f"contig {word!r}: no chain {chain!r}; there are: {there}")
    for piece in own:
        if first in piece.numbers and last in piece.numbers:
            a, b = piece.numbers.index(first), piece.numbers.index(last)
            if a > b:
                raise OptionError(f"contig {word!r}: residue {last} stands before {first}")
            return piece.part(a, b + 1)
    there = ", ".join(f"{piece.numbers[0]}-{piece.numbers[-1]}" for piece in own)
    raise OptionError(
        f"contig {word!r}: these residues are not in one piece of chain {chain}; there are: {there}"
    )
