"""Tests of invalid cron expressions, which are refused with a reason and a position."""

import pytest
from scheduler_api.core.cron.expression import (
    FULL,
    Grammar,
    parse,
)
from scheduler_api.dialects.events_v1.cron_grammar import GRAMMAR as EVENTS_V1
from scheduler_api.dialects.jiter.cron_grammar import GRAMMAR as JITER
from scheduler_api.dialects.qstash.cron_grammar import GRAMMAR as QSTASH
from tests.core.cron.cron_times import refusal


@pytest.mark.parametrize(
    ("expression", "position", "reason"),
    [
        ("61 * * * *", 0, "'61' is out of range: the minute goes from 0 to 59"),
        ("  0 0 1,2,32 * *", 10, "the day of month goes from 1 to 31"),
        ("0 0 * * 1-9", 10, "the day of week goes from 0 to 7"),
        ("0 0 1 1 mon,fun", 12, "'fun' is not a valid day of week"),
        ("0 */x * * *", 4, "'x' is not a valid step"),
        ("0 1/ * * *", 4, "'' is not a valid step"),
        ("-1 * * * *", 0, "'-1' is not a valid minute"),
        ("5- * * * *", 2, "'5-' is not a valid minute"),
        ("*-5 * * * *", 0, "'*' is not a valid minute"),
        ("1- 2 * * * *", 2, "'1-' is not a valid second"),
        ("1,,2 * * * *", 2, "missing next to a comma"),
        ("0 22-2 * * *", 2, "write two ranges, such as '22-23,0-2'"),
        ("0 0 * * 7-2", 8, "write two ranges, such as '7-7,0-2'"),
        ("? * * * *", 0, "'?' is not a valid minute"),
        ("0 0 1,? * *", 6, "'?' is not a valid day of month"),
        ("0 L * * *", 2, "'L' is not a valid hour"),
        ("0 0 40W * *", 4, "the day of month goes from 1 to 31"),
        ("0 0 * * 1#0", 10, "'0' after '#' is out of range"),
        ("H(40-20) * * * *", 0, "runs backwards"),
        ("0 0 * *", 7, "4 fields and needs 5 fields, or 6 with seconds first"),
        ("0 0 * * * * 2025", 12, "7 fields and needs 5 fields"),
        ("0 0 \u0663 * *", 4, "is not allowed in a cron expression"),
        ("CRON_TZ=Mars/Base 0 0 * * *", 8, "unknown time zone 'Mars/Base'"),
        ("@reboot", 0, "'@reboot' is not an alias: use one of @annually, "),
        ("@daily 5", 7, "nothing may follow '@daily'"),
        ("@every", 6, "needs an interval such as"),
        ("@every 0s", 7, "an interval from 1s to ten years"),
        ("@every 1h 5m", 10, "nothing may follow the interval"),
        ("0 " * 600, 1000, "longer than 1000 characters"),
        ("0 0 31 4,6 *", None, "never fire"),
        ("0 0 */31 2 1#5", None, "never fire"),
    ],
)
def test_an_error_names_the_fault_and_its_position(
    expression: str, position: int | None, reason: str
) -> None:
    error = refusal(expression)

    assert reason in str(error)
    assert error.position == position


@pytest.mark.parametrize(
    "tz",
    ["", "Mars/Base", "../UTC", "/etc/passwd", "America", "right/UTC", "localtime"],
)
def test_an_unknown_time_zone_is_refused(tz: str) -> None:
    error = refusal("0 0 * * *", tz=tz)

    assert str(error) == f"unknown time zone {tz!r}"
    assert error.position is None


@pytest.mark.parametrize(
    ("grammar", "expression", "mark"),
    [
        (JITER, "0 0 L * *", "L"),
        (JITER, "0 0 * * 5L", "L"),
        (JITER, "0 0 1W * *", "W"),
        (JITER, "0 0 * * 1#2", "#"),
        (JITER, "0 0 ? * 1", "?"),
        (JITER, "H * * * *", "H"),
        (JITER, "@midnight", "@midnight"),
        (JITER, "@every 1h", "@every"),
        (JITER, "CRON_TZ=Asia/Tokyo 0 0 * * *", "CRON_TZ="),
        (QSTASH, "0 0 L * *", "L"),
        (QSTASH, "0 0 LW * *", "W"),
        (QSTASH, "0 0 * * 1#2", "#"),
        (QSTASH, "H/5 * * * *", "H"),
        (QSTASH, "@secondly", "@secondly"),
        (EVENTS_V1, "0 0 1W * *", "W"),
        (EVENTS_V1, "H * * * *", "H"),
        (EVENTS_V1, "@midnight", "@midnight"),
        (EVENTS_V1, "@every 1h", "@every"),
        (EVENTS_V1, "TZ=Asia/Tokyo 0 0 * * *", "TZ="),
    ],
)
def test_the_error_names_the_part_that_a_grammar_does_not_support(
    grammar: Grammar, expression: str, mark: str
) -> None:
    error = refusal(expression, grammar=grammar)

    assert str(error) == f"'{mark}' is not supported here"
    assert error.position is not None
    assert parse(expression, grammar=FULL)


@pytest.mark.parametrize("grammar", [JITER, QSTASH])
def test_the_error_names_a_field_for_seconds_that_is_not_supported(
    grammar: Grammar,
) -> None:
    error = refusal("0 0 12 * * *", grammar=grammar)

    assert "a field for seconds is not supported here" in str(error)
    assert error.position == 11


@pytest.mark.parametrize(
    ("grammar", "expression"),
    [
        (JITER, "*/5 0-6,22 1,15 jan-Mar MON-7/2"),
        (JITER, "@annually"),
        (QSTASH, "CRON_TZ=America/New_York */5 * * * *"),
        (QSTASH, "TZ=Asia/Tokyo @midnight"),
        (QSTASH, "*/10 * * * * "),
        (EVENTS_V1, "* * * 1 * *"),
        (EVENTS_V1, "* 5 * * *"),
        (EVENTS_V1, "0 0 0 L * ?"),
        (EVENTS_V1, "0 0 * * 5L"),
        (EVENTS_V1, "0 0 ? * 1#2"),
        (EVENTS_V1, "*/100 1,2,2 * * *"),
        (EVENTS_V1, "@secondly"),
    ],
)
def test_each_grammar_accepts_its_own_expressions(
    grammar: Grammar, expression: str
) -> None:
    assert parse(expression, grammar=grammar) == parse(expression)


def test_fewer_than_five_fields_are_refused() -> None:
    for grammar in (FULL, JITER, QSTASH, EVENTS_V1):
        for few in ("", " ", "5", "0 12", "0 12 1 *"):
            assert "needs 5 fields" in str(refusal(few, grammar=grammar))
