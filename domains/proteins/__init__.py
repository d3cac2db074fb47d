"""Protein backbones: drawn by length, around a motif, with a secondary structure; and judged.

Plain clouds of points go the same way.

data/         structure files, packed sets, clouds; which of them are alike; pieces of long ones
chain.py      a backbone or a cloud, what goes in and comes out
geometry.py   angles, superposition, atoms from other atoms; rebuild.py: N, C and O from Cα
backbone.py   the network; neighbours.py: its rounds that refine; frames.py: how chains and residues are seen
denoiser.py   how it is trained and drawn from; losses.py: what is trained beside coordinates
recipes.py    how the models are made
adapter.py    between Å and what the network sees
dataset.py    training batches
model.py      the verbs; contigs.py: what is kept and what is drawn around it
evaluation/   measures, beside real chains and simple constructions
plots.py      pictures, and pages that show a backbone
"""

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domains.proteins.adapter import ProteinAdapter, restored, spread
from domains.proteins.backbone import Network
from domains.proteins.chain import Backbone, Cloud
from domains.proteins.denoiser import ProteinDenoiser
from domains.proteins.model import ProteinModel
from domains.proteins.recipes import RECIPES, ProteinRecipe
from zoo.domain import Domain, EvaluateRequest, SampleRequest, Split, option
from zoo.errors import DataError, OptionError
from zoo.manifest import Source

if TYPE_CHECKING:
    import pandas as pd

    from domains.proteins.data import Chains
    from domains.proteins.dataset import ProteinItems

__all__ = ["Backbone", "Cloud", "ProteinModel", "domain"]

ONE_IN = 10  # clusters are for validation
KNOWN = 200  # real chains that folds are compared with
FEW = 10  # real chains: resampling fewer does not tell how much others would differ


@dataclass(frozen=True, kw_only=True)
class BackboneRequest(SampleRequest):
    """What `zoo sample` can ask of proteins."""

    data: Path | None = option(None, "A structure: with --contig, to build around; else to draw anew.")
    out: Path | None = option(
        None,
        "Write each backbone to a PDB file (mmCIF if that has no room; a cloud, .xyz) in this folder.",
    )
    plot: Path | None = option(None, "Write a page that shows all of them (.html).")
    length: int | None = option(None, "Residues, or points. [default: like the training data]")
    secondary: str | None = option(None, "Wanted secondary structure, a letter a residue: H, E, C or -.")
    contig: str | None = option(None, "What is kept and what is drawn, such as 10-20/A45-60/15.")
    missing: bool = option(False, "With --data: draw the residues that are missing inside its chain.")
    chain: str | None = option(None, "With --data: of several chains, this one. Contigs name theirs.")
    strength: float | None = option(
        None, "With --data alone: how far to go from that structure, 0 to 1. [default: 0.3]"
    )


@dataclass(frozen=True, kw_only=True)
class QualityRequest(EvaluateRequest):
    """What `zoo evaluate` can ask of proteins."""

    data: Path | None = option(
        None,
        "Real chains; those of one in ten clusters are compared with. [default: those held out for tests]",
    )
    n: int = option(200, "How many backbones to draw.")
    steps: int | None = option(None, "Steps of the sampler. [default: the model's own]")
    tm: int = option(0, "TM-scores too, of so many drawn and real chains (slow; needs the extra tm).")


