"""Tests of the codes and the sentences for failed attempts."""

import pytest
import re
from pathlib import Path
from scheduler_api.core.delivery.causes import (
    DETAIL_MAX_BYTES,
    PRIVATE,
    SENTENCES,
    Cause,
    cause,
    cause_of,
    public_detail,
)
from scheduler_api.core.model import Attempt, AttemptKind
from workers.http_client.failures import Failure


def attempt(kind: AttemptKind = AttemptKind.SETTLED, **fields: object) -> Attempt:
    times = {"started_ms": 1, "ended_ms": 2, "next_ms": None}
    return Attempt("7", 1, kind, **(times | fields))  # type: ignore[arg-type]


def test_every_failure_of_the_http_client_has_a_sentence() -> None:
    assert {failure.value for failure in Failure} <= SENTENCES.keys()
    assert len({*SENTENCES.values()}) == len(SENTENCES)


def test_the_documentation_explains_every_code() -> None:
    page = Path(__file__).parents[3] / "docs" / "errors.md"
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \|$", page.read_text(), re.M)
    documented = {code: sentence.replace("`", "") for code, sentence in rows}

    answered = {"http-<status>": "the destination answered <status>"}
    assert documented == SENTENCES | answered
    assert len(rows) == len(documented)


@pytest.mark.parametrize("status", [200, 204, 299])
def test_a_success_has_no_cause(status: int) -> None:
    assert cause(status, None, "") is None
    assert cause_of(attempt(status=status)) is None


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (500, "the destination answered 500 (Internal Server Error)"),
        (404, "the destination answered 404 (Not Found)"),
        (304, "the destination answered 304 (Not Modified)"),
        (489, "the destination answered 489"),
        (999, "the destination answered 999"),
        (
            308,
            "the destination answered 308 (Permanent Redirect); redirects are not"
            " followed",
        ),
    ],
)
def test_a_refusal_is_named_by_its_status(status: int, sentence: str) -> None:
    assert cause(status, None, "") == Cause(f"http-{status}", sentence)


@pytest.mark.parametrize("status", [None, 200, 500])
def test_a_detail_replaces_the_sentence_of_a_code(status: int | None) -> None:
    assert cause(status, "connect", "port 9 is closed") == Cause(
        "connect", "port 9 is closed"
    )
    assert cause(status, "connect", "") == Cause("connect", SENTENCES["connect"])


def test_a_code_of_a_later_version_is_its_own_sentence() -> None:
    assert cause(None, "new-code", "") == Cause("new-code", "new-code")


@pytest.mark.parametrize("code", [*PRIVATE])
def test_s11_a_detail_for_operators_is_never_shown(code: str) -> None:
    closed = cause_of(attempt(error=code, detail="10.0.0.1:22 is closed"))
    opened = cause_of(attempt(error=code, detail="10.0.0.1:80 is private"))

    assert closed == opened == Cause(code, SENTENCES[code])
    assert public_detail(code, "10.0.0.1") == ""


def test_a_detail_is_cut_between_characters() -> None:
    cut = public_detail("tls", "a" + "ü" * DETAIL_MAX_BYTES)

    assert cut == "a" + "ü" * ((DETAIL_MAX_BYTES - 1) // 2)
    assert public_detail("tls", "\ud800") == "?"


def test_an_interrupted_attempt_may_have_arrived() -> None:
    found = cause_of(attempt(AttemptKind.INTERRUPTED))

    assert found == Cause("interrupted", SENTENCES["interrupted"])
    assert "may have arrived" in found.sentence


def test_a_late_success_says_that_it_was_late() -> None:
    late = cause_of(attempt(AttemptKind.LATE, status=200))
    failed = cause_of(attempt(AttemptKind.LATE, status=500))

    assert late == Cause("late", SENTENCES["late"])
    assert failed is not None and failed.code == "http-500"
