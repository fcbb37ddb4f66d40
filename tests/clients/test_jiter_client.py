"""Tests of the official Jiter client for node, unmodified, against a running system."""

import pytest
from tests.clients.node import Run

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_the_node_tests_of_jiter_pass(jiter_run: Run) -> None:
    jiter_run.check()
