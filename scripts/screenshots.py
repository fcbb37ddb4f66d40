"""Takes pictures of the dashboard, on a system with some events of each kind.

Without options, it writes those of the README. Needs Debian's chromium.
"""

import click
import tempfile
from pathlib import Path
from playwright.sync_api import Browser
from qstash import QStash
from qstash.message import PublishResponse
from tests.browser.visits import Visit, chromium
from tests.clients.system import System, running
from tests.system.processes import free_port

DOCS = Path(__file__).parents[1] / "docs"
SCHEMES = ("light", "dark")
WIDE, NARROW = 1200, 390
ORDERS, LATER, FAILING = 40, 120, 6
Folder = click.Path(path_type=Path, file_okay=False)


def fill(system: System) -> dict[str, str]:
    """Create events of each kind; return the pages to show by their names."""
    environ = system.credentials
    client = QStash(environ["QSTASH_TOKEN"], base_url=environ["QSTASH_URL"])
    receiver = environ["SCHEDULER_API"] + "/receiver"
    for number in range(ORDERS):
        client.message.publish_json(
            url=f"{receiver}/orders", body={"order": number}, label="orders"
        )
    for number in range(LATER):
        client.message.publish_json(
            url=f"{receiver}/reminders",
            body={"reminder": number},
            delay=f"{60 + 37 * number**2 % 3_500}s",
        )
    for number in range(FAILING):
        client.message.publish_json(
            url=f"{receiver}/invoices?status=503", body={"invoice": number}, retries=0
        )
    client.queue.upsert("mail", parallelism=1)
    client.queue.pause("mail")
    for number in range(FAILING):
        client.message.enqueue_json(
            queue="mail", url=f"{receiver}/mail", body={"mail": number}
        )
    client.schedule.create(
        destination=f"{receiver}/reports",
        cron="CRON_TZ=Europe/Berlin 30 2 * * *",
        schedule_id="daily-report",
    )
    retried = client.message.publish_json(
        url=f"{receiver}/orders?first=2",
        body={"order": 4711, "customer": "c-0815", "paid": True},
        retries=3,
        retry_delay="1000",
        label="orders",
    )
    assert isinstance(retried, PublishResponse), retried
    return {
        "overview": "/overview",
        "event": f"/events/{retried.message_id}",
        "events": "/events",
        "schedules": "/schedules",
        "schedule": "/search?id=daily-report",
        "queues": "/queues",
        "destinations": "/destinations",
        "dead-letters": "/dead-letters",
        "create": "/create",
        "tokens": "/settings/tokens",
        "keys": "/settings/keys",
    }


def take(
    browser: Browser,
    system: System,
    pages: dict[str, str],
    folder: Path,
    *,
    width: int = WIDE,
    suffix: str = "",
) -> None:
    """Write a picture of each page in both colour schemes."""
    for scheme in SCHEMES:
        environ = system.credentials
        visit = Visit(browser, environ["QSTASH_URL"], color_scheme=scheme, width=width)
        visit.sign_in(environ["SCHEDULER_OPERATOR_TOKEN"])
        visit.go("/events")
        visit.press("Show")
        visit.go(pages["event"])
        visit.wait_for_text("delivered, 200")
        for name, path in pages.items():
            visit.go(path)
            file = folder / f"{name}-{scheme}{suffix}.png"
            visit.page.screenshot(path=file, full_page=True)
            click.echo(file)
        visit.close()


@click.command()
@click.option("--all", "folder", type=Folder, help="Write all pages into a folder.")
def main(folder: Path | None) -> None:
    """Take pictures of the dashboard."""
    scratch = tempfile.TemporaryDirectory(prefix="screenshots-")
    with scratch as data, chromium() as browser:
        system = System(Path(data) / "data", free_port())
        with running(system):
            pages = fill(system)
            if folder is None:
                chosen = {name: pages[name] for name in ("overview", "event")}
                take(browser, system, chosen, DOCS)
                return
            folder.mkdir(parents=True, exist_ok=True)
            for width in (WIDE, NARROW):
                take(browser, system, pages, folder, width=width, suffix=f"-{width}")


if __name__ == "__main__":
    main()
