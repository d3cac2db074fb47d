"""The verbs of proteins."""

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from domains.proteins import contigs
from domains.proteins.adapter import SHORTEST, ProteinAdapter
from domains.proteins.chain import Backbone, Shape, one_of
from domains.proteins.contigs import LONGEST, Layout
from domains.proteins.data import read
from domains.proteins.dataset import LETTERS
from domains.proteins.denoiser import Drawing, Ragged
from domains.proteins.recipes import ProteinRecipe
from zoo.engine import ClassifierFree
from zoo.errors import OptionError
from zoo.model import Model, whole

PAIRS = 32 * 128 * 128  # of residues, in backbones that are drawn at once: bounds the memory
LEAST_FULL = 0.8  # how short the shortest of them may be beside the longest, to which they are padded
Structure = str | PathLike[str] | Shape | Sequence[Shape]


@dataclass(frozen=True, eq=False)
class Asked:
    """What one backbone is to be: so many residues, and perhaps some of them kept."""

    count: int
    layout: Layout | None = None


class Given(NamedTuple):
    """What the sampler is given, as in `zoo.Model.draw`; and where its origin lies, (3,), Å."""

    start: torch.Tensor | None = None
    known: torch.Tensor | None = None
    mask: torch.Tensor | None = None
    middle: np.ndarray | float = 0.0


