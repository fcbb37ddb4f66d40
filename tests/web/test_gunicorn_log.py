"""Tests of gunicorn's log lines."""

import logging
import pytest
from collections.abc import Iterator
from gunicorn.config import Config
from gunicorn.http.errors import (
    InvalidHeader,
    InvalidHTTPVersion,
    InvalidRequestLine,
    LimitRequestLine,
)
from scheduler_api.web.gunicorn_log import REFUSED_PER_MINUTE, GunicornLog

SECRET = "canary"


class Lines(logging.Handler):
    """Keeps the lines that are logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[GunicornLog]:
    monkeypatch.setenv("REDIS_URL", "redis://h")
    monkeypatch.setenv("SECRET_KEY", "0123456789abcdef")
    log = GunicornLog(Config())
    yield log
    for handler in list(log.error_log.handlers):
        log.error_log.removeHandler(handler)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (InvalidRequestLine(f"POST /?qstash_token={SECRET}"), ": Invalid HTTP request"),
        (InvalidRequestLine(f"POST /'{SECRET}"), ": Invalid HTTP request"),
        (InvalidHTTPVersion(f"b&qstash_token={SECRET}\n HTTP/1.1"), ": Invalid HTTP"),
        (InvalidHeader(f"Authorization Bearer {SECRET}"), ": Invalid HTTP Header"),
        (LimitRequestLine(9000, 8190), ": Request Line is too large (9000 > 8190)"),
    ],
)
def test_s26_a_refused_request_is_not_quoted(
    log: GunicornLog, error: Exception, line: str
) -> None:
    kept = Lines()
    log.error_log.addHandler(kept)

    log.warning(f"Invalid request from ip=::1: {error}")

    [logged] = kept.lines
    assert logged.startswith(f"Invalid request from ip=::1{line}")
    assert SECRET not in logged


def test_a_flood_of_refused_requests_is_counted_in_one_line(log: GunicornLog) -> None:
    kept = Lines()
    log.error_log.addHandler(kept)
    log._limit._clock = lambda: 120.0

    for number in range(500):
        log.warning(f"Invalid request from ip=::{number}: {InvalidHeader('X')}")
    log._limit.close()

    assert len(kept.lines) == REFUSED_PER_MINUTE + 1
    assert kept.lines[-1] == "Invalid request: … and 490 more: 490 refused"


def test_other_warnings_are_all_logged(log: GunicornLog) -> None:
    kept = Lines()
    log.error_log.addHandler(kept)

    for _ in range(2 * REFUSED_PER_MINUTE):
        log.warning("Worker graceful timeout (pid:%s)", 7)

    assert kept.lines == ["Worker graceful timeout (pid:7)"] * 2 * REFUSED_PER_MINUTE
