"""`publish`: sends a webhook through the API, now, later or by a cron expression."""

import click
import requests
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from scheduler_api.commands.common import (
    AS_JSON,
    print_json,
    printable,
    read_time,
    to_seconds,
)
from scheduler_api.commands.environment import require, variables_of
from scheduler_api.commands.http_arguments import Headers, read_body, read_headers
from scheduler_api.core.timestamps import to_iso
from scheduler_api.schedule_files.connection import ApiError, Connection, read_json
from scheduler_api.schedule_files.qstash import VARIABLES
from scheduler_api.schedule_files.qstash_account import connect
from typing import Any
from urllib.parse import quote

# Headers that the API reads itself; all others are for the receiver.
OWN = ("upstash-", "scheduler-", "content-type")
IGNORED = "Scheduler-Ignored"


@dataclass(frozen=True)
class Published:
    """What was stored.

    Attributes:
        id: of the event or the schedule.
        due_ms: when it is due, or runs first; None if that cannot be read.
    """

    id: str
    due_ms: int | None
    is_duplicate: bool


@click.command("publish")
@click.argument("url")
@click.option(
    "-X", "--method", metavar="METHOD", help="Method of the request; default: POST."
)
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'|@FILE",
    callback=read_headers,
    help="Header for the receiver; those with Upstash- or Scheduler- are for the API.",
)
@click.option(
    "-d",
    "--body",
    metavar="TEXT|@FILE|@-",
    callback=read_body,
    help="Body; @- reads standard input.",
)
@click.option("--delay", metavar="DURATION", help="Send it so much later: 90s, 1h30m.")
@click.option("--at", "at_ms", metavar="TIME", callback=read_time, help="Send it then.")
@click.option("--cron", metavar="EXPRESSION", help="Create a schedule.")
@click.option("--queue", metavar="NAME", help="Send it through this queue.")
@click.option("--label", metavar="TEXT", help="Label for `events list --label`.")
@click.option("--retries", metavar="NUMBER", help="How often to try again at most.")
@AS_JSON
@click.pass_context
def publish(
    ctx: click.Context,
    /,
    *,
    url: str,
    headers: Headers,
    body: bytes | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Send a webhook to a URL or a URL group, and print its id and when it is due.

    Uses the QStash API with QSTASH_URL and QSTASH_TOKEN, as its clients do. Headers
    have its other options, such as -H 'Upstash-Timeout: 30s'. A cron expression may
    begin with a time zone: CRON_TZ=Europe/Berlin 0 8 * * *
    """
    times = [name for name in ("delay", "at_ms", "cron") if options[name] is not None]
    if len(times) > 1:
        raise click.UsageError("give one of --delay, --at and --cron")
    variables = variables_of(ctx)
    require(variables, VARIABLES)
    connection = connect(variables)
    route = "publish" if options["cron"] is None else "schedules"
    try:
        response = connection.request(
            *("POST", f"/v2/{route}/{url}"),
            body=body or b"",
            headers=dict(_headers(headers, options)),
        )
        found = [*_read(connection, response)]
    except ApiError as err:
        raise click.ClickException(printable(str(err))) from err
    if IGNORED in response.headers:
        click.echo(f"without effect: {printable(response.headers[IGNORED])}", err=True)
    if as_json:
        print_json(_to_json(found))
        return
    for each in found:
        click.echo(_sentence(each, options["cron"]))


def _headers(
    headers: Headers, options: Mapping[str, Any]
) -> Iterator[tuple[str, bytes]]:
    for name, value in headers.items():
        prefix = "" if name.lower().startswith(OWN) else "Upstash-Forward-"
        yield f"{prefix}{name}", value.encode("utf-8", "surrogateescape")
    at_ms = options["at_ms"]
    values = {
        "Method": options["method"],
        "Delay": options["delay"],
        "Cron": options["cron"],
        "Not-Before": None if at_ms is None else str(-(-at_ms // 1000)),
        "Queue-Name": options["queue"],
        "Label": options["label"],
        "Retries": options["retries"],
    }
    for name, value in values.items():
        if value is not None:
            yield f"Upstash-{name}", value.encode("utf-8", "surrogateescape")


def _read(connection: Connection, response: requests.Response) -> Iterator[Published]:
    """Yield what a response says was stored. A message to a group is several."""
    answer = read_json(response)
    for each in answer if isinstance(answer, list) else [answer]:
        if "scheduleId" in each:
            path, field = (
                f"/v2/schedules/{quote(each['scheduleId'])}",
                "nextScheduleTime",
            )
        else:
            path, field = f"/v2/messages/{each['messageId']}", "notBefore"
        yield Published(
            each.get("scheduleId") or each["messageId"],
            due_ms=_time(connection, path, field),
            is_duplicate=bool(each.get("deduplicated")),
        )


def _time(connection: Connection, path: str, field: str) -> int | None:
    """Return a time from an answer; None if it has none, or the object is gone."""
    try:
        found = connection.send("GET", path)
    except ApiError:
        return None
    value = found.get(field)
    return value if isinstance(value, int) else None


def _sentence(published: Published, cron: str | None) -> str:
    words = [f"{'message' if cron is None else 'schedule'} {printable(published.id)}"]
    if published.due_ms is not None:
        due = "due" if cron is None else "first run"
        words.append(f"{due} {to_seconds(published.due_ms)}")
    if published.is_duplicate:
        words.append("stored before, with the same deduplication id")
    return ", ".join(words)


def _to_json(found: list[Published]) -> dict[str, object]:
    return {
        "published": [
            {
                "id": each.id,
                "due": None if each.due_ms is None else to_iso(each.due_ms),
                "isDuplicate": each.is_duplicate,
            }
            for each in found
        ]
    }
