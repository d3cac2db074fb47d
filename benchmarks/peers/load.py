"""How much CPU other processes use."""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

STAT = Path("/proc/stat")


class Load:
    """Cores that other processes kept busy since this was made."""

    def __init__(self) -> None:
        self.start = _spent()

    def others(self) -> float | None:
        """None where the system does not tell (other than Linux)."""
        now = _spent()
        if self.start is None or now is None:
            return None
        busy, passed, own = (b - a for a, b in zip(self.start, now, strict=True))
        return max(0.0, busy - own) / max(passed, 1e-9) * (os.cpu_count() or 1)


def at_rest(seconds: float = 3.0) -> float | None:
    """Cores that other processes keep busy while this one does nothing for so long; see `Load.others`."""
    load = Load()
    time.sleep(seconds)
    return load.others()


def _spent() -> tuple[float, float, float] | None:
    """CPU seconds that all processes used, that there were, and that this one and its children used."""
    if not STAT.is_file():
        return None
    ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in STAT.read_text().splitlines()[0].split()[1:9]]
    user, nice, system, idle, wait, interrupt, soft, steal = ticks
    own = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    busy = user + nice + system + interrupt + soft + steal
    return busy, busy + idle + wait, sum(one.ru_utime + one.ru_stime for one in own)
