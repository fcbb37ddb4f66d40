"""What the runs of schedules send to a URL or a url group, and what is wrong there."""

from collections.abc import Mapping
from dataclasses import replace
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Content, Schedule, State
from scheduler_api.core.queries.events import Queries
from scheduler_api.core.schedules.schedules import newest_occurrence
from scheduler_api.core.tenants.url_groups import GROUP_MISSING, Group
from scheduler_api.dialects.qstash.parsing.message import Message, to_options


def error_of(
    schedule: Schedule, *, states: Mapping[str, State], queries: Queries
) -> str | None:
    """What is wrong, where the group was gone at the last run; else None.

    Args:
        states: how far newest runs are, by their ids.

    Raises: redis.RedisError.
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


def content_of(said: Message, to: str | Group, body: bytes) -> Content:
    """What every run says: the rule is the schedule's, deduplication its creation's.

    That of a group goes to no URL, but by the name of the group to those who are in it.
    """
    said = replace(said, cron=None, tz=None, deduplication_id=None, content_based=False)
    if isinstance(to, Group):
        return Content(to.name, body, to_options(replace(said, topic=to.name)))
    return Content(to, body, to_options(said))
