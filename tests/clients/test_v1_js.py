"""Tests of Scheduler v1 with three axios versions, which encode queries differently."""

import pytest
from tests.clients.node import Run
from tests.clients.system import System

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_the_node_tests_of_scheduler_v1_pass(system: System, node: str) -> None:
    Run(node, "v1*.test.mjs", system.credentials).check()
