"""Tests of the HTTP requests to destinations, and of the delays before retries."""

import jwt
import pytest
import time
from dataclasses import replace
from qstash import Receiver
from qstash.errors import SignatureError
from scheduler_api.core.delivery.request import BodyWanted, Outgoing
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Begun, Content, Outcome
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.qstash.credentials import CURRENT_KEY, NEXT_KEY
from scheduler_api.dialects.qstash.outbound import QstashOutbound
from scheduler_api.dialects.qstash.parsing.message import Callback, FlowControl, Message
from scheduler_api.dialects.qstash.settings import QstashSettings
from scheduler_api.settings import Settings
from tests.attempts import NOW_MS
from tests.dialects.qstash.attempts import BEGUN, BODY, URL, Reply, begun_of

CURRENT, NEXT, LATER = (f"sig_{letter * 28}" for letter in "abc")
SECRETS = Secrets({CURRENT_KEY: CURRENT, NEXT_KEY: NEXT})
SETTINGS = Settings(redis_url="redis://localhost", secret_key="k" * 32)
QSTASH = QstashOutbound(SETTINGS)


def render(begun: Begun = BEGUN, *, now_ms: int = NOW_MS) -> Outgoing:
    return QSTASH.render(begun, secrets=SECRETS, now_ms=now_ms)


def sent(outgoing: Outgoing) -> dict[str, str]:
    assert len(dict(outgoing.headers)) == len(outgoing.headers)
    return dict(outgoing.headers)


def delay_ms(
    reply: Reply, message: Message | None = None, *, failures: int = 0
) -> int | None:
    begun = begun_of(message or Message(), failures=failures)
    decision = QSTASH.conclude(begun, reply)
    return decision.delay_ms if decision.outcome is Outcome.RETRY else None


def test_method_url_and_body_are_the_publishers() -> None:
    outgoing = render(begun_of(Message(method="PATCH", content_type="text/plain")))

    assert (outgoing.method, outgoing.url, outgoing.body) == ("PATCH", URL, BODY)
    assert outgoing.headers[0] == ("Content-Type", "text/plain")
    assert outgoing.timeout_ms == BEGUN.deadline_ms


def test_a_message_without_settings_has_six_headers() -> None:
    headers = sent(render())

    assert headers.pop("Upstash-Signature").count(".") == 2
    assert headers == {
        "User-Agent": "Upstash-QStash",
        "Upstash-Message-Id": "msg_7k",
        "Upstash-Retried": "0",
        "Upstash-Retries": "0",
        "Upstash-Max-Retries": "3",
    }


def test_the_request_has_the_settings_of_retries_and_flow_control() -> None:
    flow = FlowControl("k", parallelism=2, rate=10, period_s=60)
    message = Message(retries=0, retry_delay="pow(2, retried)", flow_control=flow)

    headers = sent(render(begun_of(message)))

    assert headers["Upstash-Max-Retries"] == "0"
    assert headers["Upstash-Retry-Delay"] == "pow(2, retried)"
    assert headers["Upstash-Flow-Control-Key"] == "k"
    assert headers["Upstash-Flow-Control-Value"] == "parallelism=2,rate=10,period=60"


def test_s17_a_header_that_an_older_version_stored_does_not_replace_the_servers() -> (
    None
):
    stored = (("Upstash-Max-Retries", "99"), ("X-A", "1"), ("Upstash-Retry-Delay", "9"))

    headers = sent(render(begun_of(Message(headers=stored))))

    assert (headers["Upstash-Max-Retries"], headers["X-A"]) == ("3", "1")
    assert "Upstash-Retry-Delay" not in headers


def test_the_region_is_sent_as_the_clients_spell_it() -> None:
    own = QstashSettings(region="us-east-1")
    dialect = QstashOutbound(replace(SETTINGS, dialects=(own,)))

    outgoing = dialect.render(BEGUN, secrets=SECRETS, now_ms=NOW_MS)

    assert sent(outgoing)["Upstash-Region"] == "US-EAST-1"


@pytest.mark.parametrize(
    ("flow", "value"),
    [
        (FlowControl("k", parallelism=1), "parallelism=1,period=1"),
        (FlowControl("k", rate=5, period_s=7), "rate=5,period=7"),
    ],
)
def test_a_limit_that_is_not_set_is_not_sent(flow: FlowControl, value: str) -> None:
    headers = sent(render(begun_of(Message(flow_control=flow))))

    assert headers["Upstash-Flow-Control-Value"] == value


def kept(
    headers: tuple[tuple[str, str], ...], *, status: int = 500, bytes_max: int = 20
) -> object:
    dialect = QstashOutbound(replace(SETTINGS, response_log_bytes=bytes_max))
    return dialect.conclude(BEGUN, Reply(status, headers=headers)).headers


