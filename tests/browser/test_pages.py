"""Tests of what people do on the pages, in a real browser on a running system."""

import pytest
import re
import requests
from collections.abc import Callable
from qstash import QStash
from tests.browser.visits import LONG, PATHS, PUBLIC, Visit
from tests.clients.system import System

pytestmark = pytest.mark.slow
RECEIVER = "/receiver/orders"
SIGN_IN_ADDRESS = re.compile(r"http://\S+/sign-in/\S+")


def receiver(system: System, query: str = "") -> str:
    """The address of the built-in receiver, with options."""
    base = system.credentials["SCHEDULER_API"]
    return f"{base}{RECEIVER}?{query}" if query else f"{base}{RECEIVER}"


def test_the_printed_address_signs_in_once(
    system: System, new_visit: Callable[..., Visit]
):
    found = SIGN_IN_ADDRESS.search(system.log.read_text())
    assert found is not None, system.log.read_text()
    window = new_visit()

    window.go(found[0])
    assert window.page.url.endswith("/overview")

    other = new_visit()
    other.expected.add(401)
    other.go(found[0])
    assert "/overview" not in other.page.url


def test_an_event_is_seen_from_its_creation_to_its_delivery(
    system: System, visit: Visit, client: QStash
):
    sent = client.message.publish(url=receiver(system), body="hello", delay="2s")
    visit.go("/overview")
    visit.page.get_by_label("Search by id").fill(sent.message_id)
    visit.page.keyboard.press("Enter")

    visit.wait_for_text("Status")
    # Without a reload: the page refreshes itself.
    visit.wait_for_text("delivered, 200")


def test_the_page_of_a_failed_event_says_why(
    system: System, visit: Visit, client: QStash
):
    sent = client.message.publish(url=receiver(system, "status=418"), retries=0)
    visit.go(f"/events/{sent.message_id}")

    visit.wait_for_text("418")


def test_a_revoked_token_ends_its_open_pages(
    system: System,
    new_visit: Callable[..., Visit],
    tenant: dict[str, str],
    visit: Visit,
):
    visit.go("/settings/tokens")
    visit.page.get_by_label("Name").fill("for a while")
    visit.press("Create")
    token = visit.page.locator("code.copy").inner_text()
    other = new_visit()
    other.sign_in(token)
    other.go("/overview")
    other.expected.add(401)

    visit.go("/settings/tokens")
    row = visit.page.get_by_role("row", name=re.compile("for a while"))
    with visit.page.expect_navigation():
        row.get_by_role("button", name="Revoke").click()

    # The next refresh of the open page is refused, and leads to the sign-in.
    other.page.wait_for_url(re.compile("/sign-in"))
    answer = requests.get(
        f"{tenant['QSTASH_URL']}/v2/schedules",
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    )
    assert answer.status_code == 401


@pytest.mark.client
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_problem_on_any_page(
    scheme: str,
    system: System,
    client: QStash,
    tenant: dict[str, str],
    new_visit: Callable[..., Visit],
):
    sent = client.message.publish(url=receiver(system, "status=500"), retries=0)
    window = new_visit(color_scheme=scheme)
    problems = []
    for path in PUBLIC:
        window.go(path)
        problems += window.accessibility_problems()
    window.sign_in(tenant["QSTASH_TOKEN"])
    for path in (*PATHS, f"/events/{sent.message_id}"):
        window.go(path)
        problems += window.accessibility_problems()

    assert problems == []


def test_no_page_is_wider_than_a_phone(
    tenant: dict[str, str], new_visit: Callable[..., Visit]
):
    window = new_visit(width=390)
    window.sign_in(tenant["QSTASH_TOKEN"])
    wide = []
    for path in (*PUBLIC, *LONG, *PATHS):
        window.go(path)
        wide += [path] * window.scrolls_sideways()

    assert wide == []
