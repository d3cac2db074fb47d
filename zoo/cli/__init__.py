"""The command line. Bad input ends in one line on stderr and exit code 2.

looking.py      list, info, demo
verbs.py        sample, evaluate, data: their options are declared by the domains
training.py     train, finetune
checkpoints.py  push, pull, verify, migrate, export
access.py       the options that say where a model is
show.py         tables and one-line notes
"""

import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, cast

import typer

import zoo
from zoo import processes
from zoo.cli import checkpoints, looking, training, verbs
from zoo.errors import ZooError, one_line

# Typer exports one class of its family of usage errors; this is the family's base.
UsageError = cast(type[typer.BadParameter], typer.BadParameter.__mro__[2])

COMMANDS = (
    training.finetune,
    training.train,
    checkpoints.push,
    checkpoints.pull,
    checkpoints.verify,
    checkpoints.migrate,
    checkpoints.export,
    looking.demo,
)


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
    app.command("list")(looking.list_)
    app.command()(looking.info)
    for name, verb in verbs.VERBS.items():
        app.command(name)(verbs.command(verb, args[1:] if args[:1] == [name] else ()))
    app.command("data")(verbs.data(args[1:] if args[:1] == ["data"] else ()))
    for function in COMMANDS:
        app.command()(function)
    return app


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line and exits: 0 done, 2 bad input, 130 interrupted."""
    args = list(sys.argv[1:] if args is None else args)
    try:
        with warnings.catch_warnings(), processes.one_voice():
            warnings.showwarning = lambda message, *_: _say(str(message))
            code = typer.main.get_command(application(args)).main(
                args or ["--help"], prog_name="zoo", standalone_mode=False
            )
    except UsageError as error:
        code = _complain(error.format_message())
    except (ZooError, OSError, ValueError) as error:  # the engine, which knows no zoo, raises ValueError
        code = _complain(str(error))
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except Exception:
        if processes.first_to_fail():
            raise
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _say(message: str) -> None:
    print(f"zoo: {one_line(message)}", file=sys.stderr)


def _complain(message: str) -> int:
    if processes.first_to_fail():
        _say(message)
    return 2
