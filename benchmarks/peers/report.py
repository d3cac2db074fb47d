"""Tables, targets, and the text between the markers of a document."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

START, END = "<!-- make bench writes from here -->", "<!-- to here -->"


@dataclass(frozen=True)
class Target:
    """A claim that the run has to bear out.

    Attributes:
        what: the claim.
        values: of every figure in it the values over rounds; the median of each must keep the bound. Empty:
            nothing was measured, as a side is missing.
        bound: at most, or at least.
        at_most: which of the two.
        unit: of the values.
        missing: who could not run, and might have been better.
    """

    what: str
    values: Sequence[Sequence[float]]
    bound: float
    at_most: bool = True
    unit: str = "x"
    missing: Sequence[str] = ()

    @property
    def met(self) -> str:
        if not self.values:
            return "not measured"
        middle = [median(value) for value in self.values]
        kept = (value <= self.bound if self.at_most else value >= self.bound for value in middle)
        verdict = "yes" if all(kept) else "no"
        return f"{verdict}, without {', '.join(self.missing)}" if self.missing else verdict

    def row(self) -> list[str]:
        measured = ", ".join(spread(value) for value in self.values) or "–"
        bound = f"{'≤' if self.at_most else '≥'} {self.bound:g} {self.unit}"
        return [self.what, bound.strip(), measured, self.met]


@dataclass(frozen=True)
class Table:
    """Rows of text under a head; a title where a section has several."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    title: str = ""

    def text(self) -> str:
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        table = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
        return f"{self.title}\n\n{table}" if self.title else table


@dataclass(frozen=True)
class Section:
    """What is told of a part."""

    title: str
    about: str
    tables: Sequence[Table] = ()
    targets: Sequence[Target] = ()
    failures: Sequence[str] = field(default_factory=list)

    def text(self) -> str:
        failed = "\n".join(f"- {line}" for line in self.failures)
        blocks = [f"### {self.title}", self.about, *(table.text() for table in self.tables), failed]
        return "\n\n".join(block for block in blocks if block)


Ratios = tuple[tuple[float, ...], ...]


def ratios(a: Sequence[float], b: Sequence[float]) -> Ratios:
    """a/b round by round, as the values of a target; () where a side is missing.

    () too where noise has made the median of one negative; single rounds of that kind are left out.
    """
    if not (a and b) or min(median(a), median(b)) <= 0:
        return ()
    each = tuple(x / y for x, y in zip(a, b, strict=False) if min(x, y) > 0)
    return (each,) if each else ()


def best(rounds: Mapping[Any, Sequence[float]], lowest: bool) -> Sequence[float]:
    """The rounds of the one with the lowest or highest median, of those that have any; () of none."""
    return (min if lowest else max)(filter(None, rounds.values()), key=median, default=())


def against(
    what: str,
    ours: Sequence[float],
    peers: Mapping[Any, Sequence[float]],
    bound: float,
    *,
    at_most: bool = True,
    missing: Sequence[str] = (),
) -> Target:
    """Ours to the best peer, which is the one that is best by its median over rounds."""
    return Target(what, ratios(ours, best(peers, at_most)), bound, at_most, missing=missing)


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """The median, and the quartiles if there are several."""
    shown = [scale * value for value in values]
    if len(shown) < 2:
        return number(shown[0])
    low, _, high = quantiles(shown, n=4, method="inclusive")
    return f"{number(median(shown))} ({number(low)}–{number(high)})"


def number(value: float) -> str:
    """Three digits, without an exponent where whole digits do."""
    return f"{value:.0f}" if abs(value) >= 100 and math.isfinite(value) else f"{value:.3g}"


def targets_table(sections: Sequence[Section]) -> str:
    rows = [target.row() for section in sections for target in section.targets]
    return Table(("target", "bound", "measured", "met"), rows).text()


def machine() -> str:
    """Processor, cores, memory, operating system and Python."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB; {platform.system()} "
        f"{platform.release()}; Python {platform.python_version()}"
    )


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def replaced(document: str, text: str) -> str:
    """The document with this text between its markers, and all else as it was.

    Raises:
        ValueError: if the markers do not stand in it once each, in their order.
    """
    before, start, rest = document.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end) or START in rest or END in before + after:
        raise ValueError(f"wanted once each, in this order: {START} and {END}")
    return f"{before}{START}\n\n{text.strip()}\n\n{END}{after}"
