"""The commands whose options a domain declares: `zoo sample`, `zoo evaluate` and `zoo data`.

Typer reads a command's options from a function's signature. Here the signature is made from the fields
of a request class (`zoo.requests`): of the domain's own, if the arguments begin with a model, so that
``zoo sample REF --help`` lists what that model takes.
"""

import inspect
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from zoo import processes
from zoo.cli import show
from zoo.cli.access import Access, Ref, declared, option, split, with_access
from zoo.errors import OptionError
from zoo.requests import DataRequest, EvaluateRequest, SampleRequest

if TYPE_CHECKING:
    from zoo.domain import Domain
    from zoo.model import Model

HELP = {"-h", "--help"}


@dataclass(frozen=True)
class Verb:
    """A command whose options are the fields of a request class, and some of its own.

    Attributes:
        help: what ``--help`` says.
        base: the request class while no model is known.
        request: the domain's request class.
        own: options that the domain does not see, after the request's.
        run: gets the model, the request and the values of `own`.
    """

    help: str
    base: type
    request: Callable[["Domain"], type]
    own: tuple[inspect.Parameter, ...]
    run: Callable[["Model", Any, dict[str, Any]], None]


def _make_room(*files: Path | None) -> None:
    """Makes the folders of files that are about to be written, before the work that fills them."""
    for file in files:
        if file is not None and file.is_dir():
            raise OptionError(f"{file}: is a folder; name a file")
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _together(request: Any) -> Iterator[Any]:
    """Processes of torchrun share the draws; what the main one writes, the others write to where it is lost.

    Yields:
        The request of this process.
    """
    with processes.together(), ExitStack() as stack:
        if not processes.main():
            aside = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            values = {f.name: getattr(request, f.name) for f in fields(request) if f.name != "data"}
            lost = {name: aside / path.name for name, path in values.items() if isinstance(path, Path)}
            request = replace(request, **lost)
        yield request


def _sample(model: "Model", request: SampleRequest, own: dict[str, Any]) -> None:
    if request.out is None and request.plot is None:
        raise OptionError("nothing to write: give --out, --plot or both")
    if request.n < 1:
        raise OptionError(f"-n must be at least 1, not {request.n}")
    with _together(request) as request:
        _make_room(None if request.in_folder else request.out, request.plot)
        show.files(model.domain.sample(model, request))


def _evaluate(model: "Model", request: EvaluateRequest, own: dict[str, Any]) -> None:
    _make_room(own["out"])
    with _together(request) as request:
        table = model.domain.evaluate(model, request)
    show.frame(table)
    if own["out"] is not None and processes.main():
        table.to_csv(own["out"], index=False)
        show.files([own["out"]])


_DEVICE = option("device", str, "auto", "cpu, cuda, mps, or auto for the fastest there is.")
_TABLE = option("out", Path | None, None, "Also write the table to this CSV file.")

VERBS = {
    "sample": Verb(
        """Draw samples, conditioned on data where the domain can.

        The model comes first: zoo sample REF --help lists the options of its domain too.

        \b
        zoo sample timeseries-flow --data my.csv --horizon 24 -n 100 --out forecast.csv --plot fan.png
        """,
        SampleRequest,
        lambda domain: domain.sample_request,
        (_DEVICE,),
        _sample,
    ),
    "evaluate": Verb(
        """Measure a model beside simple baselines.

        The model comes first: zoo evaluate REF --help lists the options of its domain too.

        \b
        zoo evaluate timeseries-flow
        zoo evaluate ./runs/mine --data my.csv --out metrics.csv
        """,
        EvaluateRequest,
        lambda domain: domain.evaluate_request,
        (_DEVICE, _TABLE),
        _evaluate,
    ),
}


def command(verb: Verb, args: Sequence[str]) -> Callable[..., None]:
    """The function that Typer makes the command of, given the arguments after the verb.

    Raises:
        ZooError: if the first word among them that is no option and no option's value names no model.
    """
    request = _declared(verb, args)
    types = get_type_hints(request)
    own = [option(f.name, types[f.name], f.default, f.metadata.get("help", "")) for f in fields(request)]
    ref = inspect.Parameter("ref", inspect.Parameter.KEYWORD_ONLY, annotation=Ref)

    def function(access: Access, **values: Any) -> None:
        ref, extra = values.pop("ref"), {p.name: values.pop(p.name) for p in verb.own}
        loaded = access.load(ref, extra["device"])
        verb.run(loaded, verb.request(loaded.domain)(**values), extra)

    function.__doc__ = inspect.cleandoc(verb.help)
    declared(function, [ref, *own, *verb.own])
    return with_access()(function)


def data(args: Sequence[str]) -> Callable[..., None]:
    """The function that Typer makes `zoo data` of, given the arguments after it.

    Raises:
        ZooError: if they begin with no domain, or one that makes no data.
    """
    name = _model_of(args)
    request = DataRequest if name is None else _maker(name)[1]
    types = get_type_hints(request)
    own = [option(f.name, types[f.name], f.default, f.metadata.get("help", "")) for f in fields(request)]
    domain = inspect.Parameter(
        "domain",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[str, typer.Argument(help="A domain that makes data, such as robotics.")],
    )

    def function(**values: Any) -> None:
        found, kind = _maker(values.pop("domain"))
        asked = kind(**values)
        _make_room(asked.out)
        show.files(found.data(asked))

    function.__doc__ = """Make data to train on, where a domain can.

    The domain comes first: zoo data DOMAIN --help lists its options too.

    \b
    zoo data robotics --episodes 400 --seed 0
    """
    return declared(function, [domain, *own])


def _maker(name: str) -> tuple["Domain", type[DataRequest]]:
    """A domain and what it makes data from."""
    from zoo import registry

    found = registry.domain(name)
    if found.data_request is None:
        raise OptionError(f"domain {name!r} makes no data; bring your own")
    return found, found.data_request


def _declared(verb: Verb, args: Sequence[str]) -> type:
    access, rest = split(args)
    ref = _model_of(rest)
    if ref is None and (not args or HELP & set(args)):
        return verb.base
    if ref is None:
        raise OptionError(
            "which model? It comes first, right after the command; zoo list tells which there are"
        )
    from zoo import manifest, registry

    described = manifest.read(access.place(ref).folder)
    return verb.request(registry.domain(described.domain))


def _model_of(args: Sequence[str]) -> str | None:
    """The first word that is neither an option nor an option's value, of which every option takes one.

    >>> _model_of(["--data", "my.csv", "-n", "3", "timeseries-flow"])
    'timeseries-flow'
    """
    value = False  # whether the option before takes the next word
    for arg in args:
        if arg.startswith("-") and not (value and arg[1:2].isdigit()):
            value = "=" not in arg and arg not in HELP and (arg.startswith("--") or len(arg) == 2)
        elif value:
            value = False
        else:
            return arg
    return None
