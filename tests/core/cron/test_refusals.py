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
        ("0 */x * * *", 4, "'x' is not a valid step in the hour: use a whole number"),
        ("0 1/ * * *", 4, "'/' has no step in the hour: use a whole number"),
        ("0 0 * * Lundi", 8, "'Lundi' is not a valid day of week"),
        ("0 0 * * avril", 8, "'avril' is not a valid day of week"),
        ("0 0 now * *", 4, "'now' is not a valid day of month"),
        ("1\u20135 * * * *", 1, "is not allowed in a cron expression: use '-'"),
        ("1\u22125 * * * *", 1, "is not allowed in a cron expression: use '-'"),
        ("0\u00a00 * * *", 1, "is not allowed in a cron expression: use a space"),
        ("\uff15 * * * *", 0, "is not allowed in a cron expression: use '5'"),
        ("\u00b2 * * * *", 0, "is not allowed in a cron expression: use ASCII only"),
        ("-1 * * * *", 0, "'-1' is not a valid minute"),
        ("5- * * * *", 2, "'5-' is not a valid minute"),
        ("*-5 * * * *", 0, "'*' is not a valid minute"),
        ("1- 2 * * * *", 2, "'1-' is not a valid second"),
        ("1,,2 * * * *", 2, "a value of the minute is missing next to a comma"),
        (
            "0 22-2 * * *",
            2,
            "of the hour runs backwards: write two ranges, such as '22-23,0-2'",
        ),
        ("0 0 * * 7-2", 8, "write two ranges, such as '7-7,0-2'"),
        ("? * * * *", 0, "'?' is not a valid minute"),
        ("0 0 1,? * *", 6, "'?' is not a valid day of month"),
        ("0 L * * *", 2, "'L' is not a valid hour"),
        ("0 0 40W * *", 4, "the day of month goes from 1 to 31"),
        ("0 0 * * 1#0", 10, "'0' after '#' in the day of week is out of range"),
        ("H(40-20) * * * *", 2, "'40-20' of the minute runs backwards"),
        ("0 0 * *", 7, "4 fields and needs 5 fields: minute, hour, "),
        ("0 0 * * * * 2025", 12, "7 fields and needs 5 fields"),
        ("0 0 \u0663 * *", 4, "is not allowed in a cron expression"),
        ("CRON_TZ=Mars/Base 0 0 * * *", 8, "unknown time zone 'Mars/Base'"),
        ("@reboot", 0, "'@reboot' is not an alias: use one of @annually, "),
        ("@daily 5", 7, "nothing may follow '@daily'"),
        ("@every", 6, "needs an interval such as"),
        ("@every 0s", 7, "an interval from 1s to ten years"),
        ("@every 1h 5m", 10, "nothing may follow the interval"),
        ("0 " * 600, 1000, "longer than 1000 characters"),
        ("0 0 31 4,6 *", None, "never fire: no year has a day with day of month '31',"),
        ("0 0 30 2 *", None, "with day of month '30', month '2'; use a day that"),
        ("0 0 */31 2 1#5", None, "'*/31', month '2', day of week '1#5'; use a day"),
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

    assert str(error) == f"unknown time zone {tz!r}: use a name such as Europe/Berlin"
    assert error.position is None


@pytest.mark.parametrize(
    ("written", "name"),
    [("utc", "UTC"), ("europe/berlin", "Europe/Berlin"), ("US/eastern", "US/Eastern")],
)
def test_a_time_zone_in_another_case_is_refused_with_its_name(
    written: str, name: str
) -> None:
    error = refusal("0 0 * * *", tz=written)

    assert str(error) == f"unknown time zone {written!r}: use {name}"


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
        (QSTASH, "0 0 L * *", "L"),
        (QSTASH, "0 0 LW * *", "W"),
        (QSTASH, "0 0 * * 1#2", "#"),
        (QSTASH, "H/5 * * * *", "H"),
        (QSTASH, "@secondly", "@secondly"),
        (EVENTS_V1, "0 0 1W * *", "W"),
        (EVENTS_V1, "H * * * *", "H"),
        (EVENTS_V1, "@midnight", "@midnight"),
        (EVENTS_V1, "@every 1h", "@every"),
    ],
)
def test_the_error_names_the_part_that_a_grammar_does_not_support(
    grammar: Grammar, expression: str, mark: str
) -> None:
    error = refusal(expression, grammar=grammar)

    assert str(error).startswith(f"'{mark}' is not supported ")
    assert ": use " in str(error)
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


