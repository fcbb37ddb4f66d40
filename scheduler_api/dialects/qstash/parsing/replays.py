"""Sends the message of a dead letter again. Pure."""

from dataclasses import replace
from scheduler_api.core.model import NO_GATES, Content, Draft, Event
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.dialects.dialect import Redraft
from scheduler_api.dialects.qstash.parsing.message import (
    Message,
    from_options,
    schedule_id,
    to_gates,
    to_options,
)
from scheduler_api.dialects.qstash.settings import QstashSettings


def replayed(message: Message, letter: Event) -> Message:
    """Return the message of a dead letter as it is sent again: at once."""
    return replace(
        message,
        delay_ms=0,
        not_before_ms=None,
        deduplication_id=None,
        content_based=False,
        schedule_id=schedule_id(letter.schedule, message),
    )


def for_group_run(draft: Draft, message: Message) -> Draft:
    """Return the draft of a replay, without gates if the message only fans out.

    A schedule's run to a url group only creates the messages to the group's endpoints.
    Only these messages need gates and journal entries.
    """
    if draft.content.url == message.topic:
        return replace(draft, gates=NO_GATES, journal=False)
    return draft


def redraft_with(settings: EngineSettings) -> Redraft:
    """Return the function that drafts replays of dead letters."""
    default_ms = settings.of(QstashSettings).timeout_ms

    def redraft(letter: Event) -> Draft:
        message = replayed(from_options(letter.content.options), letter)
        draft = Draft(
            Content(letter.content.url, letter.content.body, to_options(message)),
            message.timeout_ms or default_ms,
            journal=True,
            gates=to_gates(message),
        )
        return for_group_run(draft, message)

    return redraft
