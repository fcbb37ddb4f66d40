"""Sends the content of a finished event again. Pure."""

from dataclasses import replace
from scheduler_api.core.model import Draft, Event
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.dialects.dialect import Redraft
from scheduler_api.dialects.jiter.settings import JiterSettings
from typing import Any

# The content option that contains the id of the replayed event.
REPLAY_OF = "ro"


def replay_options(origin: Event) -> dict[str, Any]:
    """Return the content options of a replay."""
    return {REPLAY_OF: origin.id}


def redraft_with(settings: EngineSettings) -> Redraft:
    """Return the function that drafts replays of dead letters."""
    deadline_ms = settings.of(JiterSettings).timeout_ms

    def redraft(letter: Event) -> Draft:
        content = replace(letter.content, options=replay_options(letter))
        return Draft(content, deadline_ms)

    return redraft
