"""A browser without scripts, signed in to the dashboard on a real store."""

import pytest
from collections.abc import Callable
from flask.testing import FlaskClient
from tests.dashboard.browser import Browser, sign_in
from tests.dialects.conftest import fast_start, make_web, no_waiting, store_url
from tests.dialects.engine import Web

__all__ = ["fast_start", "make_web", "no_waiting", "store_url"]


@pytest.fixture
def web(make_web: Callable[..., Web]) -> Web:
    """The application with a tenant."""
    return make_web()


@pytest.fixture
def stranger(web: Web) -> FlaskClient:
    """A browser that nobody has signed in with."""
    client: FlaskClient = web.app.test_client()
    return client


@pytest.fixture
def browser(web: Web) -> Browser:
    """A browser in which the tenant is signed in."""
    return sign_in(web, web.tenant.token)
