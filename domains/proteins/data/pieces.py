"""Compact pieces of chains that are too long: more folds to learn from, and more strands."""

from collections.abc import Iterator

from domains.proteins import geometry
from domains.proteins.chain import Backbone

STEP = 16  # residues, from one piece to the next and from one length to the next
COMPACT = 1.0  # radius of gyration over that of real chains: half of these are below


def pieces(chain: Backbone, shortest: int, longest: int) -> Iterator[tuple[int, Backbone]]:
    """Pieces of `shortest` to `longest` residues that are as compact as whole chains, after where they begin.

    A piece cut at random is rarely a fold: what it lay against is gone, and it is longer than it would be.
    """
    for length in range(longest, shortest - 1, -STEP):
        for first in range(0, len(chain) - length + 1, STEP):
            if geometry.size(chain.ca[first : first + length]) <= COMPACT:
                yield first, chain.part(first, first + length)
