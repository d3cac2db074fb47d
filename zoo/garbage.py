"""Garbage collection, postponed while many objects are made that stay: modules, above all."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def postponed() -> Iterator[None]:
    """No garbage is looked for meanwhile, and what was made then counts as old.

    Otherwise the collector looks through all of torch several times, a tenth of a second each.
    """
    collected, frozen = gc.isenabled(), gc.get_freeze_count()
    gc.disable()
    try:
        yield
    finally:
        if not frozen:  # to and fro moves all objects into the oldest generation; what others froze must stay
            gc.freeze()
            gc.unfreeze()
        if collected:
            gc.enable()
