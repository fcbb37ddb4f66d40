"""Tests of log lines: timestamps and quoting."""

import logging
import pytest
from scheduler_api.core.logfmt import FORMAT, Formatter, line


@pytest.mark.parametrize("created_s", [0.0, 0.0014, 1.0, 1.9999, 1_798_761_600.123])
def test_times_are_formatted_like_in_the_standard_library(created_s: float) -> None:
    record = logging.LogRecord("a.b", logging.INFO, "", 0, "event.x", (), None)
    record.created, record.msecs = created_s, created_s % 1 * 1000

    assert Formatter(FORMAT).format(record) == logging.Formatter(FORMAT).format(record)


@pytest.mark.parametrize("text", ["", "two words", 'a "word"', "a=b", "a\nb", "a\r\nb"])
def test_values_that_would_break_a_line_are_quoted(text: str) -> None:
    formatted = line("event.x", text=text, other=1)

    quoted = text.replace('"', "'").replace("\r", "").replace("\n", " ")
    assert formatted == f'event.x text="{quoted}" other=1'
