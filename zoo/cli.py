"""The command line: `zoo list | info | sample | finetune | train | evaluate | verify | demo`.

Bad input ends in one line on stderr and exit code 2. `sample` and `evaluate`, whose options the domains
declare, stand in `zoo.verbs`.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

import zoo
from zoo import verbs
from zoo.errors import OptionError, ZooError
from zoo.verbs import Ref

if TYPE_CHECKING:
    from zoo.model import Model

# Typer exports one class of its family of usage errors; this is the family's base.
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__mro__[2])

Data = Annotated[Path, typer.Option(help="The data: a file or folder that the domain reads.")]
Out = Annotated[Path, typer.Option(help="Folder for the checkpoint. An older checkpoint there is replaced.")]
Steps = Annotated[
    int | None, typer.Option(help="Optimiser steps. \\[default: the recipe's]", show_default=False)
]
Rate = Annotated[
    float | None, typer.Option(help="Learning rate. \\[default: the recipe's]", show_default=False)
]
Seed = Annotated[int | None, typer.Option(help="Seed. \\[default: the recipe's]", show_default=False)]
Device = Annotated[str, typer.Option(help="cpu, cuda, mps, or auto for the fastest there is.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the unfinished run in --out.")]
Board = Annotated[bool, typer.Option("--tensorboard", help="Also log for TensorBoard, into --out.")]


def list_() -> None:
    """List the models that are installed; works offline.

    \b
    zoo list
    """
    from zoo import catalog, show

    models, problems = catalog.scan()
    show.catalogue([catalog.row(entry.manifest) for entry in models])
    for problem in problems:
        show.warning(problem)


def info(ref: Ref) -> None:
    """Tell all about a model: figures beside baselines, data and licences, sampling defaults, provenance.

    \b
    zoo info timeseries-flow
    zoo info ./runs/mine
    """
    from zoo import manifest, reference, show

    folder = reference.resolve(ref)
    show.manifest(folder, manifest.read(folder))


def finetune(
    ref: Ref,
    data: Data,
    out: Out,
    steps: Steps = None,
    lr: Rate = None,
    seed: Seed = None,
    resume: Resume = False,
    device: Device = "auto",
    tensorboard: Board = False,
) -> None:
    """Train a model further on your own data; on held-out data the result is never worse than the model.

    Ctrl-C saves the state first; the same command with --resume goes on.

    \b
    zoo finetune timeseries-flow --data my.csv --out runs/mine
    zoo sample ./runs/mine --data my.csv --out forecast.csv
    """
    from zoo import training

    model = training.finetune(
        ref,
        data,
        steps=steps,
        lr=lr,
        seed=seed,
        out=out,
        resume=resume,
        device=device,
        tensorboard=tensorboard,
    )
    _trained(model, out)


def train(
    domain: Annotated[str, typer.Argument(help="A domain, such as timeseries.")],
    out: Out,
    data: Annotated[
        Path | None, typer.Option(help="The data. \\[default: the recipe's own]", show_default=False)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Name of a recipe. \\[default: the domain's first]", show_default=False)
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="A model whose recipe to repeat.", show_default=False, metavar="REF")
    ] = None,
    steps: Steps = None,
    lr: Rate = None,
    seed: Seed = None,
    resume: Resume = False,
    device: Device = "auto",
    tensorboard: Board = False,
) -> None:
    """Train a model from scratch: with the domain's recipe, or with the recipe that another model carries.

    Ctrl-C saves the state first; the same command with --resume goes on.

    \b
    zoo train timeseries --data my.csv --steps 2000 --out runs/scratch
    zoo train timeseries --like timeseries-flow --out runs/again
    """
    from zoo import manifest, reference, registry, training
    from zoo.model import read_recipe

    found = registry.domain(domain)
    chosen: Any = recipe
    if like is not None:
        if recipe is not None:
            raise OptionError("give --recipe or --like, not both")
        folder = reference.resolve(like)
        chosen = read_recipe(found, manifest.read(folder).recipe, str(folder / manifest.MANIFEST))
    model = training.train(
        found,
        data,
        recipe=chosen,
        steps=steps,
        lr=lr,
        seed=seed,
        out=out,
        resume=resume,
        device=device,
        tensorboard=tensorboard,
    )
    _trained(model, out)


def verify(ref: Ref) -> None:
    """Check a checkpoint: its schema, the sizes and hashes of its files, every tensor; load it.

    \b
    zoo verify timeseries-flow
    zoo verify ./runs/mine
    """
    from zoo import checkpoint, manifest, model, reference, show

    folder = reference.resolve(ref)
    described = manifest.read(folder)
    for name in sorted(described.files):
        checkpoint.read_file(folder, name, described)
        show.done(f"{name}: size and sha256 as written")
    loaded = model.load(folder, device="cpu")
    for name, tensor in loaded.denoiser.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise ZooError(f"{folder}: tensor {name!r} is not finite")
    show.done(f"{len(described.tensors)} tensors: as announced, all finite")
    show.done(f"{described.name} loads: {described.parameters:,} parameters")


def demo(
    ref: Annotated[
        str | None,
        typer.Argument(help="A model. \\[default: one of each domain]", show_default=False, metavar="[REF]"),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for what the demo writes.")] = Path("demo"),
) -> None:
    """Show a model at work on real data that come with a library; needs no network.

    \b
    zoo demo
    zoo demo timeseries-flow --out /tmp/demo
    """
    from zoo import catalog, model, show

    if ref is not None:
        refs = [ref]
    else:
        models, problems = catalog.scan()
        for problem in problems:
            show.warning(problem)
        refs = list({entry.manifest.domain: entry.manifest.name for entry in reversed(models)}.values())
        if not refs:
            raise ZooError("no model is installed, so there is nothing to show")
    for name in refs:
        loaded = model.load(name)
        show.title(": ".join(text for text in (loaded.name, loaded.recipe.summary) if text))
        out.mkdir(parents=True, exist_ok=True)
        show.files(loaded.domain.demo(loaded, out))


def _version(wanted: bool) -> None:
    if wanted:
        print(f"diffusion-zoo {zoo.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Tell the version and exit.")
    ] = False,
) -> None:
    pass


def application(args: Sequence[str]) -> typer.Typer:
    """The Typer application for these arguments."""
    app = typer.Typer(
        name="zoo",
        help="Diffusion models that load by name: list, sample, fine-tune, train, evaluate.",
        epilog="Start with: zoo demo",
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": sorted(verbs.HELP)},
    )
    app.callback()(_root)
    app.command("list")(list_)
    app.command()(info)
    for name, verb in verbs.VERBS.items():
        app.command(name)(verbs.command(verb, args[1:] if args[:1] == [name] else ()))
    for function in (finetune, train, verify, demo):
        app.command()(function)
    return app


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 2 bad input, 130 interrupted."""
    args = list(sys.argv[1:] if args is None else args)
    try:
        code = typer.main.get_command(application(args)).main(
            args or ["--help"], prog_name="zoo", standalone_mode=False
        )
    except UsageError as error:
        code = _complain(error.format_message())
    except (ZooError, OSError, ValueError) as error:  # the engine, which knows no zoo, raises ValueError
        code = _complain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> int:
    print(f"zoo: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _trained(model: "Model", out: Path) -> None:
    from zoo import show

    show.metrics(model.metrics)
    show.done(f"{model.name} is in {out}: zoo info {_as_reference(out)}")


def _as_reference(folder: Path) -> str:
    return str(folder) if folder.is_absolute() else f"./{folder}"