class Proteins(Domain):
    """The domain object; see `zoo.domain.Domain` for the contract."""

    name = "proteins"
    recipes = RECIPES
    recipe_class = ProteinRecipe
    model_class = ProteinModel
    sample_request = BackboneRequest
    evaluate_request = QualityRequest

    def suited(self, recipe: ProteinRecipe, dataset: "ProteinItems") -> ProteinRecipe:
        # distances in Å have a meaning to the network; a cloud's unit is whatever it is
        return recipe if recipe.atoms == "points" else replace(recipe, scale=spread(dataset.chains.items))

    def denoiser(self, recipe: ProteinRecipe) -> ProteinDenoiser:
        if recipe.atoms == "points" and (
            recipe.bonds or recipe.clashes or recipe.told or recipe.correlation or recipe.pieces
        ):
            raise ValueError(
                "points have no bonds, no secondary structure and no order: bonds, clashes, told, "
                "correlation and pieces must be 0"
            )
        if recipe.shortest > recipe.longest:
            raise ValueError(f"shortest is {recipe.shortest}, longest {recipe.longest}")
        values, ordered = 12 if recipe.atoms == "backbone" else 3, recipe.atoms != "points"
        return ProteinDenoiser(
            Network(recipe.network, values, recipe.scale, ordered=ordered),
            recipe.path,
            recipe.scaling,
            recipe.objective,
            lddt=recipe.lddt,
            bonds=recipe.bonds,
            clashes=recipe.clashes,
            distogram=recipe.distogram,
            correlation=recipe.correlation,
        )

    def dataset(
        self, source: Any, split: Split, recipe: ProteinRecipe, adapter: ProteinAdapter | None = None
    ) -> "ProteinItems":
        from domains.proteins.dataset import ProteinItems

        everything = self._found(source, recipe)
        chains = _fitting(everything, recipe)
        long: Sequence[Backbone] = ()
        if adapter is not None and split == "train":
            notes = list(chains.notes)
            if recipe.pieces:
                long = unlike(everything, side(chains, "validation"), recipe)
            if long:
                notes.insert(0, f"{len(long)} chains are longer: compact pieces of them are trained on")
            if notes:
                warnings.warn(f"left out or cut ({len(notes)}): {'; '.join(notes[:5])}", stacklevel=2)
        return ProteinItems(side(chains, split), recipe, adapter, long)

    def chains(self, source: Any, recipe: ProteinRecipe) -> "Chains":
        """The chains of the recipe's lengths, or clouds, of a source; None for its own, below ZOO_DATA.

        Raises:
            DataError: if there are none.
        """
        return _fitting(self._found(source, recipe), recipe)

    def _found(self, source: Any, recipe: ProteinRecipe) -> "Chains":
        """Chains of any length."""
        from domains.proteins.data import read
        from domains.proteins.data.known import known

        clouds = recipe.atoms == "points"
        if source is not None:
            return read(source, clouds=clouds, resolution=recipe.resolution)
        if clouds:
            raise DataError("this recipe has no data of its own: give clouds, .npz, .xyz or .ply")
        return known()

    def adapter(self, recipe: ProteinRecipe, dataset: "ProteinItems") -> ProteinAdapter:
        items = dataset.chains.items
        lengths = tuple(sorted(min(len(one), recipe.longest) for one in items))
        return ProteinAdapter(recipe.atoms, spread(items), lengths)

    def adapter_from(self, state: dict[str, Any]) -> ProteinAdapter:
        return restored(state)

    def example(self) -> "Chains":
        """Twenty hairpins, of two helices or two strands, with ideal geometry."""
        from domains.proteins.data import Chains
        from domains.proteins.evaluation.baselines import grown

        rng, made = np.random.default_rng(0), []
        helix, strand, turn = np.radians([[91, 50], [124, -170], [110, -120]])
        for i in range(20):
            arm = np.tile((helix, strand)[i % 2], (18 + i % 5, 1))
            angles = np.concatenate([arm, np.tile(turn, (3, 1)), arm])
            made.append(grown(angles + rng.normal(0, 0.03, angles.shape)))
        return Chains(tuple(made), sources=(Source("hairpins made in code", "CC0-1.0"),))

    def sample(self, model: ProteinModel, request: BackboneRequest) -> list[Path]:
        from domains.proteins.plots import page

        _refuse_what_is_not_used(request)
        if request.out is not None and request.out.is_file():
            raise OptionError(f"{request.out}: is a file; name a folder")
        if request.plot is not None and request.plot.suffix.lower() != ".html":
            raise OptionError(f"{request.plot}: is written as a page; call it .html")
        how: dict[str, Any] = {"steps": request.steps, "sampler": request.sampler, "seed": request.seed}
        guided = how | {"secondary": request.secondary, "guidance": request.guidance}
        if request.data is None:
            drawn = model.sample(request.n, length=request.length, **guided)
        elif request.contig is not None:
            drawn = model.scaffold(request.data, request.contig, request.n, length=request.length, **guided)
        elif request.missing:
            drawn = model.inpaint(request.data, request.n, chain=request.chain, **guided)
        else:
            strength = 0.3 if request.strength is None else request.strength
            drawn = model.edit(request.data, strength, request.n, chain=request.chain, **guided)
        files = []
        if request.out is not None:
            files += [_written(one, request.out / f"{i:05}") for i, one in enumerate(drawn)]
        if request.plot is not None:
            page(drawn, request.plot)
            files.append(request.plot)
        return files

    def evaluate(self, model: ProteinModel, request: QualityRequest) -> "pd.DataFrame":
        from domains.proteins.evaluation import reference
        from domains.proteins.evaluation.table import folds, table

        if model.adapter.atoms == "points":
            raise OptionError("these measures are of proteins; this model draws clouds of points")
        if request.n < 2 or request.tm < 0 or request.tm == 1:
            raise OptionError("-n must be at least 2, and --tm 0 or at least 2")
        if request.data is None and model.provenance.data_given:
            raise OptionError("this model was trained on data of its own: give --data")
        train, held = self._sides(request, model.recipe)
        real = reference.shipped() if request.data is None else reference.made(train, held, request.seed)
        drawn = model.sample(request.n, steps=request.steps, seed=request.seed)
        asked = []
        if model.recipe.told:
            asked = model.sample(
                len(real.asked), secondary=real.asked, steps=request.steps, seed=request.seed
            )
        columns = {"model": real.column(drawn, asked, request.seed)} | real.columns
        if request.tm:
            order = np.random.default_rng(request.seed).permutation(len(train))
            known = [train[i] for i in order[:KNOWN]]
            for name, chains in (("model", drawn), ("real", held)):
                columns[name] = columns[name] | folds(chains[: request.tm], known, request.seed)
        return table(columns)

    def _sides(
        self, request: QualityRequest, recipe: ProteinRecipe
    ) -> tuple[Sequence[Backbone], Sequence[Backbone]]:
        """Real chains like the training data, and held-out ones; none where no measure needs them.

        Of chains that are given, those of one in ten clusters are held out; a warning tells if they are few.
        """
        from domains.proteins.evaluation import reference

        if request.data is None:
            return reference.own(request.seed) if request.tm else ((), ())
        chains = self.chains(request.data, recipe)
        train, held = (side(chains, split).items for split in ("train", "validation"))
        if len(held) < FEW:
            warnings.warn(
                f"{request.data}: one in {ONE_IN} clusters of its chains is compared with (chains: "
                f"{len(held)}), and the intervals mean little",
                stacklevel=3,
            )
        order = np.random.default_rng(request.seed).permutation(len(held))
        return train, [held[i] for i in order[: request.n]]

    def demo(self, model: ProteinModel, folder: Path) -> list[Path]:
        """Four backbones: as PDB files, on a page, as a picture, and the angles and distances of one."""
        from domains.proteins.plots import page, traces

        if model.adapter.atoms == "points":
            page(model.sample(4, seed=0), folder / "proteins.html")
            return [folder / "proteins.html"]
        drawn = model.sample(4, length=96, seed=0)
        drawn[0].plot(folder / "proteins-angles.png")
        page(drawn, folder / "proteins.html")
        files = [one.to_pdb(folder / f"proteins-{i}.pdb") for i, one in enumerate(drawn)]
        pictures = [traces(drawn, folder / "proteins.png"), folder / "proteins-angles.png"]
        return [*files, *pictures, folder / "proteins.html"]


