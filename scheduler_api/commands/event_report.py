"""`events show`: the request of an event, its attempts, and the last response."""

import base64
import click
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from scheduler_api import services
from scheduler_api.commands.attempt_words import attempt_json, attempt_words
from scheduler_api.commands.common import (
    AS_JSON,
    UNREADABLE,
    api_of,
    facts_table,
    iso_or_none,
    open_cell,
    print_json,
    printable,
    screen,
    to_seconds,
)
from scheduler_api.commands.environment import pass_settings
from scheduler_api.commands.event_filters import find_events
from scheduler_api.core import public_ids
from scheduler_api.core.delivery.attempt_fields import body_marks
from scheduler_api.core.delivery.causes import end_of
from scheduler_api.core.delivery.request import Headers, Outgoing
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Attempt, Event, State
from scheduler_api.core.queries.event_pages import status_of
from scheduler_api.core.queries.event_places import Place, read_place
from scheduler_api.core.queries.ids import Found
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from scheduler_api.settings import Settings
from scheduler_api.web.next_request import next_request

# How much of a body a person sees.
MAX_BODY_BYTES = 4_096


@dataclass(frozen=True)
class Report:
    """An event and what happened to it.

    Attributes:
        status: as in lists of events.
        request: that of the last attempt or, if the event has not ended, of the next
            one; None if it cannot be known.
        held_by: what holds the event, or ''.
    """

    event: Event
    status: str
    place: Place
    held_by: str
    request: Outgoing | None
    attempts: Sequence[Attempt]

    @property
    def public_id(self) -> str:
        """The id that clients use."""
        return public_ids.event_id(self.event.owner, self.event.id)

    @property
    def has_ended(self) -> bool:
        """Whether no attempt follows."""
        return self.event.state is not State.ACTIVE


@click.command("show")
@click.argument("name", metavar="ID")
@AS_JSON
@pass_settings
def show(settings: Settings, name: str, *, as_json: bool) -> None:
    """Show the request of an event, its attempts, and the last response.

    ID is any id that a client has, in any API. Credentials and signatures are masked.
    """
    open_cell(settings)
    built = services.build(settings)
    reports = [_read(built, each) for each in find_events(built, name)]
    if as_json:
        print_json({"found": [*map(to_json, reports)]})
    else:
        screen().print(Group(*(part for each in reports for part in _parts(each))))


def _read(built: Services, found: Found) -> Report:
    """Raises: click.ClickException: the event cannot be read."""
    try:
        event = built.queries.event(found.owner, found.id)
        attempts = built.queries.attempts(found.id)
    except (UnreadableRecord, NotFound) as err:
        raise click.ClickException(UNREADABLE) from err
    now_ms, held_by = built.cell.now_ms(), ""
    if event.state is State.ACTIVE:
        held_by = built.holding.of_event(event.owner, event.id, besides="")
    return Report(
        event,
        status=status_of(event, now_ms),
        place=read_place(built.cell, event.id),
        held_by=held_by,
        request=_request_of(built, event, attempts, now_ms),
        attempts=attempts,
    )


def _request_of(
    built: Services, event: Event, attempts: Sequence[Attempt], now_ms: int
) -> Outgoing | None:
    halves = outbound.outbound_halves(built.settings)
    if event.state is State.ACTIVE or not attempts:
        return next_request(event, halves, now_ms=now_ms)
    last = attempts[-1]
    before = replace(event, attempts=last.number - 1)
    return next_request(before, halves, now_ms=last.started_ms)


def _parts(report: Report) -> Iterator[RenderableType]:
    title = f"Event {printable(report.public_id)}: {report.status}"
    yield Text(title, "bold", overflow="fold")
    yield _facts(report)
    which = "last" if report.has_ended and report.attempts else "next"
    yield Text(f"\nRequest of the {which} attempt", "bold")
    yield from _request(report)
    yield Text("\nAttempts", "bold")
    yield _attempts(report.attempts) if report.attempts else Text("none yet")
    if report.attempts:
        yield from _response(report.attempts[-1])


