"""Tests of what people change on the pages, in a real browser on a running system."""

import pytest
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from qstash import QStash
from tests.browser.visits import PATHS, Visit
from tests.clients.system import System
from tests.system.processes import free_port, wait_until

pytestmark = pytest.mark.slow
SCRIPT = "<script>document.title = 'changed'</script><img src=x onerror=alert(1)>"
LETTERS, PER_S = 500, 250
# A failure that says nothing about the receiver's health, so that no breaker opens.
REFUSED = "status=418"


@pytest.fixture
def receiver(system: System) -> str:
    """The address of the built-in receiver."""
    return system.credentials["SCHEDULER_API"] + "/receiver/orders"


@pytest.fixture
def port() -> int:
    """A port that nothing listens on."""
    return free_port()


@pytest.fixture
def start_listening(port: int) -> Iterator[Callable[[], None]]:
    """Start a receiver on this port when it is called."""
    servers: list[ThreadingHTTPServer] = []

    def start() -> None:
        servers.append(ThreadingHTTPServer(("127.0.0.1", port), Accepting))
        threading.Thread(target=servers[-1].serve_forever, daemon=True).start()

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


class Accepting(BaseHTTPRequestHandler):
    """Accepts all requests."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def test_a_schedule_is_created_with_a_preview_and_seen_to_run(
    visit: Visit, receiver: str
):
    visit.go("/create")
    visit.page.get_by_label("Destination").fill(receiver)
    visit.page.get_by_label("Body").fill('{"hello": "world"}')
    visit.page.get_by_label(re.compile("by a cron line")).check()
    visit.page.get_by_label("Cron line", exact=True).fill("0 9 * * 1-5")
    visit.page.get_by_label("Time zone").fill("Europe/Berlin")
    # Without a button: the preview follows the fields.
    visit.wait_for_text("Monday")

    visit.press("Create")
    visit.wait_for_text("Next runs")
    visit.press("Run now")
    visit.wait_for_text("delivered, 200")


def test_a_dead_letter_is_sent_again_when_its_receiver_works(
    visit: Visit, client: QStash, port: int, start_listening: Callable[[], None]
):
    client.message.publish(url=f"http://127.0.0.1:{port}/", body="hello", retries=0)
    wait_until(lambda: visit.shows("/dead-letters", "refused the connection"))
    start_listening()

    with visit.page.expect_navigation():
        visit.page.get_by_role("button", name=re.compile("^Retry msg_")).click()

    visit.wait_for_text("1 sent again")
    wait_until(lambda: visit.shows("/events?status=delivered", "127.0.0.1"))


def test_all_dead_letters_that_match_are_sent_again_with_progress(
    visit: Visit, client: QStash, receiver: str
):
    client.message.batch(
        [{"url": f"{receiver}?{REFUSED}", "retries": 0}] * LETTERS  # type: ignore[list-item]
    )
    count = f"{LETTERS:,} dead letters match"
    path = "/dead-letters/matching?action=retry&cause=418"
    wait_until(lambda: visit.shows(path, count))
    visit.page.get_by_label("At most so many per second").fill(str(PER_S))
    visit.press(f"Retry {LETTERS}")

    visit.wait_for_text(f"Done: {LETTERS} sent again")
    wait_until(lambda: visit.shows(path, f"{LETTERS:,} dead letters match"))


def test_a_queue_is_paused_and_resumed(visit: Visit, client: QStash, receiver: str):
    client.queue.upsert("mail", parallelism=1)
    visit.go("/queues")
    visit.press("Pause")
    client.message.enqueue(queue="mail", url=receiver, body="hello")
    visit.go("/queues/queue?dialect=qstash&name=mail")
    visit.wait_for_text("it takes events, and sends none")
    wait_until(lambda: visit.shows("/overview", "1 event is held"))

    visit.go("/queues")
    visit.press("Resume")

    wait_until(lambda: visit.shows("/events?status=delivered", "/receiver/orders"))


def test_signing_keys_are_rotated(visit: Visit, client: QStash):
    before = client.signing_key.get()
    visit.go("/settings/keys")
    card = visit.page.locator("section.card", has_text="QStash")
    card.get_by_text("Rotate…").click()
    with visit.page.expect_navigation():
        card.get_by_role("button", name=re.compile("^Rotate the keys")).click()

    visit.wait_for_text("were rotated")
    assert client.signing_key.get().current == before.next
    assert before.next in visit.text()


def test_a_read_only_token_gets_no_button_that_changes_anything(
    new_visit: Callable[..., Visit], visit: Visit, client: QStash, receiver: str
):
    visit.go("/settings/tokens")
    visit.page.get_by_label("Name").fill("reader")
    visit.page.get_by_label("Read-only").check()
    visit.press("Create")
    token = visit.page.locator("code.copy").inner_text()
    client.queue.upsert("mail", parallelism=1)
    client.message.publish(url=f"{receiver}?{REFUSED}", retries=0)
    wait_until(lambda: visit.shows("/dead-letters", "418"))
    reader = new_visit()
    reader.sign_in(token)
    # Pages that only ask what to change are refused.
    reader.expected.add(403)

    with_buttons = {}
    for path in PATHS:
        reader.go(path)
        forms = reader.page.locator('form[method="post"]')
        actions = [each.get_attribute("action") for each in forms.all()]
        if actions != ["/sign-out"]:
            with_buttons[path] = actions

    assert with_buttons == {}


def test_a_stored_script_stays_text(visit: Visit, client: QStash, receiver: str):
    sent = client.message.publish(
        url=f"{receiver}?{REFUSED}&text={SCRIPT.replace(' ', '')}",
        body=SCRIPT,
        headers={"X-Note": SCRIPT},
        label=SCRIPT,
        retries=0,
    )
    wait_until(lambda: visit.shows("/dead-letters", "418"))
    titles = []
    for path in (*PATHS, f"/events/{sent.message_id}"):
        visit.go(path)
        titles.append(visit.page.title())

    # A script that ran would also have violated the policy, which fails the test.
    assert "changed" not in titles
    assert SCRIPT in visit.text()
