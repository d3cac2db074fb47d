"""The options that say where a model is and how to get there: the same for every command that takes a REF."""

import argparse
import functools
import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoo import reference
from zoo.errors import OptionError
from zoo.hub.connection import Hub
from zoo.hub.pulling import Place

if TYPE_CHECKING:
    from zoo.model import Model

Ref = Annotated[
    str, typer.Argument(help="A name (zoo list), ./folder, org/repo or org/repo@revision.", metavar="REF")
]


class Access(NamedTuple):
    """What the options below say; see `zoo.load`."""

    revision: str | None = None
    base: str | None = None
    offline: bool = False
    endpoint: str | None = None
    token: str | None = None
    cache_dir: str | None = None

    @property
    def hub(self) -> Hub:
        """How to reach the Hub: without --offline, as the environment says."""
        return Hub(self.endpoint, self.token, self.cache_dir, self.offline or None)

    def place(self, ref: str) -> Place:
        """The folder that a reference leads to."""
        return reference.resolve(ref, self.hub, self.revision)

    def load(self, ref: str, device: str) -> "Model":
        """The model."""
        from zoo.loading import load_at

        return load_at(self.place(ref), base=self.base, hub=self.hub).to(device)


OPTIONS = {
    "revision": "Branch, tag or commit on the Hub.",
    "base": "For an adapter: the model that it changes.",
    "offline": "Use what is in the cache alone.",
    "endpoint": "Address of the Hub. [default: HF_ENDPOINT, or huggingface.co]",
    "token": "For what is not public. [default: HF_TOKEN, or the login of hf auth login]",
    "cache_dir": "Folder of downloads. [default: HF_HUB_CACHE]",
}


def option(
    name: str, annotation: Any, default: Any, help: str, panel: str | None = None
) -> inspect.Parameter:
    """An option: `horizon` becomes --horizon, a single letter such as `n` becomes -n."""
    flags = [f"-{name}"] if len(name) == 1 else []
    if annotation is bool:
        flags = [f"--{name.replace('_', '-')}"]  # without a --no-...
    # Brackets are rich's markup in Typer's help, and plain text here.
    escaped, shown = help.replace("[", r"\["), default is not None and annotation is not bool
    typed = Annotated[
        annotation, typer.Option(*flags, help=escaped, show_default=shown, rich_help_panel=panel)
    ]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=typed, default=default)


def options(*names: str) -> list[inspect.Parameter]:
    """The options of these names, all without any."""
    kinds, defaults = Access.__annotations__, Access._field_defaults
    return [
        option(name, kinds[name], defaults[name], OPTIONS[name], "Where the model is")
        for name in names or OPTIONS
    ]


def with_access(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command these options, or all, in place of its argument `access`."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        wanted = options(*names)

        @functools.wraps(function)
        def command(**values: Any) -> None:
            access = Access(**{p.name: values.pop(p.name) for p in wanted})
            function(**values, access=access)

        own = [p for p in inspect.signature(function).parameters.values() if p.name != "access"]
        own = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        return declared(command, [*own, *wanted])

    return decorate


def declared(function: Callable[..., None], parameters: Sequence[inspect.Parameter]) -> Callable[..., None]:
    """The function with these parameters, as Typer reads them."""
    function.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    function.__annotations__ = {p.name: p.annotation for p in parameters}
    return function


def split(args: Sequence[str]) -> tuple[Access, list[str]]:
    """What the options among the arguments say, and the other arguments, before Typer sees any.

    Raises:
        OptionError: for an option without its value.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name, kind in Access.__annotations__.items():
        flag = f"--{name.replace('_', '-')}"
        if kind is bool:
            parser.add_argument(flag, action="store_true")
        else:
            parser.add_argument(flag)
    try:
        known, rest = parser.parse_known_args(args)
    except argparse.ArgumentError as error:
        raise OptionError(str(error)) from None
    return Access(**vars(known)), rest
