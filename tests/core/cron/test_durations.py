"""Tests of the functions that read durations.

All functions use the same parser, but each accepts its own notations and lengths.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.cron.expression import CronError, Every, parse
from scheduler_api.dialects.qstash.parsing.header_values import (
    BadValue,
    read_duration_ms,
)
from scheduler_api.dialects.qstash.retry_delay import parse_wait_ms
from scheduler_api.web.schedule_options import BadOption, ZonedOptions, apply_options

SECOND, MINUTE, HOUR, DAY = 1_000, 60_000, 3_600_000, 86_400_000
TEN_YEARS = 3_660 * DAY
REFUSED = None


def jitter(text: str) -> int | None:
    """Read the option `jitter` of a schedule.

    Hours, minutes and seconds are accepted in this order, up to a day.
    """
    try:
        return apply_options({"jitter": text}, ZonedOptions()).options.jitter_ms
    except BadOption:
        return REFUSED


def header(text: str) -> int | None:
    """Read a QStash header such as `Upstash-Delay`.

    Fractions and days are accepted too, and the units may be in any order.
    """
    try:
        return read_duration_ms(text, "Upstash-Delay")
    except BadValue:
        return REFUSED


def wait(text: str) -> int | None:
    """Read the delay that a QStash receiver asks for.

    The notation is that of Go. The longest delay is a day.
    """
    return parse_wait_ms(text, now_ms=1_700_000_000_000)


def every(text: str) -> int | None:
    """Read the interval of `@every`.

    Whole hours, minutes and seconds are accepted in any order, up to ten years.
    """
    try:
        rule = parse(f"@every {text}").rule
    except CronError:
        return REFUSED
    assert isinstance(rule, Every)
    return rule.seconds * 1000


CALLERS = (jitter, header, wait, every)

TABLE = [
    # Columns: the text, and the milliseconds that each of CALLERS reads.
    ("10s", 10 * SECOND, 10 * SECOND, 10 * SECOND, 10 * SECOND),
    ("90m", 90 * MINUTE, 90 * MINUTE, 90 * MINUTE, 90 * MINUTE),
    ("1h30m", 90 * MINUTE, 90 * MINUTE, 90 * MINUTE, 90 * MINUTE),
    ("1h2m3s", 3_723_000, 3_723_000, 3_723_000, 3_723_000),
    ("1h3s", 3_603_000, 3_603_000, 3_603_000, 3_603_000),
    ("007s", 7_000, 7_000, 7_000, 7_000),
    # Durations of zero.
    ("0s", 0, 0, 0, REFUSED),
    ("0h0m0s", 0, 0, 0, REFUSED),
    ("0", 0, 0, 0, REFUSED),
    # Numbers without a unit.
    ("90", 90_000, 90_000, 90_000, REFUSED),
    ("1.5", REFUSED, 1_500, 1_500, REFUSED),
    ("1h30", REFUSED, REFUSED, REFUSED, REFUSED),
    ("30 ", REFUSED, REFUSED, 30_000, REFUSED),
    # Units other than h, m and s.
    ("1d", REFUSED, DAY, REFUSED, REFUSED),
    ("1d10h30m", REFUSED, 34 * HOUR + 30 * MINUTE, REFUSED, REFUSED),
    ("1w", REFUSED, REFUSED, REFUSED, REFUSED),
    ("120ms", REFUSED, REFUSED, 120, REFUSED),
    ("5m120ms", REFUSED, REFUSED, 5 * MINUTE + 120, REFUSED),
    ("1500us", REFUSED, REFUSED, 2, REFUSED),
    ("1500\u00b5s", REFUSED, REFUSED, 2, REFUSED),
    ("1500\u03bcs", REFUSED, REFUSED, 2, REFUSED),
    ("2000000ns", REFUSED, REFUSED, 2, REFUSED),
    ("1H", REFUSED, REFUSED, REFUSED, REFUSED),
    ("10S", REFUSED, REFUSED, REFUSED, REFUSED),
    # Units in another order, and repeated units.
    ("30m1h", REFUSED, 90 * MINUTE, 90 * MINUTE, 90 * MINUTE),
    ("1s1h", REFUSED, 3_601_000, 3_601_000, 3_601_000),
    ("1h1h", REFUSED, 2 * HOUR, 2 * HOUR, 2 * HOUR),
    # Fractions: exact, but parts of a millisecond are rounded up.
    ("1.5s", REFUSED, 1_500, 1_500, REFUSED),
    ("1h0m0.5s", REFUSED, HOUR + 500, HOUR + 500, REFUSED),
    ("0.0001s", REFUSED, 1, 1, REFUSED),
    ("0.0005s0.0005s", REFUSED, 1, 1, REFUSED),
    ("0.1s0.2s", REFUSED, 300, 300, REFUSED),
    ("1.001s", REFUSED, 1_001, 1_001, REFUSED),
    ("8.2s", REFUSED, 8_200, 8_200, REFUSED),
    (".5s", REFUSED, REFUSED, 500, REFUSED),
    ("5.s", REFUSED, REFUSED, 5_000, REFUSED),
    (".5", REFUSED, REFUSED, 500, REFUSED),
    ("5.", REFUSED, REFUSED, 5_000, REFUSED),
    (".s", REFUSED, REFUSED, REFUSED, REFUSED),
    (".", REFUSED, REFUSED, REFUSED, REFUSED),
    ("1..5s", REFUSED, REFUSED, REFUSED, REFUSED),
    ("1,5s", REFUSED, REFUSED, REFUSED, REFUSED),
    # The greatest accepted durations, and greater ones.
    ("24h", DAY, DAY, DAY, DAY),
    ("86400", DAY, DAY, DAY, REFUSED),
    ("86400s", DAY, DAY, DAY, DAY),
    ("86401s", REFUSED, DAY + SECOND, REFUSED, DAY + SECOND),
    ("24h1ms", REFUSED, REFUSED, REFUSED, REFUSED),
    ("87840h", REFUSED, TEN_YEARS, REFUSED, TEN_YEARS),
    ("87840h1s", REFUSED, TEN_YEARS + SECOND, REFUSED, REFUSED),
    # The longest accepted texts, and longer ones.
    ("0" * 8 + "5s", 5_000, 5_000, 5_000, 5_000),
    ("0" * 9 + "5s", REFUSED, 5_000, 5_000, 5_000),
    ("0" * 8 + "5", 5_000, 5_000, 5_000, REFUSED),
    ("0" * 9 + "5", REFUSED, 5_000, 5_000, REFUSED),
    ("0" * 17 + "5s", REFUSED, 5_000, 5_000, 5_000),
    ("0" * 18 + "5s", REFUSED, REFUSED, 5_000, 5_000),
    ("1." + "0" * 17 + "1s", REFUSED, 1_001, 1_001, REFUSED),
    ("1." + "0" * 18 + "1s", REFUSED, REFUSED, 1_001, REFUSED),
    ("1s" * 16, REFUSED, 16_000, 16_000, 16_000),
    ("1s" * 17, REFUSED, REFUSED, 17_000, 17_000),
    ("1s" * 32, REFUSED, REFUSED, 32_000, 32_000),
    ("1s" * 32 + "1", REFUSED, REFUSED, REFUSED, REFUSED),
    ("1s" * 33, REFUSED, REFUSED, REFUSED, 33_000),
    ("0" * 62 + "1s", REFUSED, REFUSED, 1_000, 1_000),
    ("0" * 63 + "1s", REFUSED, REFUSED, REFUSED, 1_000),
    ("0" * 991 + "1s", REFUSED, REFUSED, REFUSED, 1_000),
    ("0" * 992 + "1s", REFUSED, REFUSED, REFUSED, REFUSED),
    ("9" * 18 + "d", REFUSED, (10**18 - 1) * DAY, REFUSED, REFUSED),
    ("9" * 991 + "h", REFUSED, REFUSED, REFUSED, REFUSED),
    # Texts that are not durations.
    ("", REFUSED, REFUSED, REFUSED, REFUSED),
    ("s", REFUSED, REFUSED, REFUSED, REFUSED),
    ("-5s", REFUSED, REFUSED, REFUSED, REFUSED),
    ("+5s", REFUSED, REFUSED, REFUSED, REFUSED),
    ("1h-30m", REFUSED, REFUSED, REFUSED, REFUSED),
    ("1e3s", REFUSED, REFUSED, REFUSED, REFUSED),
    ("1 h", REFUSED, REFUSED, REFUSED, REFUSED),
    ("1h 30m", REFUSED, REFUSED, REFUSED, REFUSED),
    ("10x", REFUSED, REFUSED, REFUSED, REFUSED),
    ("\u0663s", REFUSED, REFUSED, REFUSED, REFUSED),
    ("\uff11s", REFUSED, REFUSED, REFUSED, REFUSED),
    # White space around the duration.
    (" 10s", REFUSED, REFUSED, 10 * SECOND, 10 * SECOND),
    ("10s\n", REFUSED, REFUSED, 10 * SECOND, 10 * SECOND),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: repr(row[0])[:40])
def test_each_caller_accepts_its_own_durations(
    row: tuple[str, int | None, int | None, int | None, int | None],
) -> None:
    text, *expected_ms = row

    assert [caller(text) for caller in CALLERS] == expected_ms


@pytest.mark.parametrize(
    ("value", "expected_ms"),
    [(0, 0), (90, 90_000), (86_400, DAY), (86_401, None), (-1, None), (True, None)],
)
def test_a_jitter_may_be_a_json_number_of_seconds(
    value: object, expected_ms: int | None
) -> None:
    if expected_ms is None:
        with pytest.raises(BadOption, match="should be a duration from 0s to 24h"):
            apply_options({"jitter": value}, ZonedOptions())
    else:
        assert (
            apply_options({"jitter": value}, ZonedOptions()).options.jitter_ms
            == expected_ms
        )


@pytest.mark.parametrize("caller", CALLERS)
@given(text=st.text(st.sampled_from("0123456789.hmsdnu\u00b5\u03bc \n-e"), max_size=70))
def test_property_no_text_breaks_a_caller(caller, text: str) -> None:
    result_ms = caller(text)

    assert result_ms is None or result_ms >= 0
