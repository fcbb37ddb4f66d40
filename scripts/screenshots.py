"""Takes pictures of the dashboard, on a system with some events of each kind.

Without options, it writes those of the README. Needs Debian's chromium.
"""

import click
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from playwright.sync_api import Browser
from qstash import QStash
from qstash.message import EnqueueResponse, FlowControl, PublishResponse
from tests.browser.visits import Visit, chromium
from tests.clients.system import System, running
from tests.system.processes import free_port
from typing import Literal, NamedTuple

DOCS = Path(__file__).parents[1] / "docs"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDE, HEIGHT = 1200, 800
WIDTHS = (WIDE, 390)
ORDERS, LATER, FAILING = 40, 120, 6
SCHEDULE = "daily-report"
CRON = "when=cron&expression=30+2+*+*+*&zone=Europe%2FBerlin"
Folder = click.Path(path_type=Path, file_okay=False)


class Shot(NamedTuple):
    """A page to show.

    Attributes:
        press: the selector of what is pressed on it first; '' for nothing.
        text: what the page has to show before.
    """

    name: str
    path: str
    press: str = ""
    text: str = ""


STRANGER = (
    Shot("sign-in", "/sign-in"),
    Shot("sign-in-refused", "/sign-in/unknown"),
    Shot("reference", "/docs"),
    Shot("reference-jiter", "/docs/jiter"),
    Shot("reference-qstash", "/docs/qstash"),
    Shot("reference-v1", "/docs/v1"),
)
# The pages that a new tenant sees empty.
LISTS = (
    Shot("overview", "/overview"),
    Shot("events", "/events"),
    Shot("schedules", "/schedules"),
    Shot("queues", "/queues"),
    Shot("flow-keys", "/queues/flow-control"),
    Shot("destinations", "/destinations"),
    Shot("dead-letters", "/dead-letters"),
    Shot("jobs", "/dead-letters/jobs"),
)
OPERATOR = (
    Shot("operator-overview", "/overview"),
    Shot("operator-choose-tenant", "/events"),
    Shot("operator-destinations", "/destinations"),
    Shot("operator-tenants", "/settings/tenants"),
    Shot("operator-tenant-remove", "/settings/tenants", press="td.actions a"),
    Shot("operator-tokens", "/settings/tokens"),
)
CHOSEN = (
    Shot("operator-chosen-overview", "/overview"),
    Shot("operator-chosen-events", "/events"),
)
FIXED = (
    Shot("events-none-match", "/events?queue=none"),
    Shot("events-scheduled", "/events?status=scheduled"),
    Shot("queue", "/queues/queue?dialect=qstash&name=mail"),
    Shot("flow-key", "/queues/flow-control/key?dialect=qstash&name=search-api"),
    Shot("schedule", f"/search?id={SCHEDULE}"),
    Shot("schedule-edit", f"/search?id={SCHEDULE}", press="text=Edit"),
    Shot("schedule-delete", f"/search?id={SCHEDULE}", press="text=Delete"),
    Shot("schedule-paused", "/search?id=cleanup"),
    Shot("create", "/create"),
    Shot("create-cron", f"/create?{CRON}"),
    Shot("create-refused", "/create", press="button[name=create]"),
    Shot("tokens", "/settings/tokens"),
    Shot("keys", "/settings/keys"),
    Shot("keys-values", "/settings/keys", press="text=Show the values"),
    Shot("search-not-found", "/search?id=msg_unknown"),
    Shot("error-not-found", "/events/unknown"),
)
# The jobs come last: they retry and delete what other pages show.
LETTERS = (
    Shot("dead-letters-delete", "/dead-letters", press="td.actions button.danger"),
    Shot("job-new", "/dead-letters/matching?action=retry"),
    Shot("job-new-delete", "/dead-letters/matching?action=delete"),
    Shot(
        *("job-running", "/dead-letters/matching?action=retry&rate=1"),
        *("main form button", "Running"),
    ),
    Shot(
        *("job-done", "/dead-letters/matching?action=delete"),
        *("main form button", "Done"),
    ),
    Shot("jobs", "/dead-letters/jobs"),
)


