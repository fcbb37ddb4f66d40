"""OpenAPI schemas for schedules that all dialects share."""

from collections.abc import Collection, Mapping
from enum import StrEnum
from marshmallow import Schema, fields
from marshmallow.validate import OneOf, Range
from scheduler_api.core.cron.clock_changes import Fold, Gap
from scheduler_api.core.model import MissedRuns, Overlap
from scheduler_api.web.schedule_options import (
    CHOICES,
    DESCRIPTIONS,
    MAX_MISSED,
    MAX_RUNS,
)
from scheduler_api.web.schedule_runs import COUNT, MAX_COUNT, OUTCOMES, STATES

HELD_BY = "The origin or route for which the event waits; absent if it does not"
HELD_SINCE = "Since when it waits"


def _one_of(choices: type[StrEnum]) -> Mapping[str, object]:
    return {"type": ["string", "null"], "enum": [*choices, None]}


def _up_to(maximum: int) -> Mapping[str, object]:
    return {"type": ["integer", "null"], "minimum": 1, "maximum": maximum}


# The JSON Schema of each option in a request, without its description.
_DATE = {"type": ["string", "null"], "format": "date-time"}
_VALUES: Mapping[str, Mapping[str, object]] = {
    "timeZone": {"type": ["string", "null"], "examples": ["Europe/Berlin"]},
    "mostMissed": _up_to(MAX_MISSED),
    "startDate": _DATE,
    "endDate": _DATE,
    "maxRuns": _up_to(MAX_RUNS),
    "jitter": {"type": ["string", "integer", "null"]},
    **{name: _one_of(choices) for name, choices in CHOICES.items()},
}


def options_shape(*, without: Collection[str] = ()) -> Mapping[str, object]:
    """Return the JSON Schema of options in a request; null resets an option.

    Args:
        without: the names of options that are refused.
    """
    return {
        "type": "object",
        "properties": {
            name: {**_VALUES[name], **_about(name)}
            for name in DESCRIPTIONS
            if name not in without
        },
    }


def _about(name: str) -> dict[str, str]:
    return {"description": DESCRIPTIONS[name]}


class Options(Schema):
    """Options of a schedule."""

    timeZone = fields.String(metadata=_about("timeZone"))
    gap = fields.String(validate=OneOf([*Gap]), metadata=_about("gap"))
    fold = fields.String(validate=OneOf([*Fold]), metadata=_about("fold"))
    missedRuns = fields.String(
        validate=OneOf([*MissedRuns]), metadata=_about("missedRuns")
    )
    mostMissed = fields.Integer(metadata=_about("mostMissed"))
    startDate = fields.DateTime(metadata=_about("startDate"))
    endDate = fields.DateTime(metadata=_about("endDate"))
    maxRuns = fields.Integer(metadata=_about("maxRuns"))
    jitter = fields.String(metadata=_about("jitter"))
    overlap = fields.String(validate=OneOf([*Overlap]), metadata=_about("overlap"))


class RunsQuery(Schema):
    """How many fire times to list."""

    count = fields.Integer(
        validate=Range(1, MAX_COUNT), metadata={"description": f"{COUNT} of fire times"}
    )


class RunResponse(Schema):
    """A fire time and its outcome."""

    at = fields.DateTime(required=True)
    outcome = fields.String(required=True, validate=OneOf(OUTCOMES))
    state = fields.String(validate=OneOf(STATES))
    attempts = fields.Integer()
    reason = fields.String(metadata={"description": "Why it was skipped or failed"})
    heldBy = fields.String(metadata={"description": HELD_BY})
    heldSince = fields.DateTime(metadata={"description": HELD_SINCE})
