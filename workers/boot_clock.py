"""A clock that nobody sets, and that also counts while the machine is suspended."""

import time

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def boot_s() -> float:
    """Return the time of the clock in seconds."""
    return time.clock_gettime(_CLOCK)


def boot_ms() -> float:
    """Return the time of the clock in milliseconds."""
    return boot_s() * 1000
