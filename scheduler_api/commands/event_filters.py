"""The options that choose events and dead letters, and the ids that name them."""

import click
from scheduler_api.commands.common import (
    Decorator,
    owners_of_all,
    printable,
    read_time,
    together,
)
from scheduler_api.core.queries import ids
from scheduler_api.core.queries.event_pages import PAST, EventFilter, Status
from scheduler_api.core.queries.filters import Span, Target
from scheduler_api.core.queries.ids import Found
from scheduler_api.core.queries.sentences import count
from scheduler_api.services import Services
from typing import Any

DRY_RUN = click.option("--dry-run", is_flag=True, help="Only count what matches.")


def choosing_options(times: str) -> Decorator:
    """Return what adds the options for destination, queue, label and time.

    Args:
        times: what happened in the time that the options name, as in "Failed".
    """
    return together(
        click.option("--url", metavar="URL", default="", help="Beginning of the URL."),
        click.option("--queue", metavar="NAME", default="", help="Name of the queue."),
        click.option("--label", default="", help="Label that the client gave."),
        _time_option("--from", "start", f"{times} since this time."),
        _time_option("--to", "end", f"{times} until this time."),
    )


def _time_option(name: str, variable: str, text: str) -> Decorator:
    return click.option(name, variable, metavar="TIME", callback=read_time, help=text)


def span_and_target(chosen: dict[str, Any]) -> tuple[Span, Target]:
    """Return the time and the destination that the options choose."""
    time = Span(chosen["start"], chosen["end"])
    return time, Target(chosen["url"], chosen["queue"])


def event_filter(chosen: dict[str, Any]) -> EventFilter:
    """Return the filter that the options choose, with `--status`."""
    time, target = span_and_target(chosen)
    status = chosen["status"]
    return EventFilter(
        statuses=PAST if status is None else frozenset([Status(status)]),
        time=time,
        target=target,
        label=chosen["label"],
    )


def match_words(least: int, noun: str, *, most: int) -> str:
    """Return in words how many events or dead letters match."""
    at_least = "" if least == most else "at least "
    return f"{at_least}{count(least, noun)} match{'es' if least == 1 else ''}"


def confirm(verb: str, most: int) -> None:
    """Ask whether to do something with all that match; abort if not."""
    click.confirm(f"{verb} {'it' if most == 1 else 'them'}?", abort=True)


def find(services: Services, name: str, *, tenant_id: str | None = None) -> list[Found]:
    """Return the events and schedules that an id stands for.

    Args:
        tenant_id: whose they must be; None: of any tenant.

    Raises: click.ClickException: there are none.
    """
    owners = owners_of_all(services.settings, tenant_id)
    found = ids.find(services.cell, name, tenant=tenant_id, owners=owners)
    if not found:
        raise unknown(name)
    return found


def unknown(name: str) -> click.ClickException:
    """Return the error that an id is unknown."""
    return click.ClickException(
        f"no event and no schedule has the id {printable(name)}: it is wrong, of"
        " another cell, or its retention has ended"
    )


def find_events(services: Services, name: str) -> list[Found]:
    """Return the events that an id stands for, of any tenant.

    Raises: click.ClickException: there are none.
    """
    found = find(services, name)
    events = [each for each in found if not each.is_schedule]
    if not events:
        raise click.ClickException(f"{printable(name)} is a schedule: see `why`")
    return events