CALLBACK = Callback("https://example.com/back")


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        (Message(), BodyWanted.NEVER),
        (Message(callback=CALLBACK), BodyWanted.ALWAYS),
        (Message(failure_callback=CALLBACK), BodyWanted.IF_FAILED),
        (Message(callback=CALLBACK, failure_callback=CALLBACK), BodyWanted.ALWAYS),
    ],
)
def test_the_response_body_is_wanted_for_callbacks_only(
    message: Message, wanted: BodyWanted
) -> None:
    outgoing = render(begun_of(message))

    assert outgoing.body_wanted is wanted
    has_callback = wanted is not BodyWanted.NEVER
    assert (outgoing.response_cap_bytes >= 2**20) is has_callback


def test_only_headers_of_failures_are_logged() -> None:
    headers = (("Retry-After", "5"),)

    assert kept(headers) == kept(headers, status=302) == headers
    assert kept(headers, status=204) == ()


def test_logged_headers_are_limited_in_bytes() -> None:
    long, short = ("A", "x" * 20), ("B", "\u00fc" * 5)

    assert kept((long, short, short)) == (short,)
    assert kept((short, ("Bcd", "\u00fcxxxx"))) == (short, ("Bcd", "\u00fcxxxx"))
    assert kept((("A", "x" * 19),)) == (("A", "x" * 19),)


def test_a_logged_header_that_is_too_long_is_cut_and_marked() -> None:
    cut = ("A", "x\u00fc...(truncated)")

    assert kept((("A", "x" + "\u00fc" * 20), ("B", "1"))) == (cut, ("B", "1"))
    assert kept((("A", "x" * 40), ("A", "y" * 41)), bytes_max=50) == (("A", "x" * 40),)


def test_the_request_has_the_origin_of_the_message() -> None:
    message = Message(
        topic="t", endpoint="e", caller_ip="192.0.2.1", schedule_id="mine"
    )

    headers = sent(render(begun_of(message)))

    assert headers["Upstash-Topic-Name"] == "t"
    assert headers["Upstash-Schedule-Id"] == "mine"
    assert headers["Upstash-Caller-Ip"] == "192.0.2.1"


def test_an_unnamed_schedule_is_sent_by_its_id() -> None:
    headers = sent(render(replace(BEGUN, schedule="9z")))

    assert headers["Upstash-Schedule-Id"] == "scd_9z"


def test_forwarded_headers_are_sent_in_their_order() -> None:
    forwarded = (("X-B", "1"), ("X-A", "2"), ("X-B", "3"))

    assert render(begun_of(Message(headers=forwarded))).headers[:3] == forwarded


def test_the_message_id_stays_and_retried_counts_failures() -> None:
    first, second = render(), render(replace(BEGUN, attempt=3, failures=1))

    assert sent(first)["Upstash-Message-Id"] == sent(second)["Upstash-Message-Id"]
    assert sent(second)["Upstash-Retried"] == sent(second)["Upstash-Retries"] == "1"


def test_r12_an_attempt_after_a_lost_one_warns_and_logs_the_warning() -> None:
    lost, failed = replace(BEGUN, attempt=2), replace(BEGUN, attempt=2, failures=1)
    warning = {"Scheduler-Possible-Duplicate": "true"}

    assert warning.items() <= sent(render(lost)).items()
    assert render(lost).signed == warning
    assert not warning.keys() & sent(render(failed)).keys()
    assert render(failed).signed == {}


def test_content_that_was_not_fetched_is_unreadable() -> None:
    with pytest.raises(UnreadableRecord):
        render(replace(BEGUN, content=None))


def test_unknown_options_are_unreadable() -> None:
    with pytest.raises(UnreadableRecord):
        render(replace(BEGUN, content=Content(URL, BODY, {"what": 1})))


def test_s19_every_attempt_has_a_new_signature_by_the_current_key() -> None:
    attempts = [
        render(),
        render(now_ms=NOW_MS + 1),
        render(replace(BEGUN, attempt=2)),
        render(replace(BEGUN, id="7l")),
    ]

    signatures = [sent(outgoing)["Upstash-Signature"] for outgoing in attempts]
    read = [
        jwt.decode(s, CURRENT, ["HS256"], options={"verify_exp": False})
        for s in signatures
    ]
    assert len({claims["jti"] for claims in read}) == len(attempts)
    assert {claims["sub"] for claims in read} == {URL}


