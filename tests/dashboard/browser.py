"""A browser without scripts, for tests of the dashboard."""

import re
from flask.testing import FlaskClient
from html import unescape
from tests.dialects.engine import Web

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


class Browser:
    """Gets pages, and posts forms as a page of the dashboard does."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def page(self, path: str) -> str:
        """Return the HTML of a page that exists."""
        response = self.client.get(path)
        assert response.status_code == 200, response.text
        return response.text

    def text(self, path: str) -> str:
        """Return a page as text, without tags."""
        return " ".join(unescape(re.sub(r"<[^>]*>", " ", self.page(path))).split())

    def post(self, path: str, **form: str) -> int:
        """Post a form; return the status."""
        return self.client.post(path, data=form, headers=OWN_PAGE).status_code


def sign_in(web: Web, token: str) -> Browser:
    """Return a browser in which the holder of a token is signed in."""
    browser = Browser(web.app.test_client())
    assert browser.post("/sign-in", token=token) == 303
    return browser
