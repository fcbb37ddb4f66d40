"""How many requests, URLs and operations the tests generate.

Normally the tests generate few inputs, and the same ones in each run. `scripts/fuzz`
sets FUZZ_FACTOR: then they generate so many times more, and others in each run.
"""

import os
from hypothesis import HealthCheck, settings
from typing import Any

FACTOR = int(os.environ.get("FUZZ_FACTOR", "0"))


def budget(examples: int, **options: Any) -> settings:
    """Return the settings of a test that normally generates `examples` inputs."""
    return settings(
        max_examples=examples * max(FACTOR, 1),
        derandomize=FACTOR == 0,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        **options,
    )
