"""The commands that look at models: `zoo list | info | demo`."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import show
from zoo.cli.access import Access, Ref, with_access
from zoo.errors import MissingExtraError, ZooError


def list_() -> None:
    """List the models that are installed; works offline.

    \b
    zoo list
    """
    from zoo import catalog

    models, problems = catalog.scan()
    show.catalogue([catalog.row(entry.manifest) for entry in models])
    for problem in problems:
        show.warning(problem)


@with_access("revision", "offline", "endpoint", "token", "cache_dir")
def info(ref: Ref, access: Access) -> None:
    """Tell all about a model: figures beside baselines, data and licences, sampling defaults, provenance.

    \b
    zoo info timeseries-flow
    zoo info ./runs/mine
    zoo info org/repo@v2
    """
    from zoo import manifest

    folder = access.place(ref).folder
    show.manifest(folder, manifest.read(folder))


@with_access()
def demo(
    access: Access,
    ref: Annotated[
        str | None,
        typer.Argument(
            help="A model, or a domain. \\[default: one of each domain]", show_default=False, metavar="[REF]"
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for what the demo writes.")] = Path("demo"),
) -> None:
    """Show a model at work on real data that come with a library; needs no network.

    \b
    zoo demo
    zoo demo timeseries-flow --out /tmp/demo
    """
    from zoo import catalog

    models, problems = catalog.scan()
    of_domain = {entry.manifest.domain: entry.manifest.name for entry in reversed(models)}
    if ref is None:
        for problem in problems:
            show.warning(problem)
        if not of_domain:
            raise ZooError("no model is installed, so there is nothing to show")
    refs = list(of_domain.values()) if ref is None else [of_domain.get(ref, ref)]
    for name in refs:
        loaded = access.load(name, "auto")
        show.title(": ".join(text for text in (loaded.name, loaded.recipe.summary) if text))
        out.mkdir(parents=True, exist_ok=True)
        try:
            show.files(loaded.domain.demo(loaded, out))
        except MissingExtraError as error:
            if ref is not None:
                raise
            show.warning(str(error))
