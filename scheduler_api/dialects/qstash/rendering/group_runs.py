"""The runs of schedules: what they send, and why a run to a url group failed."""

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
    """The error of the last run if its url group did not exist, else None.

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
    """The content of every run of a schedule.

    It leaves out the cron rule, which belongs to the schedule, and deduplication, which
    applies only to the schedule's creation. The content for a url group has the group's
    name as its URL; each run sends to the endpoints that the group has by then.
    """
    message = replace(
        message, cron=None, tz=None, deduplication_id=None, content_based=False
    )
    if isinstance(destination, Group):
        name = destination.name
        return Content(name, body, to_options(replace(message, topic=name)))
    return Content(destination, body, to_options(message))