@pytest.mark.parametrize("body", ["", '{"n": 1.0}\n', "é漢😀\u2028"])
@pytest.mark.parametrize("keys", [(CURRENT, NEXT), (LATER, CURRENT)])
def test_s19_the_official_receiver_accepts_signatures(
    body: str, keys: tuple[str, str]
) -> None:
    """A receiver with the second pair of `keys` does not know of the last rotation.

    The next key of this receiver is already the current key.
    """
    begun = begun_of(Message(), body=body.encode())
    signature = sent(render(begun, now_ms=time.time_ns() // 1_000_000))[
        "Upstash-Signature"
    ]

    Receiver(*keys).verify(signature=signature, body=body, url=URL)


@pytest.mark.parametrize(
    ("keys", "body", "url", "age_ms"),
    [
        ((NEXT, LATER), "body", URL, 0),
        ((CURRENT, NEXT), "bodY", URL, 0),
        ((CURRENT, NEXT), "body", URL + "x", 0),
        ((CURRENT, NEXT), "body", URL, 301_000),
    ],
)
def test_s19_the_official_receiver_refuses_wrong_and_old_signatures(
    keys: tuple[str, str], body: str, url: str, age_ms: int
) -> None:
    now_ms = time.time_ns() // 1_000_000 - age_ms
    outgoing = render(begun_of(Message(), body=b"body"), now_ms=now_ms)

    with pytest.raises(SignatureError):
        Receiver(*keys).verify(
            signature=sent(outgoing)["Upstash-Signature"], body=body, url=url
        )


def test_the_official_receivers_clock_may_be_behind() -> None:
    now_ms = time.time_ns() // 1_000_000 + 4_000
    signature = sent(render(now_ms=now_ms))["Upstash-Signature"]

    Receiver(CURRENT, NEXT).verify(signature=signature, body=BODY.decode(), url=URL)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(200), True),
        (Reply(299), True),
        (Reply(199), False),
        (Reply(302), False),
        (Reply(489), False),
        (Reply(None, "timeout"), False),
        (Reply(200, "timeout"), False),
    ],
)
def test_success_is_a_response_with_a_2xx_status(reply: Reply, expected: bool) -> None:
    delivered = QSTASH.conclude(BEGUN, reply).outcome is Outcome.DELIVERED
    assert delivered is expected


def test_by_default_there_are_three_retries_with_growing_delays() -> None:
    delays = [delay_ms(Reply(), failures=n) for n in range(5)]

    assert delays == [12_182, 148_413, 1_808_042, None, None]


@pytest.mark.parametrize("reply", [Reply(301), Reply(404), Reply(None, "dns")])
def test_any_failure_is_retried(reply: Reply) -> None:
    assert delay_ms(reply) == 12_182


def test_the_publisher_sets_the_number_of_retries() -> None:
    assert delay_ms(Reply(), Message(retries=0)) is None
    assert delay_ms(Reply(), Message(retries=9), failures=8) is not None
    assert delay_ms(Reply(), Message(retries=9), failures=9) is None


@pytest.mark.parametrize("error", ["blocked", "bad-url", "bad-header"])
def test_s11_permanent_errors_are_not_retried(error: str) -> None:
    assert delay_ms(Reply(None, error)) is None


def test_retried_is_0_in_the_first_evaluation() -> None:
    message = Message(retry_delay="1000*(1+retried)")

    delays = [delay_ms(Reply(), message, failures=n) for n in range(4)]

    assert delays == [1_000, 2_000, 3_000, None]


def test_the_receivers_delay_overrides_the_expression() -> None:
    message = Message(retry_delay="1000")
    reply = Reply(headers=(("Retry-After", "0"),))

    assert delay_ms(reply, message) == 0


def test_a_date_from_the_receiver_counts_from_the_end_of_the_attempt() -> None:
    reply = Reply(headers=(("Retry-After", "Tue, 14 Nov 2023 22:13:50 GMT"),))

    assert delay_ms(reply) == 30_000


def test_the_receiver_cannot_request_more_retries() -> None:
    reply = Reply(headers=(("Retry-After", "0"),))

    assert delay_ms(reply, failures=3) is None


@pytest.mark.parametrize(
    ("reply", "gives_up"),
    [
        (Reply(489, headers=(("Upstash-NonRetryable-Error", "true"),)), True),
        (Reply(489, headers=(("upstash-nonretryable-error", "True"),)), True),
        (Reply(489, headers=(("Upstash-NonRetryable-Error", "false"),)), False),
        (Reply(489), False),
        (Reply(500, headers=(("Upstash-NonRetryable-Error", "true"),)), False),
    ],
)
def test_the_receiver_can_stop_retries_with_status_489(
    reply: Reply, gives_up: bool
) -> None:
    assert (delay_ms(reply) is None) is gives_up


def test_a_content_without_a_url_is_for_a_group() -> None:
    to_group = replace(BEGUN, content=Content("g", b"", {}))

    assert render(to_group).group == "g"
    assert render().group == ""
