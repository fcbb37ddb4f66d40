"""axios, in the three ways it has spelt queries, against the whole system."""

import pytest
from collections.abc import Callable
from tests.clients.system import System

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_everything_that_axios_does_works(
    system: System, run_js_tests: Callable[[str, dict[str, str]], None]
) -> None:
    run_js_tests("v1*.test.mjs", system.credentials)