def fill(system: System) -> list[Shot]:
    """Create events of each kind; return the pages of one of each."""
    environ = system.credentials
    client = QStash(environ["QSTASH_TOKEN"], base_url=environ["QSTASH_URL"])
    receiver = environ["SCHEDULER_API"] + "/receiver"
    for number in range(ORDERS):
        client.message.publish_json(
            url=f"{receiver}/orders", body={"order": number}, label="orders"
        )
    for number in range(LATER):
        later = client.message.publish_json(
            url=f"{receiver}/reminders",
            body={"reminder": number},
            delay=f"{60 + 37 * number**2 % 3_500}s",
        )
    for number in range(FAILING):
        failing = client.message.publish_json(
            url=f"{receiver}/invoices?status=503", body={"invoice": number}, retries=0
        )
    client.queue.upsert("mail", parallelism=1)
    client.queue.pause("mail")
    for number in range(FAILING):
        held = client.message.enqueue_json(
            queue="mail", url=f"{receiver}/mail", body={"mail": number}
        )
    client.message.publish_json(
        url=f"{receiver}/search",
        body={},
        flow_control=FlowControl(key="search-api", parallelism=2, rate=10),
    )
    cancelled = client.message.publish_json(
        url=f"{receiver}/reminders", body={}, delay="2h"
    )
    assert isinstance(cancelled, PublishResponse)
    client.message.cancel(cancelled.message_id)
    retrying = client.message.publish_json(
        url=f"{receiver}/stock?status=500", body={}, retries=3, retry_delay="3600000"
    )
    client.schedule.create(
        destination=f"{receiver}/reports",
        cron="CRON_TZ=Europe/Berlin 30 2 * * *",
        schedule_id=SCHEDULE,
    )
    client.schedule.create(
        destination=f"{receiver}/cleanup", cron="*/5 * * * *", schedule_id="cleanup"
    )
    client.schedule.pause("cleanup")
    retried = client.message.publish_json(
        url=f"{receiver}/orders?first=2",
        body={"order": 4711, "customer": "c-0815", "paid": True},
        retries=3,
        retry_delay="1000",
        label="orders",
    )
    return [
        Shot("event", _path(retried), text="delivered, 200"),
        Shot("event-waiting", _path(later)),
        Shot("event-edit", f"{_path(later)}/edit"),
        Shot("event-held", _path(held)),
        Shot("event-retrying", _path(retrying), text="next attempt"),
        Shot("event-failed", _path(failing), text="503"),
        Shot("event-cancelled", _path(cancelled)),
    ]


def _path(published: object) -> str:
    assert isinstance(published, PublishResponse | EnqueueResponse), published
    return f"/events/{published.message_id}"


def take(
    visit: Visit, shots: Iterable[Shot], folder: Path, *, widths: Sequence[int] = ()
) -> None:
    """Write pictures of pages in both colour schemes, at each width."""
    for shot in shots:
        visit.go(shot.path)
        if shot.press:
            with visit.page.expect_navigation():
                visit.page.locator(shot.press).first.click()
        if shot.text:
            visit.wait_for_text(shot.text)
        for width in widths or (WIDE,):
            visit.page.set_viewport_size({"width": width, "height": HEIGHT})
            for scheme in SCHEMES:
                visit.page.emulate_media(color_scheme=scheme)
                suffix = f"-{width}" if widths else ""
                file = folder / f"{shot.name}-{scheme}{suffix}.png"
                visit.page.screenshot(path=file, full_page=True)
                click.echo(file)


def take_all(
    browser: Browser, system: System, events: Sequence[Shot], folder: Path
) -> None:
    """Write pictures of all pages, as strangers, operators and tenants see them."""
    empty = [each._replace(name=f"empty-{each.name}") for each in LISTS]
    groups = [
        ("", STRANGER),
        (system.credentials["QSTASH_TOKEN"], (*events, *LISTS, *FIXED)),
        (system.new_tenant("Example")["QSTASH_TOKEN"], empty),
        (system.credentials["SCHEDULER_OPERATOR_TOKEN"], OPERATOR),
    ]
    for token, shots in groups:
        visit = Visit(browser, system.credentials["QSTASH_URL"])
        if token:
            visit.sign_in(token)
        take(visit, shots, folder, widths=WIDTHS)
        visit.close()
    visit = as_operator(browser, system)
    take(visit, CHOSEN, folder, widths=WIDTHS)
    take(visit, LETTERS, folder, widths=WIDTHS)
    visit.close()


def as_operator(browser: Browser, system: System) -> Visit:
    """Return a window in which an operator sees the first tenant."""
    visit = Visit(browser, system.credentials["QSTASH_URL"])
    visit.sign_in(system.credentials["SCHEDULER_OPERATOR_TOKEN"])
    visit.go("/events")
    visit.press("Show")
    return visit


@click.command()
@click.option("--all", "folder", type=Folder, help="Write all pages into a folder.")
def main(folder: Path | None) -> None:
    """Take pictures of the dashboard."""
    scratch = tempfile.TemporaryDirectory(prefix="screenshots-")
    with scratch as data, chromium() as browser:
        system = System(Path(data) / "data", free_port())
        with running(system):
            events = fill(system)
            if folder is None:
                visit = as_operator(browser, system)
                take(visit, [events[0], LISTS[0]], DOCS)
                return
            folder.mkdir(parents=True, exist_ok=True)
            take_all(browser, system, events, folder)


if __name__ == "__main__":
    main()
