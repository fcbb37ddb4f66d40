"""Garbage collection for long-running processes that create many objects."""

import gc

# The arguments of `gc.set_threshold`. With Python's defaults (700, 10, 10), collections
# take an eighth of the CPU time of a delivery, and a full collection pauses the process
# for tens of milliseconds.
THRESHOLDS = (20_000, 20, 100)


def collect_rarely() -> None:
    """Exempt all existing objects from collection, and collect new objects less often.

    Call this function once, at the end of the process's startup.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