class ProteinModel(Model):
    """Draws backbones, or clouds if it was trained on those."""

    recipe: ProteinRecipe
    adapter: ProteinAdapter

    def sample(
        self,
        n: int = 1,
        *,
        length: int | Sequence[int] | None = None,
        secondary: str | Sequence[str] | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> list[Any]:
        """Draws n backbones, or clouds.

        Args:
            length: residues or points, or one number for each; None draws lengths like the training data's.
                Of residues, more or fewer than in training are told by a warning, here and in other verbs.
            secondary: what is wanted of each residue: H helix, E strand, C neither, "-" for anything; its
                length is that of the chain. One for all, or one for each.
            guidance: of the secondary structure: 1 as it is, more makes it surer.
            n, steps, sampler, seed, device: as in `zoo.Model.sample`.

        Raises:
            OptionError: for a length or letters that there are not.
        """
        n = whole("n", n)
        if isinstance(secondary, str) and length is None:
            length = len(secondary)
        elif isinstance(secondary, Sequence) and length is None:
            length = [len(str(one)) for one in secondary]
        if length is None:
            lengths = [int(_rng(seed, i).choice(self.adapter.lengths)) for i in range(n)]
        else:
            lengths = list(length) if isinstance(length, Sequence | np.ndarray) else [length] * n
        if len(lengths) != n:
            raise OptionError(f"{len(lengths)} lengths for {n} backbones: give one, or one for each")
        asked = [Asked(_length(one)) for one in lengths]
        return self._draw(asked, seed, secondary, guidance, steps=steps, sampler=sampler, device=device)

    def scaffold(
        self,
        structure: Structure,
        contig: str,
        n: int = 1,
        *,
        length: int | None = None,
        secondary: str | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> list[Backbone]:
        """Draws n backbones around residues of a structure, which stay exactly where and as they are.

        Args:
            structure: a file, a backbone, or the pieces of one structure.
            contig: what is kept and what is drawn: see `contigs`.
            length: residues in all; None for any that the contig allows.
            secondary: as in `sample`, for all residues, those that are kept as well.
            n, steps, sampler, guidance, seed, device: as in `sample`.

        Returns:
            The backbones; `Backbone.kept` says which of their residues were kept.

        Raises:
            OptionError: for a contig that does not fit the structure, or parts that cannot be joined.
            DataError: if the structure cannot be read.
        """
        parts = contigs.parsed(contig, self._pieces(structure))
        if isinstance(secondary, str) and length is None:
            length = len(secondary)
        layouts = [parts.laid_out(_rng(seed, i), length) for i in range(whole("n", n))]
        asked = [Asked(_length(len(one.kept)), one) for one in layouts]
        return self._draw(asked, seed, secondary, guidance, steps=steps, sampler=sampler, device=device)

    def inpaint(
        self,
        structure: Structure,
        n: int = 1,
        *,
        chain: str | None = None,
        secondary: str | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> list[Backbone]:
        """Draws the residues that are missing inside a chain, n times; the others stay exactly as they are.

        Args:
            structure: a file, or pieces of one structure; the numbers of residues say how many are missing.
            chain: which; None for the only one.
            n, secondary, steps, sampler, guidance, seed, device: as in `sample`.

        Returns:
            The whole chains, under their own name and numbers; `Backbone.kept` says what was there.

        Raises:
            OptionError: if nothing is missing, or the numbers do not say how much.
            DataError: if the structure cannot be read.
        """
        own = _of_chain(self._pieces(structure), chain)
        layout = contigs.bridged(own).laid_out(_rng(seed, 0))
        asked = [Asked(len(layout.kept), layout)] * whole("n", n)
        found = self._draw(asked, seed, secondary, guidance, steps=steps, sampler=sampler, device=device)
        numbers = contigs.bridged_numbers(own)
        return [replace(one, numbers=numbers, chain=own[0].chain) for one in found]

    def edit(
        self,
        structure: Structure,
        strength: float = 0.3,
        n: int = 1,
        *,
        chain: str | None = None,
        secondary: str | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        guidance: float | None = None,
        seed: int = 0,
        device: str | None = None,
    ) -> list[Any]:
        """Draws n backbones, or clouds, that are like one: it is blurred by noise and drawn anew ("partial
        diffusion"). They lie where it lies.

        Args:
            structure: a file of one unbroken chain, a backbone, or a cloud.
            strength: share of noise in the mixture, in (0, 1).
            chain: which; None for the only one.
            n, secondary, steps, sampler, guidance, seed, device: as in `sample`.

        Returns:
            Backbones under the chain's name and numbers, or clouds.

        Raises:
            OptionError: for a strength out of range, several chains, or a chain of a cloud.
            DataError: if the structure cannot be read.
        """
        if chain is not None and self.adapter.atoms == "points":
            raise OptionError("a cloud has no chains: leave chain out")
        if not isinstance(strength, Real) or not 0 < strength < 1:
            raise OptionError(f"strength must lie in (0, 1), not {strength}")
        shapes = self._shapes(structure)
        start = one_of(shapes if chain is None else _of_chain(shapes, chain), "one unbroken chain")
        asked = [Asked(_length(len(start)))] * whole("n", n)
        found = self._draw(
            asked,
            seed,
            secondary,
            guidance,
            start=start,
            strength=float(strength),
            steps=steps,
            sampler=sampler,
            device=device,
        )
        if not isinstance(start, Backbone):
            return found
        return [replace(one, numbers=start.numbers, chain=start.chain) for one in found]

    def _shapes(self, structure: Structure) -> tuple[Any, ...]:
        if isinstance(structure, str | PathLike) and Path(structure).expanduser().is_dir():
            raise OptionError(f"{structure}: is a folder; one structure is wanted")
        source = list(structure) if isinstance(structure, tuple) else structure
        chains = read(source, clouds=self.adapter.atoms == "points")
        if chains.notes:
            warnings.warn(f"left out or cut: {'; '.join(chains.notes[:5])}", stacklevel=4)
        return chains.items

    def _pieces(self, structure: Structure) -> tuple[Backbone, ...]:
        if self.adapter.atoms == "points":
            raise OptionError("this model draws clouds of points, which have no residues")
        return self._shapes(structure)

    def _draw(
        self,
        asked: Sequence[Asked],
        seed: int,
        secondary: str | Sequence[str] | None,
        guidance: float | None,
        *,
        start: Shape | None = None,
        strength: float = 1.0,
        steps: int | None,
        sampler: str | None,
        device: str | None = None,
    ) -> list[Any]:
        """Draws what is asked for, member i by the noise of (seed, i); what is asked alike, together."""
        wanted = None if secondary is None else self._letters(secondary, [one.count for one in asked])
        weight = self._weight(wanted, guidance)
        low, high = self.recipe.shortest, self.recipe.longest
        outside = sorted({one.count for one in asked if not low <= one.count <= high})
        if outside and self.adapter.atoms != "points":
            warnings.warn(
                f"a length of {', '.join(map(str, outside[:5]))}: this model was trained on {low} to {high} "
                "residues, and draws others less well",
                stacklevel=3,
            )
        found: dict[int, Shape] = {}
        for part in _together(asked):
            counts, layout = [asked[i].count for i in part], asked[part[0]].layout
            longest, given = max(counts), self._given(layout, start)
            told = torch.zeros(1, longest, dtype=torch.long)
            if wanted is not None:
                told = pad_sequence([wanted[i] for i in part], batch_first=True)
            present = torch.arange(longest) < torch.tensor(counts)[:, None]
            denoiser = Drawing(self.denoiser, whole=layout is None)
            if weight is not None:
                nothing = {"secondary": torch.zeros(1, longest, dtype=torch.long)}
                denoiser = ClassifierFree(denoiser, weight, nothing)
            drawn = self.draw(
                Ragged(seed, part, counts),
                (longest, self.adapter.values),
                cond={"present": present, "secondary": told},
                denoiser=denoiser,
                strength=strength,
                steps=steps,
                sampler=sampler,
                device=device,
                start=given.start,
                known=given.known,
                mask=given.mask,
            )
            for i, x in zip(part, drawn.x, strict=True):
                found[i] = self.adapter.decode(x[: asked[i].count], layout, given.middle)
        return [found[i] for i in range(len(asked))]

    def _given(self, layout: Layout | None, start: Shape | None) -> Given:
        if start is not None:
            x = self.adapter.encode(start)
            there = torch.ones(len(x), dtype=torch.bool)
        elif layout is not None:
            x, there = self.adapter.encode(layout.coords), torch.from_numpy(layout.kept)
        else:
            return Given()
        points = x.unflatten(1, (-1, 3))
        middle = points[there].mean((0, 1))  # where training had it
        x = torch.where(there[:, None, None], points - middle, 0.0).flatten(1)[None]
        at = middle.double().numpy() * self.adapter.scale
        if layout is None:
            return Given(start=x, middle=at)
        return Given(known=x, mask=~there[None, :, None], middle=at)

    def _letters(self, secondary: str | Sequence[str], counts: Sequence[int]) -> list[torch.Tensor]:
        if not self.recipe.told:
            raise OptionError("this model was never told a secondary structure: it takes none")
        several = isinstance(secondary, Sequence) and all(isinstance(one, str) for one in secondary)
        if not several:
            raise OptionError(f"secondary structure is a string of letters, or several, not {secondary!r}")
        each = [secondary] * len(counts) if isinstance(secondary, str) else list(secondary)
        if len(each) != len(counts):
            raise OptionError(
                f"{len(each)} secondary structures for {len(counts)} backbones: give one, or one for each"
            )
        for one, count in zip(each, counts, strict=True):
            unknown = sorted(set(one.upper()) - {*LETTERS, "-"})
            if unknown:
                raise OptionError(f"secondary structure is letters H, E, C and -, not {unknown[0]!r}")
            if len(one) != count:
                raise OptionError(f"a secondary structure of {len(one)} residues, but a length of {count}")
        return [torch.tensor([LETTERS.get(letter, 0) for letter in one.upper()]) for one in each]

    def _weight(self, wanted: Sequence[torch.Tensor] | None, guidance: float | None) -> float | None:
        """Of the guidance; None where there is nothing to guide."""
        weight = self.recipe.sampling.guidance if guidance is None else guidance
        if weight is not None and (not isinstance(weight, Real) or not math.isfinite(weight)):
            raise OptionError(f"guidance must be a finite number, not {weight!r}")
        if wanted is None and guidance is not None:
            raise OptionError("guidance is of a secondary structure: say which (secondary=..., --secondary)")
        idle = wanted is None or not any(one.any() for one in wanted)
        return None if idle or weight is None or weight == 1 else float(weight)


def _together(asked: Sequence[Asked]) -> Iterator[list[int]]:
    """Which are drawn at once: those with the same layout; without one, those of about the same length."""
    groups: dict[tuple[int, bytes] | None, list[int]] = {}
    for i, one in enumerate(asked):
        key = None if one.layout is None else (one.count, one.layout.kept.tobytes())
        groups.setdefault(key, []).append(i)
    for rows in groups.values():
        rows.sort(key=lambda i: asked[i].count, reverse=True)
        while rows:
            longest = asked[rows[0]].count
            most = max(1, PAIRS // longest**2)
            part = [i for i in rows[:most] if asked[i].count >= LEAST_FULL * longest]
            del rows[: len(part)]
            yield part


def _of_chain(pieces: Sequence[Backbone], chain: str | None) -> list[Backbone]:
    """The pieces of one chain; all of them, if none is named."""
    own = [piece for piece in pieces if chain in (None, piece.chain)]
    if not own:
        there = ", ".join(sorted({piece.chain for piece in pieces}))
        raise OptionError(f"no chain {chain!r}; there are: {there}")
    return own


def _rng(seed: int, member: int) -> np.random.Generator:
    """What is chosen of a member beside its noise; a function of (seed, member) alone."""
    return np.random.default_rng([whole("seed", seed, -(2**63)) % 2**64, member])


def _length(value: Any) -> int:
    length = whole("length", value, SHORTEST)
    if length > LONGEST:
        raise OptionError(f"length must be at most {LONGEST}, not {length}")
    return length
