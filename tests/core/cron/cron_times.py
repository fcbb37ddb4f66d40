"""Helpers that return the fire times of a cron expression, or its parse error."""

import pytest
from datetime import UTC, datetime
from itertools import islice
from scheduler_api.core.cron.expression import CronError, parse, upcoming
from typing import Any

NEW_YORK = "America/New_York"
ZONES = (
    "UTC",
    NEW_YORK,
    "Europe/Dublin",
    "Africa/Cairo",
    "America/Havana",
    "America/Sao_Paulo",
    "America/St_Johns",
    "Antarctica/Troll",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
)


def ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def times(
    expression: str, *, after: str, count: int, tz: str = "UTC", seed: str = ""
) -> list[str]:
    cron = parse(expression, tz=tz, seed=seed)
    return [iso(at_ms) for at_ms in islice(upcoming(cron, after_ms=ms(after)), count)]


def refusal(expression: str, **options: Any) -> CronError:
    with pytest.raises(CronError) as caught:
        parse(expression, **options)
    return caught.value
