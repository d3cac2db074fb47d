"""Garbage collection, postponed while many objects are made that stay: modules, above all."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def postponed() -> Iterator[None]:
    """No garbage is looked for meanwhile. All that there is then counts as old: it is seldom looked through.

    For imports: the collector would look through all of torch several times, a tenth of a second each. Not
    for what is done again and again, as garbage would pile up.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # what others froze must stay so
            gc.freeze()
            gc.unfreeze()  # to and fro moves all objects into the oldest generation
        if enabled:
            gc.enable()
