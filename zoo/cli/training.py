"""The commands that train: `zoo train | finetune`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from zoo.cli import show
from zoo.cli.access import Access, Ref, with_access
from zoo.errors import OptionError

if TYPE_CHECKING:
    from zoo.model import Model
    from zoo.scale import Scale

SCALE = "How the run is carried out (docs/scale.md)"

Data = Annotated[Path, typer.Option(help="The data: a file or folder that the domain reads.")]
Out = Annotated[Path, typer.Option(help="Folder for the checkpoint. An older checkpoint there is replaced.")]
Steps = Annotated[
    int | None, typer.Option(help="Optimiser steps. \\[default: the recipe's]", show_default=False)
]
Rate = Annotated[
    float | None, typer.Option(help="Learning rate. \\[default: the recipe's]", show_default=False)
]
Seed = Annotated[int | None, typer.Option(help="Seed. \\[default: the recipe's]", show_default=False)]
Parts = Annotated[
    int | None,
    typer.Option(
        help="Equal parts of a step's batch, worked through in turn or shared by the processes of torchrun. "
        "\\[default: the recipe's, or one a process]",
        show_default=False,
        rich_help_panel=SCALE,
    ),
]
Shard = Annotated[
    bool,
    typer.Option(
        "--shard",
        help="Every process keeps a part of the weights, gradients, moments and averages.",
        rich_help_panel=SCALE,
    ),
]
Precision = Annotated[
    str, typer.Option(help="float32, or bf16 for losses and gradients.", rich_help_panel=SCALE)
]
Recompute = Annotated[
    bool,
    typer.Option("--recompute", help="Keep no activations in the blocks that repeat.", rich_help_panel=SCALE),
]
Compile = Annotated[
    bool,
    typer.Option("--compile", help="By torch.compile; without, where that fails.", rich_help_panel=SCALE),
]
Files = Annotated[
    list[str] | None,
    typer.Option(
        "--stream",
        help="The data, beyond memory: .parquet or .tar files or a pattern of such, local or hf://datasets/...",
        metavar="PATTERN",
        show_default=False,
        rich_help_panel=SCALE,
    ),
]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto for the fastest there is.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Also log for TensorBoard, into --out.")]


@with_access()
def finetune(
    ref: Ref,
    out: Out,
    access: Access,
    data: Annotated[
        Path | None,
        typer.Option(help="The data. \\[default with onestep: the model's own]", show_default=False),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            help="full: all weights. lora: small changes to them, stored alone. "
            "onestep: all weights, to draw in one step."
        ),
    ] = "full",
    rank: Annotated[
        int | None, typer.Option(help="Rank of the changes of lora. \\[default: 8]", show_default=False)
    ] = None,
    steps: Steps = None,
    lr: Rate = None,
    seed: Seed = None,
    resume: Resume = False,
    device: Device = "auto",
    tensorboard: Board = False,
    stream: Files = None,
    parts: Parts = None,
    shard: Shard = False,
    precision: Precision = "float32",
    recompute: Recompute = False,
    compile: Compile = False,
) -> None:
    """Train a model further on your own data; on held-out data the result is never worse than the model.

    Ctrl-C saves the state first; the same command with --resume goes on.

    \b
    zoo finetune timeseries-flow --data my.csv --out runs/mine
    zoo sample ./runs/mine --data my.csv --out forecast.csv
    """
    from zoo import training

    model = training.finetune(
        access.load(ref, device),
        _source(data, stream),
        method=cast(Any, method),  # checked there
        rank=rank,
        steps=steps,
        lr=lr,
        seed=seed,
        parts=parts,
        scale=_scale(shard, precision, recompute, compile),
        out=out,
        resume=resume,
        device=device,
        tensorboard=tensorboard,
    )
    _trained(model, out)


@with_access("revision", "offline", "endpoint", "token", "cache_dir")
def train(
    domain: Annotated[str, typer.Argument(help="A domain, such as timeseries.")],
    out: Out,
    access: Access,
    data: Annotated[
        Path | None, typer.Option(help="The data. \\[default: the recipe's own]", show_default=False)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Name of a recipe. \\[default: the domain's first]", show_default=False)
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="A model whose recipe to repeat.", show_default=False, metavar="REF")
    ] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Another value for a field of the recipe, such as framing.size=32; as often as you like.",
            metavar="FIELD=VALUE",
            show_default=False,
        ),
    ] = None,
    steps: Steps = None,
    lr: Rate = None,
    seed: Seed = None,
    resume: Resume = False,
    device: Device = "auto",
    tensorboard: Board = False,
    stream: Files = None,
    parts: Parts = None,
    shard: Shard = False,
    precision: Precision = "float32",
    recompute: Recompute = False,
    compile: Compile = False,
) -> None:
    """Train a model from scratch: with the domain's recipe, or with the recipe that another model carries.

    Ctrl-C saves the state first; the same command with --resume goes on.

    \b
    zoo train timeseries --data my.csv --steps 2000 --out runs/scratch
    zoo train timeseries --like timeseries-flow --out runs/again
    zoo train images --data photos --set framing.size=32 --set framing.channels=3 --out runs/photos
    """
    from zoo import manifest, registry, training, typed
    from zoo.loading import read_recipe

    if like is None and access != Access():
        raise OptionError("where a model is matters with --like alone")
    found = registry.domain(domain)
    if like is None:
        chosen = training.recipe_of(found, recipe)
    elif recipe is not None:
        raise OptionError("give --recipe or --like, not both")
    else:
        folder = access.place(like).folder
        chosen = read_recipe(found, manifest.read(folder).recipe, str(folder / manifest.MANIFEST))
    try:
        chosen = typed.changed(chosen, dict(_assigned(change) for change in changes or ()))
    except ValueError as error:
        raise OptionError(f"--set {error}") from None
    model = training.train(
        found,
        _source(data, stream),
        recipe=chosen,
        steps=steps,
        lr=lr,
        seed=seed,
        parts=parts,
        scale=_scale(shard, precision, recompute, compile),
        out=out,
        resume=resume,
        device=device,
        tensorboard=tensorboard,
    )
    _trained(model, out)


def _assigned(change: str) -> tuple[str, Any]:
    """A field of a recipe and its value: JSON, or else text."""
    field, equals, value = change.partition("=")
    if not equals:
        raise OptionError(f"--set {change!r}: give FIELD=VALUE, such as framing.size=32")
    try:
        return field.strip(), json.loads(value)
    except ValueError:
        return field.strip(), value


def _source(data: Path | None, patterns: list[str] | None) -> Any:
    if not patterns:
        return data
    if data is not None:
        raise OptionError("give --data or --stream, not both")
    from zoo.shards import Shards

    return Shards(tuple(patterns))


def _scale(shard: bool, precision: str, recompute: bool, compile: bool) -> "Scale":
    from zoo.scale import Scale

    # an unknown precision is refused there
    return Scale(shard=shard, precision=cast(Any, precision), recompute=recompute, compile=compile)


def _trained(model: "Model", out: Path) -> None:
    show.metrics(model.metrics)
    show.done(f"{model.name} is in {out}: zoo info {_as_reference(out)}")


def _as_reference(folder: Path) -> str:
    return str(folder) if folder.is_absolute() else f"./{folder}"
