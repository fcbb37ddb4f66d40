"""Tests that names, keys and codes contain no word that the project has replaced."""

import pytest
from tests import glossary

HELD = "a destination, or an event behind a gate, is held; a breaker holds it"
KEPT = {
    HELD: """
        HELD HELD_BY HELD_SINCE Held HeldFields _held _held_fields decode_held
        heldBy heldSince held_by note_held_by render_held test_held
        HOLD_REASONS HeldDestination HeldDestinations any_held check_held
        held _held_destinations held_destinations held_gates
        held_outcomes latest_held origin_held route_held
        list_held_destinations test_held_destinations
        hold_destination hold_ms longest_hold_ms breaker_hold_ms
        breaker_longest_hold_ms may_hold LONGEST_HOLD_MS
    """,
    "environment variables are an interface that deployments use": """
        SCHED_BREAKER_HOLD_MS SCHED_BREAKER_LONGEST_HOLD_MS SCHED_BREAKER_WINDOW_MS
        SCHED_JITER_LONGEST_HOLD_MS SCHED_QSTASH_LONGEST_HOLD_MS
        SCHED_V1_LONGEST_HOLD_MS
        SCHED_JITER_SEARCH_WINDOW_DAYS SCHED_QUIET_MS SCHED_WINDOW
    """,
    "a window of time": """
        breaker_window_ms window_ms search_window_days window_days
    """,
    "the engine is the core of the project": """
        EngineSettings engine test_engine
    """,
    "a line of text, or in a picture": """
        LINE line first_line _header_line limit_request_line
        LimitRequestLine _STATUS_LINE line_bytes parse_request_line read_line
    """,
    "the usual term for what `scheduler` is": "command_line",
    "link-local is the term for such addresses": "LINK_LOCAL link",
    "the grammar of a cron expression": "GRAMMARS grammars",
    "an envelope is an RQ job with ids": "envelopes rq_envelopes",
    "search terms": "_terms add_terms remove_terms search_terms search_terms_of terms",
    "the schemas of requests, responses and headers": """
        header_schemas request_schemas response_schemas schedule_schemas
        named_schemas schemas
    """,
    "an event waits at a gate, for its turn, or for room in RQ": """
        waits waits_at waits_for_rq waits_ms waits_since_ms
    """,
    "QStash calls a url group a topic in its paths": "list_topics",
    "a field of `GET /cron/preview`": "why",
    "a port that nobody listens on": "free_port is_free",
    "a class of aiohttp takes it": "connector",
    "an option of wget": "quiet",
    "the socket module calls them so": "SHUT_RD SHUT_RDWR",
    "a key that only older versions wrote; it identifies their stores": "beat",
}
NAMES = {name for names in KEPT.values() for name in names.split()}


def test_no_replaced_word_remains_but_for_those_with_a_reason() -> None:
    found = glossary.remaining()

    assert {name: found[name] for name in found.keys() - NAMES} == {}


def test_each_reason_is_still_needed() -> None:
    assert NAMES - glossary.remaining().keys() == set()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("is_stuck", {"stuck"}),
        ("GateKeeper", {"gate_keeper"}),
        ("letInOne", {"let_in"}),
        ("wait_until", set()),
        ("pipeline", set()),
    ],
)
def test_a_word_is_found_as_a_part_of_a_name(name: str, words: set[str]) -> None:
    assert glossary.replaced_in(name) == words
