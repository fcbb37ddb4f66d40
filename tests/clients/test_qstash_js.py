"""Tests of the official QStash client for node, unmodified, on a running system."""

import pytest
from tests.clients.node import Run
from tests.clients.system import System

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_the_node_tests_of_qstash_pass(system: System, node: str) -> None:
    environ = system.new_tenant("qstash-js")
    token = system.new_tenant("qstash-other")["QSTASH_TOKEN"]

    Run(node, "qstash*.test.mjs", environ | {"QSTASH_OTHER_TOKEN": token}).check()
