"""Tests of log lines: times, quoting, and the two formats."""

import json
import logging
import pytest
import sys
from scheduler_api.core.logfmt import JSON, TEXT, formatter, line, utc
from scheduler_api.core.model import Owner

AT_S = 1_798_761_600.123


def record(message: object, **changes: object) -> logging.LogRecord:
    made = logging.LogRecord("a.b", logging.INFO, "", 0, message, (), None)
    made.created = AT_S
    vars(made).update(changes)
    return made


@pytest.mark.parametrize(
    ("time_s", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (0.0014, "1970-01-01T00:00:00.001Z"),
        (1.9999, "1970-01-01T00:00:01.999Z"),
        (AT_S, "2027-01-01T00:00:00.123Z"),
    ],
)
def test_times_are_utc_in_milliseconds(time_s: float, text: str) -> None:
    assert utc(time_s) == text


@pytest.mark.parametrize("text", ["", "two words", 'a "word"', "a=b", "a\nb", "a\r\nb"])
def test_values_that_would_break_a_line_are_quoted(text: str) -> None:
    formatted = str(line("event.x", text=text, other=1))

    quoted = text.replace('"', "'").replace("\r", "").replace("\n", " ")
    assert formatted == f'event.x text="{quoted}" other=1'


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x85", "\u2028", "\x0b"])
def test_control_characters_are_escaped(character: str) -> None:
    formatted = str(line("event.x", text=f"a{character}b"))

    assert formatted.isprintable()
    assert len(formatted.splitlines()) == 1


def test_text_and_json_have_the_same_time_level_logger_name_and_fields() -> None:
    made = record(line("event.x", event="msg_1", attempt=2, reason=None))

    assert formatter(TEXT).format(made) == (
        "2027-01-01T00:00:00.123Z INFO a.b event.x event=msg_1 attempt=2"
    )
    assert json.loads(formatter(JSON).format(made)) == {
        "time": "2027-01-01T00:00:00.123Z",
        "level": "INFO",
        "logger": "a.b",
        "message": "event.x",
        "event": "msg_1",
        "attempt": 2,
    }


def test_a_message_of_a_library_is_valid_json_with_its_text() -> None:
    made = record("worker %s\n'ends' %d", args=("w-1", 3))

    [text] = formatter(JSON).format(made).splitlines()
    assert json.loads(text)["message"] == "worker w-1\n'ends' 3"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"raw", "b'raw'"),
        ("\ud800", "\\ud800"),
        (2**70, str(2**70)),
        (ValueError("bad"), "bad"),
        (Owner("1", "a"), "1:a"),
        ("a\nb\x00", "a\nb\x00"),
    ],
)
def test_any_value_is_valid_json(value: object, shown: str) -> None:
    text = formatter(JSON).format(record(line("event.x", value=value)))

    assert json.loads(text)["value"] == shown
    assert "\n" not in text


def test_a_traceback_is_a_field_in_json_and_follows_the_line_in_text() -> None:
    try:
        raise ZeroDivisionError("no")
    except ZeroDivisionError:
        made = record(line("event.x"), exc_info=sys.exc_info())

    text = formatter(JSON).format(made)
    assert json.loads(text)["exception"].endswith("ZeroDivisionError: no")
    assert len(text.splitlines()) == 1
    assert formatter(TEXT).format(made).endswith("\nZeroDivisionError: no")
