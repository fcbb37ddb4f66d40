"""The official Jiter client for node, unmodified, against the whole system."""

import pytest
from collections.abc import Callable
from tests.clients.system import System

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_everything_the_official_client_does_works(
    system: System, run_js_tests: Callable[[str, dict[str, str]], None]
) -> None:
    foreign = {"JITER_FOREIGN_API_KEY": system.new_tenant("foreign")["JITER_API_KEY"]}

    run_js_tests("jiter*.test.mjs", system.credentials | foreign)
