"""How the command line shows things: tables and one-line notes, with rich."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from zoo.errors import one_line
from zoo.manifest import Manifest, Metric

if TYPE_CHECKING:
    import pandas

_out = Console(highlight=False)
_err = Console(stderr=True, highlight=False)


def title(text: str) -> None:
    """A heading."""
    _out.print(Text(one_line(text), style="bold"))


def done(text: str) -> None:
    """A step that went well."""
    _out.print(Text.assemble(("✓ ", "green"), one_line(text)), soft_wrap=True)


def warning(text: str) -> None:
    """Something that was left out; on stderr."""
    _err.print(Text.assemble(("left out: ", "yellow"), one_line(text)), soft_wrap=True)


def files(paths: Iterable[Path]) -> None:
    """Files that were written."""
    for path in paths:
        done(f"wrote {path}")


def catalogue(rows: Sequence[dict[str, Any]]) -> None:
    """The rows of `zoo.catalog`: a paragraph a model, which reads at any width of the terminal."""
    for row in rows:
        title(row["name"])
        lines = [
            f"{row['domain']}, {row['method']}: {row['parameters']:,} parameters, {row['size']} MB, "
            f"{row['licence']}",
            row["metric"]
            and f"{row['metric']}: {row['value']:.4g}{_beside(row['baseline'], row['baseline_name'])}",
            row["trained_on"] and f"trained on: {row['trained_on']}",
        ]
        for line in filter(None, lines):
            _out.print(Padding(Text(one_line(line)), (0, 0, 0, 2)))


def metrics(measured: Sequence[Metric]) -> None:
    """Figures beside baselines."""
    cells = [
        [m.name, f"{m.value:.4g}", "" if m.baseline is None else f"{m.baseline:.4g}", m.baseline_name]
        for m in measured
    ]
    _table(["measure", "this model", "baseline", "which baseline"], cells)


def manifest(folder: Path, m: Manifest) -> None:
    """All that a checkpoint says about itself."""
    made, recipe = m.provenance, m.recipe
    title(m.name)
    lines = {
        "": recipe.get("summary", ""),
        "limits": recipe.get("limits", ""),
        "folder": str(folder),
        "domain": m.domain,
        "method": m.method,
        "weights": f"{m.parameters:,} values in {len(m.tensors)} tensors",
        "files": ", ".join(f"{name} ({file.bytes:,} bytes)" for name, file in sorted(m.files.items())),
        "licence": m.licence,
        "sampling": ", ".join(f"{k} {v}" for k, v in recipe.get("sampling", {}).items() if v is not None),
        "trained": f"{made.date}, step {made.steps} of {made.of}, seed {made.seed}",
        "versions": f"diffusion-zoo {made.zoo}, torch {made.torch}",
        "parent": made.parent,
        "by level": ", ".join(f"t={t:g}: {loss:.4g}" for t, loss in made.loss_by_level),
    }
    for key, value in lines.items():
        if value:
            _out.print(Text.assemble((f"{key:<10}", "dim"), one_line(value)), soft_wrap=True)
    for source in made.sources:
        _out.print(
            Text.assemble(
                ("data      ", "dim"),
                one_line(f"{source.name}, licence: {source.licence} {source.url}"),
            ),
            soft_wrap=True,
        )
    if m.metrics:
        metrics(m.metrics)


def frame(table: "pandas.DataFrame") -> None:
    """A data frame."""
    cells = [
        [f"{v:.4g}" if isinstance(v, float) else str(v) for v in row] for row in table.itertuples(index=False)
    ]
    _table([str(column) for column in table.columns], cells)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text(one_line(cell)) for cell in row))
    _out.print(shown)


def _beside(baseline: float | None, name: str) -> str:
    return "" if baseline is None else f" ({name} {baseline:.4g})"
