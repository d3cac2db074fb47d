"""The models that ship with installed domains, found without importing torch or any domain.

A domain's models stand beside its code, one checkpoint folder each: ``<package>/pretrained/<name>/zoo.json``.
"""

import difflib
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from zoo import manifest, registry
from zoo.errors import CheckpointError, UnknownModelError

if TYPE_CHECKING:
    import pandas


class Entry(NamedTuple):
    """A shipped model: its checkpoint folder and what `zoo.json` says."""

    folder: Path
    manifest: manifest.Manifest


def scan() -> tuple[list[Entry], list[str]]:
    """All shipped models sorted by name, and what is wrong with those that are left out, one line each."""
    found, duplicates = registry.entries()
    problems = list(duplicates.values())
    models: dict[str, Entry] = {}
    for name, entry in sorted(found.items()):
        try:
            spec = find_spec(entry.module)
        except Exception as error:  # finding a submodule imports its parents, which may fail in any way
            problems.append(
                f"domain {name!r} ({entry.value}) cannot be found: {type(error).__name__}: {error}"
            )
            continue
        if spec is None or spec.origin is None:
            problems.append(f"domain {name!r} ({entry.value}) cannot be found: no module {entry.module}")
            continue
        for path in sorted(Path(spec.origin).parent.glob(f"pretrained/*/{manifest.MANIFEST}")):
            try:
                read = manifest.read(path.parent)
            except CheckpointError as error:
                problems.append(str(error))
                continue
            if read.domain != name or read.name != path.parent.name:
                problems.append(
                    f"{path}: describes {read.name!r} of domain {read.domain!r}, which is not its place"
                )
            else:
                models[read.name] = Entry(path.parent, read)
    return [models[name] for name in sorted(models)], problems


def find(name: str) -> Path:
    """The folder of a shipped model.

    Raises:
        UnknownModelError: listing what there is.
    """
    models, problems = scan()
    for entry in models:
        if entry.manifest.name == name:
            return entry.folder
    known = [entry.manifest.name for entry in models]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none'}"
    if Path(name, manifest.MANIFEST).is_file():
        hint += f" For the folder of that name write './{name}'."
    if problems:
        hint += f" Left out: {'; '.join(problems)}."
    raise UnknownModelError(f"no model named {name!r}; {hint}")


def list_models() -> "pandas.DataFrame":
    """The shipped models, one row each; works offline.

    Returns:
        A data frame with the columns name, domain, method, parameters, size (of the weights file, in MB),
        trained_on, licence, metric, value, baseline and baseline_name; the last four are the headline
        metric.
    """
    import pandas

    models, problems = scan()
    for problem in problems:
        warnings.warn(problem, stacklevel=2)
    return pandas.DataFrame([row(entry.manifest) for entry in models], columns=COLUMNS)


COLUMNS = [
    "name",
    "domain",
    "method",
    "parameters",
    "size",
    "trained_on",
    "licence",
    "metric",
    "value",
    "baseline",
    "baseline_name",
]


def row(m: manifest.Manifest) -> dict[str, str | int | float | None]:
    """A manifest as a row of the catalogue."""
    headline = m.metrics[0] if m.metrics else None
    return {
        "name": m.name,
        "domain": m.domain,
        "method": m.method,
        "parameters": m.parameters,
        "size": round(m.files[m.weights].bytes / 1e6, 2),
        "trained_on": ", ".join(source.name for source in m.provenance.sources),
        "licence": m.licence,
        "metric": headline.name if headline else "",
        "value": headline.value if headline else None,
        "baseline": headline.baseline if headline else None,
        "baseline_name": headline.baseline_name if headline else "",
    }
