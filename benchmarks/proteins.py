"""What the protein models are worth: choices, motifs, secondary structure asked for, speed.

`zoo evaluate` measures quality; here is what it does not.

    pip install -e ".[bench,tm]"; export ZOO_DATA=/folder/that/holds/proteins
    python -m benchmarks.proteins heart       # one chain by heart: does it learn at all; two minutes
    python -m benchmarks.proteins choose      # short trainings that differ in one thing; validation chains;
                                              # with two processes: torchrun --nproc-per-node=2 -m ...
    python -m benchmarks.proteins samplers    # ways to draw from one model, beside validation chains
    python -m benchmarks.proteins motifs      # residues of chains for tests, scaffolded
    python -m benchmarks.proteins secondary   # secondary structure that was asked for, against guidance
    python -m benchmarks.proteins speed       # seconds for four backbones of 96 residues on two cores

All measures stand with their 95 % intervals, where they have one. A model is made fit to ship by

    zoo train proteins --out runs/proteins
    python -m benchmarks.proteins --ship ./runs/proteins FOLDER   # in half precision, its figures in the card

docs/proteins.md tells how the one that ships was trained.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

import zoo
from domains.proteins import Backbone, QualityRequest, domain, side
from domains.proteins import geometry as g
from domains.proteins.backbone import Size
from domains.proteins.data import Chains
from domains.proteins.data.known import known
from domains.proteins.dataset import ProteinItems
from domains.proteins.evaluation import metrics, reference
from domains.proteins.evaluation.table import Cell, Column, mean, measured
from domains.proteins.model import ProteinModel
from domains.proteins.recipes import FLOW, ProteinRecipe
from zoo import checkpoint, parallel, processes
from zoo.fit import fit
from zoo.loading import build
from zoo.manifest import Metric, Provenance

NAME = "proteins-flow"
SHOWN = (  # what decides
    "Cα-Cα within 0.2 Å, as drawn",
    "clashes / 100 residues, as drawn",
    "radius of gyration, ratio",
    "long contacts / residue",
    "helix",
    "strand",
    "theta-tau divergence, bits",
    "phi-psi divergence, bits",
)
BRIEF = 300  # steps of a training of `choose`
TOLD = (20, 30)  # shortest and longest motif


def row(*cells: object) -> None:
    if processes.main():
        print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def head(*cells: str) -> None:
    row(*cells)
    row(*("---" for _ in cells))


def told(cell: Cell) -> str:
    return f"{cell.value:.3g}" + (f" ({cell.interval})" if cell.interval else "")


def measures(name: str, column: Column, *more: str) -> None:
    row(name, *(told(column[measure]) if measure in column else "" for measure in SHOWN), *more)


def by_heart(chain: Backbone, n: int) -> list[float]:
    """Trains a small network on one chain, in two minutes of one core; RMSD of what it draws from it, Å."""
    training = replace(FLOW.training, steps=2000, batch_size=8, lr=3e-3, validate_every=1000)
    small = Size(width=64, depth=3, condition=64, pair=16, rounds=2, nearest=12, edge=32)
    recipe = replace(FLOW, network=small, training=training, told=0.0, motifs=0.0)
    raw = ProteinItems(Chains((chain,)), recipe, None)
    recipe = domain.suited(recipe, raw)
    adapter = domain.adapter(recipe, raw)
    items = ProteinItems(raw.chains, recipe, adapter)
    denoiser = build(domain, recipe, seed=0)
    denoiser.load_state_dict(fit(denoiser, items, items, training, show=False).tensors)
    nowhere = Provenance("", "", "", training.steps, training.steps, 0)
    model = ProteinModel(domain, recipe, adapter, denoiser.eval(), provenance=nowhere, name="", licence="")
    return [
        g.rmsd(one.ca.astype(float), chain.ca.astype(float)) for one in model.sample(n, length=len(chain))
    ]


def heart(model: str, n: int, steps: int, seed: int) -> None:
    """The first chain for validation that has 60 to 80 residues, whatever the arguments."""
    chain = side(known(60, 80), "validation").items[0]
    found = ", ".join(f"{one:.2f}" for one in sorted(by_heart(chain, 8)))
    print(f"{chain.name}, {len(chain)} residues: RMSD of eight samples, Å: {found}")


def validation(seed: int) -> reference.Reference:
    """What choices are judged by: chains that are held out, but not for tests."""
    data = known(FLOW.shortest, FLOW.longest)
    train, held = (side(data, split).items for split in ("train", "validation"))
    return reference.made(train, held, seed)


def choose(model: str, n: int, steps: int, seed: int) -> None:
    """Trainings of so many steps, against validation chains."""
    real = validation(seed)
    brief = replace(FLOW, training=replace(FLOW.training, steps=steps))
    no_rounds = replace(brief, network=replace(brief.network, rounds=0))
    ways = {
        f"the recipe, {steps} steps": brief,
        "no pieces": replace(brief, pieces=0.0),
        "correlated noise": replace(brief, correlation=0.97),
        "no rounds": replace(no_rounds, training=replace(brief.training, muon=("blocks", "attention"))),
        "Cα alone": replace(brief, atoms="ca"),
    }
    head("", *SHOWN, "seconds of training")
    measures("real", real.columns["real"], "")
    for name, recipe in ways.items():
        start = time.perf_counter()
        made = zoo.train(domain, recipe=recipe, show=False)
        seconds = time.perf_counter() - start
        column = measured(made.sample(n, seed=seed), real.angles, seed)  # type: ignore[attr-defined]
        measures(name, column, f"{seconds:.0f}")


def samplers(model: str, n: int, steps: int, seed: int) -> None:
    """Ways to draw from the model, against validation chains."""
    loaded, real = protein(model), validation(seed)
    head("sampler", *SHOWN)
    measures("real", real.columns["real"])
    for name, sampler, count in SAMPLERS:
        drawn = loaded.sample(n, sampler=sampler, steps=count, seed=seed)
        measures(name, measured(drawn, real.angles, seed))


SAMPLERS = (
    ("ODE, Adams, 50 steps", "adams2", 50),
    ("ODE, Adams, 100 steps", "adams2", 100),
    ("ODE, Euler, 100 steps", "euler", 100),
    ("SDE, 100 steps", "sde", 100),
    ("SDE, 200 steps", "sde", 200),
)


def motifs(model: str, n: int, steps: int, seed: int) -> None:
    """Pieces of twenty chains for tests, in the middle of chains as long as those they are of."""
    loaded, rng = protein(model), np.random.default_rng(seed)
    _, tests = reference.own(seed)
    away: list[float] = []
    drawn: list[Backbone] = []
    for i, chain in enumerate(tests[:20]):
        count = min(int(rng.integers(TOLD[0], TOLD[1] + 1)), len(chain) - 10)
        first = int(rng.integers(5, len(chain) - count - 4))
        motif = replace(chain.part(first, first + count), numbers=())
        contig = f"{first}/A1-{count}/{len(chain) - first - count}"
        for one in loaded.scaffold(replace(motif, chain="A"), contig, max(1, n // 20), seed=seed + i):
            kept = one.coords[first : first + count]
            away.append(float(np.sqrt(np.square(kept - motif.coords).sum(-1).mean())))  # where it lies
            drawn.append(one)
    print(f"{len(drawn)} scaffolds: motif RMSD at most {max(away):.4f} Å (N, CA, C, O)\n")
    angles = reference.shipped().angles
    head("", *SHOWN)
    measures("scaffolds", measured(drawn, angles, seed))
    measures("real, the same chains", measured(tests[:20], angles, seed))


def secondary(model: str, n: int, steps: int, seed: int) -> None:
    """Structures of chains for tests, asked for; beside chance: what the model draws of the same lengths."""
    loaded = protein(model)
    _, tests = reference.own(seed)
    asked = [one.secondary for one in tests[:n]]
    angles = reference.shipped().angles
    head("guidance", *SHOWN, "met")
    lengths = [len(one) for one in asked]
    ways = {"not asked": loaded.sample(len(asked), length=lengths, seed=seed)}
    for weight in (1.0, 1.5, 2.0, 3.0):
        ways[f"{weight:g}"] = loaded.sample(len(asked), secondary=asked, guidance=weight, seed=seed)
    for name, drawn in ways.items():
        met = mean([metrics.met(one, chain) for one, chain in zip(asked, drawn, strict=True)], seed)
        measures(name, measured(drawn, angles, seed), told(met))


FIGURES = (  # of the card: the measure, what stands beside it, whether less is better
    ("theta-tau divergence, bits", "real", True),
    ("phi-psi divergence, bits", "shuffled fragments", True),
    ("strand", "real", False),
    ("helix met", "shuffled fragments", False),
    ("strand met", "shuffled fragments", False),
)


def ship(made: str, folder: str, n: int, tm: int, seed: int) -> None:
    """Saves a model in half precision, evaluates that, and puts some figures into its card."""
    given = protein(made)
    if processes.main():
        checkpoint.write(Path(folder), given.pack(ref=given.name, precision="float16"))
    parallel.join(torch.device("cpu"))
    parallel.total(0)  # who comes here may load it
    measured = domain.evaluate(protein(folder), QualityRequest(n=n, tm=tm, seed=seed)).set_index("measure")
    if not processes.main():
        return
    names = [name for name in measured if f"{name}, interval" in measured]
    head("measure", *names)
    for measure, cells in measured.fillna("").iterrows():
        of = (Cell(cells[name], cells[f"{name}, interval"]) for name in names)
        row(measure, *("" if one.value == "" else told(one) for one in of))
    given.metrics = tuple(
        Metric(f"{measure}, {n} backbones", *measured.loc[measure, ["model", beside]], beside, less)
        for measure, beside, less in FIGURES
    )
    checkpoint.write(Path(folder), given.pack(ref=given.name, precision="float16"))


def speed(model: str, n: int, steps: int, seed: int) -> None:
    """Four backbones of 96 residues, all atoms, three times."""
    torch.set_num_threads(2)
    loaded = protein(model)
    loaded.sample(1, length=96, steps=2, device="cpu")
    seconds = []
    for again in range(3):
        start = time.perf_counter()
        loaded.sample(4, length=96, seed=again)
        seconds.append(time.perf_counter() - start)
    print(f"four backbones of 96 residues: {', '.join(f'{one:.1f}' for one in sorted(seconds))} s")


def protein(name: str) -> ProteinModel:
    loaded = zoo.load(name)
    assert isinstance(loaded, ProteinModel) and isinstance(loaded.recipe, ProteinRecipe)
    return loaded


PARTS = {part.__name__: part for part in (heart, choose, samplers, motifs, secondary, speed)}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=(*PARTS, "all"), default="all")
    parser.add_argument("--model", default=NAME)
    parser.add_argument("-n", type=int, default=200, help="backbones a row")
    parser.add_argument("--steps", type=int, default=BRIEF, help="of the trainings of choose")
    parser.add_argument("--tm", type=int, default=0, help="with --ship: TM-scores too, of so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ship", nargs=2, metavar=("MODEL", "FOLDER"), help="save a model, and stop")
    chosen = parser.parse_args()
    if chosen.ship is not None:
        ship(*chosen.ship, chosen.n, chosen.tm, chosen.seed)
        parser.exit()
    for what in PARTS if chosen.what == "all" else [chosen.what]:
        print(f"\n{what}\n")
        PARTS[what](chosen.model, chosen.n, chosen.steps, chosen.seed)
