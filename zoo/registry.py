"""Which domains there are: the entry points ``zoo.domains`` of every installed package.

Nothing is imported until a domain is asked for, torch included. A plug-in that is broken, or whose name
two packages claim, is reported by name and does not keep the others from loading.
"""

import sys
from contextlib import nullcontext
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

from zoo.errors import PluginError, UnknownDomainError
from zoo.garbage import postponed

if TYPE_CHECKING:
    from zoo.domain import Domain

GROUP = "zoo.domains"


def entries() -> tuple[dict[str, EntryPoint], dict[str, str]]:
    """The entry points by domain name, and what is wrong with those left out."""
    claims: dict[str, dict[str, EntryPoint]] = {}
    for entry in entry_points(group=GROUP):
        # A package found twice on the path (installed, and run from its source) makes one claim, not two.
        claims.setdefault(entry.name, {})[entry.value] = entry
    good = {name: next(iter(claim.values())) for name, claim in claims.items() if len(claim) == 1}
    problems = {
        name: f"domain {name!r} is registered by {' and '.join(sorted(claim))}: uninstall all but one"
        for name, claim in claims.items()
        if len(claim) > 1
    }
    return good, problems


def names() -> list[str]:
    """The names of the registered domains, sorted; imports none of them."""
    return sorted(entries()[0])


def domain(name: str) -> "Domain":
    """Imports and returns a domain.

    Raises:
        UnknownDomainError: if no package registers the name.
        PluginError: if two do, or the registered object cannot be imported or is no `Domain` of that name.
    """
    from zoo.domain import Domain

    good, problems = entries()
    if name in problems:
        raise PluginError(problems[name])
    if name not in good:
        raise UnknownDomainError(f"no domain {name!r}; there are: {', '.join(sorted(good)) or 'none'}")
    entry = good[name]
    try:
        with nullcontext() if entry.module in sys.modules else postponed():
            found = entry.load()
    except Exception as error:  # a plug-in's import may fail in any way
        cause = f"{type(error).__name__}: {error}"
        raise PluginError(f"domain {name!r} ({entry.value}) cannot be imported: {cause}") from error
    if not isinstance(found, Domain) or found.name != name:
        raise PluginError(f"domain {name!r} ({entry.value}) is no zoo.domain.Domain of that name")
    return found