IN_FRONT = "a time zone belongs in front of the fields, as in 'CRON_TZ={} 0 9 * * *'"
IN_OPTION = (
    "a time zone belongs in the option 'timeZone', as in '{}', not in the fields"
)


@pytest.mark.parametrize(
    ("expression", "zone"),
    [
        ("0 9 * * * Europe/Berlin", "Europe/Berlin"),
        (
            "0 9 * * 1-5 America/Argentina/Buenos_Aires",
            "America/Argentina/Buenos_Aires",
        ),
        ("0 9 * * * (Europe/Rome)", "Europe/Rome"),
        ("0 9 * * * TZ=Europe/Rome", "Europe/Rome"),
        ("0 9 * * * CRON_TZ=Europe/Rome", "Europe/Rome"),
        ("0 9 * * * timezone=Europe/Rome", "Europe/Rome"),
        ("0 9 * * * UTC", "UTC"),
        ("0 9 * * * GB", "GB"),
        ("0 0 9 * * * Asia/Tokyo", "Asia/Tokyo"),
        ("Europe/Rome 0 9 * * *", "Europe/Rome"),
        ("0 9 Europe/Rome * * *", "Europe/Rome"),
        ("@daily Europe/Rome", "Europe/Rome"),
        ("@every 1h Europe/Rome", "Europe/Rome"),
        ("cron_tz=UTC 0 9 * * *", "UTC"),
        ("Cron_Tz=UTC @daily", "UTC"),
        ("tz=Asia/Tokyo 0 9 * * *", "Asia/Tokyo"),
        ("tz:Asia/Tokyo 0 9 * * *", "Asia/Tokyo"),
        ("TZ = Asia/Tokyo 0 9 * * *", "Asia/Tokyo"),
        ("TZ= Asia/Tokyo 0 9 * * *", "Asia/Tokyo"),
        ('"CRON_TZ=Asia/Tokyo" 0 9 * * *', "Asia/Tokyo"),
        ("0 9 * * * europe/rome", "Europe/Rome"),
        ("cron_tz=utc 0 9 * * *", "UTC"),
        # What is no known zone is replaced by an example.
        ("0 9 * * * Europe/Atlantis", "Europe/Berlin"),
        ("0 9 * * * +02:00", "Europe/Berlin"),
        ("0 9 * * * UTC+2", "Europe/Berlin"),
        ("0 9 * * * Z", "Europe/Berlin"),
        ("0 9 * * * PST", "Europe/Berlin"),
        ("0 9 * * * CEST", "Europe/Berlin"),
        ("CRON_TZ=", "Europe/Berlin"),
        ("TZ= 0 9 * * *", "Europe/Berlin"),
    ],
)
def test_the_error_says_where_a_misplaced_time_zone_belongs(
    expression: str, zone: str
) -> None:
    for grammar in (FULL, QSTASH):
        assert str(refusal(expression, grammar=grammar)) == IN_FRONT.format(zone)
    for grammar in (JITER, EVENTS_V1):
        assert str(refusal(expression, grammar=grammar)) == IN_OPTION.format(zone)


@pytest.mark.parametrize("prefix", ["CRON_TZ=Asia/Tokyo", "TZ=Asia/Tokyo"])
def test_without_a_zone_prefix_the_error_names_the_option_for_it(prefix: str) -> None:
    for grammar in (JITER, EVENTS_V1):
        error = refusal(f"{prefix} 0 0 * * *", grammar=grammar)
        assert str(error) == IN_OPTION.format("Asia/Tokyo")
        assert error.position == 0


@pytest.mark.parametrize(
    "expression",
    ["0 9 * * MON/THU", "-10 * * * *", "0 9 * * * root", "0 9 * * * /usr/bin/backup"],
)
def test_other_faults_are_not_taken_for_a_time_zone(expression: str) -> None:
    for grammar in (FULL, JITER, QSTASH, EVENTS_V1):
        assert "time zone" not in str(refusal(expression, grammar=grammar))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("0 0 * * L", "'L' is not supported in the day of week: use a number"),
        ("0 0 L-3 * *", "'L' is not supported in the day of month: use a number"),
        ("0 0 ? * *", "'?' is not supported in the day of month: use '*'"),
        ("5", "the expression has 1 field and needs 5 fields: minute, hour, day of"),
    ],
)
def test_the_error_names_only_what_the_grammar_supports(
    expression: str, reason: str
) -> None:
    assert str(refusal(expression, grammar=QSTASH)).startswith(reason)
