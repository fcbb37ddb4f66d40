"""Creates the content of schedules' runs, and explains failed runs to url groups."""

from collections.abc import Mapping
from dataclasses import replace
from scheduler_api.core.delivery.retry import GROUP_MISSING
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Content, Schedule, State
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.schedules.schedules import newest_occurrence
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.qstash.parsing.message import Message, to_options


def error_of(
    schedule: Schedule, *, states: Mapping[str, State], queries: Queries
) -> str | None:
    """Return an error if the last run failed because its url group does not exist.

    Args:
        states: the states of the newest runs, by event id.
    """
    group, newest = schedule.content.url, newest_occurrence(schedule)
    if ":" in group or newest is None:
        return None
    if states.get(newest) not in (State.DEAD, State.CLEARED):
        return None
    try:
        reason = queries.event(schedule.owner, newest).reason
    except (NotFound, UnreadableRecord):
        return None
    return f"url group {group} not found" if reason == GROUP_MISSING else None


def content_of(message: Message, destination: str | Group, body: bytes) -> Content:
    """Return the content of every run of a schedule.

    The content has no cron expression, because the schedule stores it. The content has
    no deduplication, because only the creation of the schedule is deduplicated. For a
    url group, the content has the name of the group instead of a URL. Each run sends a
    message to each endpoint that the group has at the time of the run.
    """
    message = replace(
        message, cron=None, tz=None, deduplication_id=None, content_based=False
    )
    if isinstance(destination, Group):
        name = destination.name
        return Content(name, body, to_options(replace(message, topic=name)))
    return Content(destination, body, to_options(message))