def _facts(report: Report) -> Table:
    event = report.event
    facts = {
        "tenant": f"{event.owner.tenant}, API {api_of(event.owner)}",
        "queue": report.place.queue,
        "flow-control key": report.place.flow_key,
        "created": to_seconds(event.created_ms),
        "due": to_seconds(event.wanted_ms),
        "held by": report.held_by,
        "next attempt": "" if report.has_ended else to_seconds(event.next_ms),
        "ended": to_seconds(event.finished_ms) if event.finished_ms else "",
        "reason": end_of(event.reason or ""),
    }
    return facts_table(facts)


def _request(report: Report) -> Iterator[Text]:
    request = report.request
    if request is None:
        yield _folded(report.event.content.url)
        return
    yield _folded(f"{request.method} {request.url}")
    yield from _message(request.headers, request.body)


def _attempts(attempts: Sequence[Attempt]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for each in attempts:
        words = attempt_words(each, all_times=True)
        if each.possible_duplicate:
            words += "; marked as a possible duplicate"
        table.add_row(str(each.number), to_seconds(each.started_ms), _folded(words))
    return table


def _response(attempt: Attempt) -> Iterator[Text]:
    if attempt.status is None:
        return
    yield Text(f"\nResponse to attempt {attempt.number}", "bold")
    yield Text(f"status {attempt.status}")
    yield from _message(attempt.headers, attempt.response)
    if attempt.body_truncated:
        yield Text("(only the beginning is kept)", "dim")
    elif attempt.body_incomplete:
        yield Text("(the receiver did not send all of it)", "dim")


def _message(headers: Headers, body: bytes) -> Iterator[Text]:
    for name, value in headers:
        yield _folded(f"{name}: {value}")
    if body:
        yield Text(f"\n{_body_text(body)}", overflow="fold")


def _folded(text: str) -> Text:
    """Return a line whose words are broken rather than cut."""
    return Text(printable(text), overflow="fold")


def _body_text(body: bytes) -> str:
    start = body[:MAX_BODY_BYTES]
    try:
        lines = start.decode(errors="strict" if start == body else "ignore").split("\n")
    except UnicodeDecodeError:
        return f"({len(body):,} bytes that are no text; --json prints them)"
    text = "\n".join(printable(line.expandtabs()) for line in lines)
    left = len(body) - len(start)
    return f"{text}\n({left:,} more bytes; --json prints them)" if left else text


def to_json(report: Report) -> dict[str, object]:
    """Return a report as JSON; times are ISO 8601."""
    event, request = report.event, report.request
    return {
        "id": report.public_id,
        "tenant": event.owner.tenant,
        "api": api_of(event.owner),
        "status": report.status,
        "created": to_iso(event.created_ms),
        "due": to_iso(event.wanted_ms),
        "next": None if report.has_ended else to_iso(event.next_ms),
        "ended": iso_or_none(event.finished_ms),
        "reason": event.reason,
        "heldBy": report.held_by or None,
        "queue": report.place.queue or None,
        "flowControlKey": report.place.flow_key or None,
        "request": {
            "method": request.method if request else None,
            "url": event.content.url,
            "headers": dict(request.headers) if request else {},
            **_body_json(request.body if request else event.content.body),
        },
        "attempts": [*map(_attempt_json, report.attempts)],
    }


def _attempt_json(attempt: Attempt) -> dict[str, object]:
    return {
        **attempt_json(attempt),
        "response": {
            "headers": dict(attempt.headers),
            **_body_json(attempt.response),
            **body_marks(
                incomplete=attempt.body_incomplete, truncated=attempt.body_truncated
            ),
        },
    }


def _body_json(body: bytes) -> dict[str, str]:
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"bodyBase64": base64.b64encode(body).decode()}
