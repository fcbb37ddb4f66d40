"""The official Jiter client for node, unmodified, against the whole system."""

import pytest
from tests.clients.node import Run

pytestmark = [pytest.mark.client, pytest.mark.slow]


def test_everything_the_official_client_does_works(jiter_run: Run) -> None:
    jiter_run.succeeds()
