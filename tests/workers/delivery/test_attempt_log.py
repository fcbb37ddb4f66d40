"""Tests of the log lines of attempts: what they tell, and how many there are."""

import logging
import pytest
from scheduler_api.core.model import Outcome, Owner
from scheduler_api.core.store.leases import Report, Settled, Settlement
from scheduler_api.dialects.outbound import DIALECTS
from workers.delivery.attempt_log import AttemptLog

URL = "https://user-7.example/hook/secret-path?token=secret-query"
OWNER = Owner("5", "qstash")
RETRY = Settled("2a", "settled", 1_798_761_600_123)
LAST = Settled("2a", "settled", 0)


def settlement(outcome: Outcome, **report: object) -> Settlement:
    told = {"url": URL, "status": 500, "total_ms": 12} | report
    return Settlement("2a", "w:1", 2, outcome, b"{}", report=Report(**told))


def log_all(
    caplog: pytest.LogCaptureFixture,
    *attempts: tuple[Settlement, Settled],
    level: int = logging.INFO,
    owner: Owner = OWNER,
) -> list[str]:
    caplog.set_level(level, logger="scheduler")
    attempt_log_ = AttemptLog(clock=lambda: 120.0)
    for attempt, settled in attempts:
        attempt_log_.add(owner, attempt, settled)
    attempt_log_.close()
    return caplog.messages


def test_a_failure_is_told_with_its_origin_cause_duration_and_next_time(
    caplog: pytest.LogCaptureFixture,
):
    failed = settlement(
        Outcome.RETRY, status=None, error="timeout", detail="no answer in time"
    )

    [line] = log_all(caplog, (failed, RETRY))

    assert line == (
        "attempt.failed event=msg_2a owner=5:qstash attempt=2"
        " origin=https://user-7.example:443 error=timeout"
        ' cause="no answer in time" ms=12 next=2027-01-01T00:00:00.123Z'
    )


def test_an_incomplete_body_does_not_hide_the_status(caplog: pytest.LogCaptureFixture):
    failed = settlement(Outcome.RETRY, detail="the response body was cut off")

    [line] = log_all(caplog, (failed, RETRY))

    assert 'cause="the destination answered 500 (Internal Server Error)"' in line
    assert 'body="the response body was cut off"' in line


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_no_line_has_the_path_or_the_query_of_a_url(
    caplog: pytest.LogCaptureFixture, level: int
):
    attempts = [(settlement(Outcome.RETRY), RETRY)] * 30

    lines = log_all(caplog, *attempts, level=level)

    assert "secret" not in "".join(lines)


@pytest.mark.parametrize(
    ("dialect", "public_id"),
    [
        ("qstash", "msg_2a"),
        ("jiter", "82"),
        ("events_v1", "00000000-0000-4000-8000-000000000052"),
        ("unknown", "2a"),
    ],
)
def test_an_event_has_the_id_that_its_client_knows(
    caplog: pytest.LogCaptureFixture, dialect: str, public_id: str
):
    failed = settlement(Outcome.RETRY)

    [line] = log_all(caplog, (failed, RETRY), owner=Owner("5", dialect))

    assert f"event={public_id} owner=5:{dialect} " in line
    assert dialect == "unknown" or dialect in {each.name for each in DIALECTS}


@pytest.mark.parametrize(
    ("outcome", "settled", "is_dead"),
    [
        (Outcome.DEAD, LAST, True),
        (Outcome.RETRY, LAST, True),
        (Outcome.RETRY, RETRY, False),
        (Outcome.DELIVERED, LAST, False),
    ],
)
def test_the_contact_of_an_event_is_logged_when_the_event_is_dead(
    caplog: pytest.LogCaptureFixture, outcome: Outcome, settled: Settled, is_dead: bool
):
    attempt = settlement(outcome, contact="user@example.com")

    [line] = log_all(caplog, (attempt, settled), level=logging.DEBUG)

    assert line.startswith("event.dead ") == is_dead
    assert ("user@example.com" in line) == is_dead


def test_at_debug_all_attempts_are_logged_or_counted(caplog: pytest.LogCaptureFixture):
    attempts = [(settlement(Outcome.DELIVERED, status=200), LAST)] * 490
    attempts += [(settlement(Outcome.RETRY), RETRY)] * 15

    *lines, summary = log_all(caplog, *attempts, level=logging.DEBUG)

    names = [line.split()[0] for line in lines]
    assert names == ["attempt.delivered"] * 10 + ["attempt.failed"] * 10
    assert summary == (
        'attempts.more summary="… and 485 more: 480 delivered, 5 failed"'
        " delivered=480 failed=5"
    )


def test_failures_use_all_lines_of_a_second(caplog: pytest.LogCaptureFixture):
    attempts = [(settlement(Outcome.RETRY), RETRY)] * 30

    *lines, _ = log_all(caplog, *attempts, level=logging.DEBUG)

    assert len(lines) == 20


def test_at_info_failures_are_limited_per_route_and_successes_are_not_logged(
    caplog: pytest.LogCaptureFixture,
):
    urls = [f"http://a.example/users/{n}/hook" for n in range(15)]
    urls += ["http://a.example/other"] * 12 + ["http://b.example/"] * 3
    attempts = [(settlement(Outcome.DELIVERED, status=200), LAST)] * 5
    attempts += [(settlement(Outcome.RETRY, url=url), RETRY) for url in urls]
    attempts += [(settlement(Outcome.DEAD, url=urls[0]), LAST)]

    *lines, summary = log_all(caplog, *attempts)

    assert len(lines) == 10 + 10 + 3
    assert "delivered" not in "".join(lines)
    assert summary == (
        "attempts.more origin=http://a.example:80"
        ' summary="… and 8 more: 7 failed, 1 dead" failed=7 dead=1'
    )


def test_a_blocked_destination_names_the_settings_that_decide(
    caplog: pytest.LogCaptureFixture,
):
    blocked = settlement(
        Outcome.DEAD, status=None, error="blocked", detail="10.0.0.7 is private"
    )

    [line] = log_all(caplog, (blocked, LAST))

    assert "10.0.0.7" in line and "SCHED_ALLOW_NETWORKS" in line


def test_an_attempt_that_was_settled_late_says_so(caplog: pytest.LogCaptureFixture):
    late = Settled("2a", "late", 0)

    [line] = log_all(caplog, (settlement(Outcome.DEAD), late))

    assert line.startswith("attempt.failed ") and line.endswith(" stored=late")


def test_lines_name_no_group_as_an_origin(caplog: pytest.LogCaptureFixture):
    missing = settlement(Outcome.DEAD, url="group-1", error="group-missing")

    [line] = log_all(caplog, (missing, LAST))

    assert "origin=" not in line
