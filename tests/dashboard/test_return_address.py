"""Tests of where the browser goes after a form."""

import pytest
from scheduler_api.core.model import Gates
from tests.dashboard.browser import OWN_PAGE, Browser
from tests.dashboard.test_flow import DIALECT, QUEUE, create
from tests.dialects.engine import Web

HOST = "http://localhost"


def pause(browser: Browser, sent_from: str) -> str | None:
    """Pause a queue by a form on a page; return the address that follows."""
    return browser.client.post(
        "/queues/pause",
        data={"dialect": DIALECT, "name": "mail"},
        headers=OWN_PAGE | {"Referer": sent_from},
    ).location


def test_a_form_in_a_list_returns_to_the_list_with_its_filter(
    web: Web, browser: Browser
) -> None:
    create(web, Gates(queue="mail"), 1)

    assert pause(browser, f"{HOST}/queues?contains=ma") == "/queues?contains=ma"


@pytest.mark.parametrize(
    "sent_from",
    [
        "",
        "http://evil.example/queues",
        f"{HOST}/queues/pause",
        f"{HOST}/nowhere",
        f"{HOST}//evil.example/queues",
        "javascript:alert(1)",
    ],
)
def test_no_other_address_leads_away_from_the_page_of_the_queue(
    web: Web, browser: Browser, sent_from: str
) -> None:
    create(web, Gates(queue="mail"), 1)

    assert pause(browser, sent_from) == QUEUE