def _written(one: Backbone | Cloud, path: Path) -> Path:
    """Writes what was drawn under a path that has no ending yet; see `BackboneRequest.out`."""
    from domains.proteins.data.structures import fits_pdb

    if isinstance(one, Cloud):
        return one.to_xyz(path.with_suffix(".xyz"))
    return one.to_pdb(path.with_suffix(".pdb")) if fits_pdb(one) else one.to_cif(path.with_suffix(".cif"))


def _fitting(chains: "Chains", recipe: ProteinRecipe) -> "Chains":
    """Those of the recipe's lengths; larger clouds fit as well.

    Raises:
        DataError: if there are none.
    """
    from domains.proteins.data import read

    clouds = recipe.atoms == "points"
    return read(chains, recipe.shortest, None if clouds else recipe.longest, clouds=clouds)


def unlike(chains: "Chains", held: "Chains", recipe: ProteinRecipe) -> Sequence[Backbone]:
    """The chains longer than those of the recipe that are like none of those held out."""
    from domains.proteins.data import clusters

    long = [one for one in chains.items if len(one) > recipe.longest]
    named = clusters((*long, *held.items))
    apart = set(named[len(long) :])
    return [one for one, name in zip(long, named[: len(long)], strict=True) if name not in apart]


def side(chains: "Chains", split: Split) -> "Chains":
    """The chains of a split: of every ten clusters, one is for validation, chosen by the hash of its name.

    Raises:
        DataError: if there are fewer than two clusters.
    """
    from domains.proteins.data import clusters

    named = clusters(chains.items)
    names = sorted(set(named), key=lambda name: hashlib.blake2b(name.encode()).digest())
    if len(names) < 2:
        raise DataError("all chains are alike: there must be another, to hold out")
    held = set(names[: -(-len(names) // ONE_IN)])
    items = (
        one for one, name in zip(chains.items, named, strict=True) if (name in held) == (split != "train")
    )
    return replace(chains, items=tuple(items))


def _refuse_what_is_not_used(request: BackboneRequest) -> None:
    """Refuses options that would be of no effect.

    Raises:
        OptionError: naming the first.
    """
    data, contig, missing = request.data is not None, request.contig is not None, request.missing
    wrong = {
        "--contig speaks of a structure: give that by --data": contig and not data,
        "--missing speaks of a structure: give that by --data": missing and not data,
        "--strength says how far to go from a structure: give that by --data": (
            request.strength is not None and not data
        ),
        "--contig says what is kept, and --strength and --missing are other ways": (
            contig and (missing or request.strength is not None)
        ),
        "--missing keeps all that is there: --strength is of no use": missing
        and request.strength is not None,
        "--chain is of a structure whose contig does not name it: give --data, and no --contig": (
            request.chain is not None and (contig or not data)
        ),
        "--length is that of the structure": data and not contig and request.length is not None,
    }
    for told, is_so in wrong.items():
        if is_so:
            raise OptionError(told)


domain = Proteins()
