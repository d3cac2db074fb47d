"""The recipes of this domain's models."""

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from domains.proteins.adapter import SHORTEST, Atoms
from domains.proteins.backbone import Size
from domains.proteins.contigs import LONGEST
from zoo.domain import Recipe, Sampling, Training
from zoo.engine.objective import Beta, Objective

Share = Annotated[float, Ge(0), Le(1)]
Length = Annotated[int, Ge(SHORTEST), Le(LONGEST)]


@dataclass(frozen=True, kw_only=True)
class ProteinRecipe(Recipe):
    """Adds what a residue is, the network's sizes, and what is trained beside plain generation.

    Attributes:
        atoms: "ca" draws Cα, and the others are rebuilt; "backbone" draws N, CA, C and O; "points" draws
            points in no order, which have no bonds and no secondary structure.
        shortest, longest: residues of a chain; others are left out. Of a cloud with more points, `longest`
            are drawn for each batch.
        network: its sizes.
        scale: standard deviation of coordinates, Å; set from the data. For points, what stands for it where
            the network bins distances.
        told: share of chains that are trained with their secondary structure, half of them with a part of it.
        motifs: share of chains that are trained with a part of them given.
        pieces: share of what is trained on that is compact pieces of chains longer than `longest`.
        resolution: of structure files that are trained on, Å, at worst, where they say it.
        lddt, bonds, clashes, distogram: weights of the auxiliary losses.
        correlation: of the noise of neighbouring residues; 0 for noise that knows no chain.
    """

    domain: Literal["proteins"] = "proteins"
    atoms: Atoms = "backbone"
    shortest: Length = 40
    longest: Length = 128
    network: Size = Size()
    scale: Annotated[float, Gt(0)] = 9.0
    told: Share = 0.5
    motifs: Share = 0.2
    pieces: Share = 0.0
    resolution: Annotated[float, Gt(0)] = 3.5
    lddt: Annotated[float, Ge(0)] = 2.0
    bonds: Annotated[float, Ge(0)] = 0.5
    clashes: Annotated[float, Ge(0)] = 0.5
    distogram: Annotated[float, Ge(0)] = 0.1
    correlation: Annotated[float, Ge(0), Lt(1)] = 0.0


FLOW = ProteinRecipe(
    name="proteins-flow",
    pieces=0.15,
    path="linear",
    scaling="flow",
    objective=Objective(Beta(1.0, 1.9, shift=1.5)),
    training=Training(
        steps=14000,
        batch_size=16,
        lr=2e-3,
        muon=("blocks", "attention", "rounds"),
        validate_every=500,
        ema_widths=(0.05, 0.1),
        warmup=0.02,
    ),
    finetuning=Training(steps=1000, batch_size=16, lr=2e-4, validate_every=100),
    sampling=Sampling(sampler="sde", steps=200, grid="logistic", guidance=2.0),
    summary="Draws backbones of small proteins: of a length, around a motif, with a secondary structure.",
    limits="Up to 128 residues, with few paired strands; nobody has expressed what it draws.",
    licence="MIT",
)
POINTS = replace(
    FLOW,
    training=replace(FLOW.training, steps=8000, muon=("blocks", "attention")),  # there are no rounds
    name="proteins-points",
    atoms="points",
    shortest=16,
    longest=256,
    told=0.0,
    motifs=0.0,
    pieces=0.0,
    lddt=0.0,
    bonds=0.0,
    clashes=0.0,
    distogram=0.0,
    summary="Draws clouds of points in no order.",
    limits="A few hundred points: every pair of them is looked at.",
)
RECIPES = {recipe.name: recipe for recipe in (FLOW, POINTS)}
