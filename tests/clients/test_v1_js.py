"""axios, in the three ways it has spelt queries, against the whole system."""

import pytest
from tests.clients.node import Run
from tests.clients.system import System

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_everything_that_axios_does_works(system: System, node: str) -> None:
    Run(node, "v1*.test.mjs", system.credentials).succeeds()
