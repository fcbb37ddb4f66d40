"""The garbage collector, in processes that live long and make many objects a second."""

import gc

# So many more made than freed before the youngest are looked at, and so many of these
# looks before one at the older. Python's own (700, 10, 10) cost an eighth of what a
# delivery costs, and pauses of tens of ms whenever everything is looked at.
THRESHOLDS = (20_000, 20, 100)


def collect_rarely() -> None:
    """Takes what a process has made so far for lasting, and looks at the rest rarely.

    To be called once, when the process is ready to work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
