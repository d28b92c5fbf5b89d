"""Python's garbage collector, set for a process that serves decisions.

Nearly everything a decision allocates is freed by reference counting. With its default thresholds
the collector still goes through all long-lived objects (modules, schemas, subjects) again and again
under load; that cost a third of the strict hits per second (`benchmarks/`). So what exists after
start-up is set aside, and collections become rarer. Garbage in cycles is still collected.
"""

from __future__ import annotations

import gc

_THRESHOLDS = (50_000, 20, 50)


def calm() -> None:
    """Call once, when the process has started. An embedding process decides this for itself."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
