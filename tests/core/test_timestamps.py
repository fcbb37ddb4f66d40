"""Tests of conversion between ISO 8601 and epoch ms; microseconds are rounded up."""

import pytest
from datetime import UTC, datetime, timedelta, timezone
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.timestamps import from_iso, to_iso

MOMENT_MS = 1_900_000_000_123


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1, "1970-01-01T00:00:00.001Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (MOMENT_MS, "2030-03-17T17:46:40.123Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_milliseconds_are_formatted_like_in_javascript(ms: int, text: str):
    assert to_iso(ms) == text
    assert from_iso(text) == ms


@pytest.mark.parametrize(
    "text",
    [
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59.999001",
    ],
)
def test_a_time_that_is_in_no_year_in_utc_is_refused(text: str):
    with pytest.raises(ValueError, match="out of range"):
        from_iso(text)


@given(st.integers(-2_208_988_800_000, 253_402_300_799_999))
def test_a_formatted_time_parses_to_the_same_time(ms: int):
    assert from_iso(to_iso(ms)) == ms


@pytest.mark.parametrize(
    "text",
    [
        "2030-03-17T17:46:40.123Z",
        "2030-03-17T17:46:40.123",
        "2030-03-17 17:46:40.123",
        "2030-03-17T19:46:40.123+02:00",
        "2030-03-17T12:16:40.123-05:30",
        "20300317T174640.123Z",
    ],
)
def test_every_iso_8601_form_of_an_instant_is_parsed(text: str):
    assert from_iso(text) == MOMENT_MS


def test_a_date_is_parsed_as_midnight_utc():
    assert to_iso(from_iso("2030-03-17")) == "2030-03-17T00:00:00.000Z"


@pytest.mark.parametrize(
    ("fraction", "ms"),
    [("000001", 1), ("000999", 1), ("001000", 1), ("001001", 2), ("999999", 1_000)],
)
def test_e10_microseconds_round_up(fraction: str, ms: int):
    assert from_iso(f"1970-01-01T00:00:00.{fraction}Z") == ms


@given(st.datetimes(datetime(1900, 1, 1), datetime(2900, 1, 1)), st.integers(-720, 720))
def test_e10_parsing_never_returns_an_earlier_instant(moment: datetime, minutes: int):
    zone = timezone(timedelta(minutes=minutes))
    aware = moment.replace(tzinfo=zone)
    since = aware - datetime(1970, 1, 1, tzinfo=UTC)

    ms = from_iso(aware.isoformat())

    assert (
        timedelta(0) <= timedelta(milliseconds=ms) - since < timedelta(milliseconds=1)
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "now", "1900000000123", "2030", "2030-03", "17:46"),
        *("2030-02-30T00:00:00Z", "2030-03-17T25:00:00Z", "2030-03-17T00:00:00+25:00"),
        "0001-01-01T00:00:00+14:00 x",
    ],
)
def test_anything_else_is_refused(text: str):
    with pytest.raises(ValueError):
        from_iso(text)
