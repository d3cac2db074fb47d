"""The commands that handle checkpoints: `zoo push | pull | verify | migrate | export`."""

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli import show
from zoo.cli.access import Access, Ref, with_access


@with_access()
def verify(ref: Ref, access: Access) -> None:
    """Check a checkpoint: its schema, the sizes and hashes of its files, every tensor; load it.

    \b
    zoo verify timeseries-flow
    zoo verify ./runs/mine
    zoo verify org/repo@v2
    """
    from zoo import upkeep

    found = upkeep.verify_at(access.place(ref), base=access.base, hub=access.hub)
    for name in sorted(found.manifest.files):
        show.done(f"{name}: size and sha256 as written")
    show.done(f"{len(found.manifest.tensors)} tensors: as announced, all finite")
    if found.repo:
        show.done(f"a copy of {found.repo} at commit {found.commit}")
    what = f"{found.manifest.name}, {found.manifest.parameters:,} parameters"
    show.done(f"{what}: loads" if found.loaded else f"{what}: not loaded, which takes --base")


@with_access("revision", "offline", "endpoint", "token", "cache_dir")
def pull(
    ref: Ref,
    access: Access,
    out: Annotated[
        Path | None,
        typer.Option(help="Also copy it to this folder. \\[default: the cache alone]", show_default=False),
    ] = None,
) -> None:
    """Fetch a checkpoint from the Hub, every byte of it checked.

    \b
    zoo pull org/repo
    zoo pull org/repo@v2 --out ./mine
    """
    from zoo import upkeep

    show.done(f"{ref} is in {upkeep.copy_of(access.place(ref), out)}")


@with_access("endpoint", "token")
def push(
    folder: Annotated[Path, typer.Argument(help="A checkpoint folder.")],
    repo: Annotated[str, typer.Argument(help="org/repo; made if it does not exist.")],
    access: Access,
    branch: Annotated[str, typer.Option(help="Made from the main branch if it does not exist.")] = "main",
    tag: Annotated[str | None, typer.Option(help="Give the commit this tag.", show_default=False)] = None,
    private: Annotated[
        bool | None,
        typer.Option(
            "--private/--public", help="Of a new repository; one that exists must be so.", show_default=False
        ),
    ] = None,
    parent: Annotated[
        str | None, typer.Option(help="Only if the branch is at this commit.", show_default=False)
    ] = None,
    message: Annotated[str, typer.Option(help="Of the commit.", show_default=False)] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would change, change nothing.")
    ] = False,
) -> None:
    """Put a checkpoint into a Hub repository, in one commit; none if the repository holds it already.

    \b
    zoo push ./runs/mine me/mine --private --dry-run
    zoo push ./runs/mine me/mine --private --tag v1
    """
    from zoo import upkeep

    done = upkeep.push(
        folder,
        repo,
        branch=branch,
        tag=tag,
        private=private,
        parent=parent,
        message=message,
        dry_run=dry_run,
        endpoint=access.endpoint,
        token=access.token,
    )
    for what, names in (("add", done.added), ("change", done.changed), ("remove", done.removed)):
        for name in names:
            show.done(f"{'would ' if dry_run else ''}{what} {name}")
    if not (done.added or done.changed or done.removed):
        show.done("nothing to change: the repository holds this checkpoint already")
    show.done(done.url + (f", tag {tag}" if tag else ""))


def migrate(folder: Annotated[Path, typer.Argument(help="A checkpoint folder.")]) -> None:
    """Write a checkpoint of an older schema anew; its weights stay as they are.

    \b
    zoo migrate ./runs/old
    """
    from zoo import upkeep

    changed = upkeep.migrate(folder)
    show.done(f"{folder}: {'brought forward' if changed else 'is up to date'}")


@with_access()
def export(
    ref: Ref,
    out: Annotated[Path, typer.Option(help="Folder for the programs.")],
    access: Access,
) -> None:
    """Write a model's network as programs of torch.export, each compared with the model.

    \b
    zoo export timeseries-flow --out exported
    """
    from zoo import exporting

    show.files(exporting.export(access.load(ref, "cpu"), out))
