"""Tests of the parser of a publisher's headers and query parameters."""

import pytest
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import Callback, FlowControl, Message
from scheduler_api.dialects.qstash.parsing.redaction import Redaction
from scheduler_api.dialects.qstash.parsing.request_headers import (
    HeaderLimits,
    from_headers,
)
from tests.dialects.qstash.header_parsing import BACK, read, refusal


def test_a_message_without_headers_is_a_post_with_three_retries() -> None:
    message = read()

    assert message == Message()
    assert (message.method, message.retries) == ("POST", 3)


def test_every_setting_has_its_header() -> None:
    message = read(
        {
            "Content-Type": "application/json",
            "Upstash-Method": "PUT",
            "Upstash-Retries": "0",
            "Upstash-Retry-Delay": "pow(2, retried)",
            "Upstash-Timeout": "30s",
            "Upstash-Delay": "1m",
            "Upstash-Not-Before": "1700000000",
            "Upstash-Deduplication-Id": "d 1",
            "Upstash-Content-Based-Deduplication": "True",
            "Upstash-Label": "a,b",
            "Upstash-Redact-Fields": "body,header[X-A]",
            "Upstash-Flow-Control-Key": "a/b c",
            "Upstash-Flow-Control-Value": "parallelism=2, rate=3, period=10s",
        },
        queue="q",
        caller_ip="192.0.2.1",
    )

    assert message == Message(
        content_type="application/json",
        method="PUT",
        retries=0,
        retry_delay="pow(2, retried)",
        timeout_ms=30_000,
        delay_ms=60_000,
        not_before_ms=1_700_000_000_000,
        deduplication_id="d 1",
        content_based=True,
        labels=("a", "b"),
        redaction=Redaction(body=True, headers=("x-a",)),
        flow_control=FlowControl("a/b c", parallelism=2, rate=3, period_s=10),
        queue="q",
        caller_ip="192.0.2.1",
    )


@pytest.mark.parametrize("name", ["upstash-delay", "UPSTASH-DELAY", "Upstash-delay"])
def test_the_case_of_a_name_does_not_matter(name: str) -> None:
    assert read({name: "5s"}).delay_ms == 5_000


def test_settings_may_be_in_the_query() -> None:
    query = [
        ("upstash-delay", "5s"),
        ("upstash-forward-x-a", "1"),
        ("upstash-callback", BACK),
        ("delay", "9s"),
        ("x-b", "2"),
        ("content-type", "text/html"),
    ]

    assert read(query=query) == Message(
        delay_ms=5_000, headers=(("X-A", "1"),), callback=Callback(BACK)
    )


def test_a_header_overrides_its_query_parameter() -> None:
    message = read({"Upstash-Delay": "1s"}, query=[("upstash-delay", "2s")])

    assert message.delay_ms == 1_000


@pytest.mark.parametrize("value", ["", " ", "\t"])
def test_an_empty_value_counts_as_absent(value: str) -> None:
    names = ("Delay", "Retries", "Callback", "Label", "Deduplication-Id", "Method")
    headers = {f"Upstash-{name}": value for name in names} | {"Content-Type": value}

    assert read(headers) == Message()


def test_blanks_around_a_value_are_ignored() -> None:
    assert read({"Upstash-Delay": " 5s\t"}).delay_ms == 5_000


def test_a_repeated_setting_must_have_the_same_value() -> None:
    assert from_headers([("Upstash-Delay", "1s"), ("upstash-delay", "1s")])
    with pytest.raises(BadValue, match=r"^Upstash-Delay is given twice"):
        from_headers([("Upstash-Delay", "1s"), ("upstash-delay", "2s")])


def test_telemetry_and_unknown_settings_are_ignored() -> None:
    headers = {
        "upstash-telemetry-sdk": "upstash-qstash-js@2",
        "upstash-telemetry-runtime": "node@22",
        "Upstash-Whatever": "\x00",
        "Content-Type-Of-What": "x",
        "Authorization": "Bearer token",
        "X-Other": "1",
    }

    assert read(headers) == Message()


def test_false_in_python_spelling_is_false() -> None:
    message = read({"Upstash-Content-Based-Deduplication": "False"})

    assert not message.content_based


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"upstash-delay": "soon"}, "Upstash-Delay"),
        ({"upstash-timeout": "0"}, "Upstash-Timeout"),
        ({"upstash-retries": "-1"}, "Upstash-Retries"),
        ({"upstash-retry-delay": "eval(1)"}, "Upstash-Retry-Delay"),
        ({"upstash-method": "HEAD"}, "Upstash-Method"),
        ({"upstash-not-before": "x"}, "Upstash-Not-Before"),
        ({"upstash-callback": "back"}, "Upstash-Callback"),
        ({"upstash-failure-callback": "ftp://h/"}, "Upstash-Failure-Callback"),
        ({"upstash-redact-fields": "x"}, "Upstash-Redact-Fields"),
        ({"upstash-deduplication-id": "\x01"}, "Upstash-Deduplication-Id"),
        ({"upstash-flow-control-key": "k"}, "Upstash-Flow-Control-Value"),
        ({"upstash-flow-control-value": "rate=1"}, "Upstash-Flow-Control-Key"),
        (
            {"upstash-callback-retries": "x", "upstash-callback": BACK},
            "Upstash-Callback-Retries",
        ),
    ],
)
def test_the_error_names_the_header(headers: dict[str, str], name: str) -> None:
    assert refusal(headers).name == name


def test_the_error_names_the_query_parameter() -> None:
    fault = refusal({}, query=[("upstash-retries", "many")])

    assert fault.name == "Upstash-Retries"


def test_the_error_for_a_queue_name_names_its_field() -> None:
    assert refusal({}, queue="a b").name == "queueName"


def test_py_flow_control_without_limits_is_refused() -> None:
    """If the caller gives no limits, the Python SDK sends an empty header value."""
    headers = {"Upstash-Flow-Control-Key": "k", "Upstash-Flow-Control-Value": ""}

    assert "either rate=X or parallelism=Y" in str(refusal(headers))


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Upstash-Delay": "11s"}, "Upstash-Delay"),
        ({"Upstash-Timeout": "21s"}, "Upstash-Timeout"),
        ({"Upstash-Retries": "4"}, "Upstash-Retries"),
        (
            {"Upstash-Callback": BACK, "Upstash-Callback-Delay": "11"},
            "Upstash-Callback-Delay",
        ),
        (
            {"Upstash-Failure-Callback": BACK, "Upstash-Failure-Callback-Retries": "9"},
            "Upstash-Failure-Callback-Retries",
        ),
        ({"Upstash-Delay": "9" * 18 + "d"}, "Upstash-Delay"),
    ],
)
def test_limits_apply_to_messages_and_callbacks(
    headers: dict[str, str], name: str
) -> None:
    limits = HeaderLimits(delay_ms=10_000, timeout_ms=20_000, retries=3)

    read({"Upstash-Delay": "10s", "Upstash-Timeout": "20s"}, limits=limits)
    fault = refusal(headers, limits=limits)

    assert fault.name == name
    assert "should be at most" in str(fault)


@pytest.mark.parametrize("name", ["Callback", "Failure-Callback"])
def test_a_callback_has_its_own_settings_and_headers(name: str) -> None:
    message = read(
        {
            f"Upstash-{name}": BACK,
            f"Upstash-{name}-Method": "PATCH",
            f"upstash-{name.lower()}-timeout": "5",
            f"Upstash-{name}-Retries": "0",
            f"Upstash-{name}-Retry-Delay": "7",
            f"Upstash-{name}-Delay": "60",
            f"Upstash-{name}-Forward-x-a": "1",
            f"Upstash-{name}-X-B": "2",
            f"Upstash-{name}-Content-Type": "text/plain",
            f"Upstash-{name}-Forward-Timeout": "forwarded",
        }
    )

    expected = Callback(
        BACK,
        method="PATCH",
        headers=(("X-A", "1"), ("X-B", "2"), ("Timeout", "forwarded")),
        content_type="text/plain",
        retries=0,
        retry_delay="7",
        timeout_ms=5_000,
        delay_ms=60_000,
    )
    other = message.failure_callback if name == "Callback" else message.callback
    assert expected in (message.callback, message.failure_callback)
    assert other is None


def test_callback_settings_without_a_url_are_ignored() -> None:
    headers = {"Upstash-Callback-Retries": "1", "Upstash-Callback-X": "y"}

    assert read(headers) == Message()


@pytest.mark.parametrize("name", ["Callback", "Failure-Callback"])
@pytest.mark.parametrize(
    ("setting", "value"),
    [("Retries", "-1"), ("Delay", "x"), ("Method", "FOO"), ("Forward-X", "a\n")],
)
def test_a_bad_callback_setting_is_an_error_even_without_a_url(
    name: str, setting: str, value: str
) -> None:
    with pytest.raises(BadValue, match=f"^Upstash-{name}-{setting} "):
        read({f"Upstash-{name}-{setting}": value})


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://h/ü", "http://h/%C3%BC"),
        ("http://h/x#part", "http://h/x"),
        (f"http://h/?signature={'x' * 4_000}", f"http://h/?signature={'x' * 4_000}"),
    ],
)
def test_a_callback_url_is_parsed_like_a_destination(url: str, sent: str) -> None:
    as_read = url.encode().decode("latin-1")

    assert read({"Upstash-Callback": as_read}).callback == Callback(sent)


def test_a_schedule_has_a_cron_expression_and_a_time_zone() -> None:
    message = read(
        {
            "Upstash-Cron": " CRON_TZ=Asia/Tokyo */10 * * * * ",
            "Upstash-Schedule-Id": "my.schedule-1",
            "Upstash-Queue-Name": "q",
            "Upstash-Delay": "10s",
            "Upstash-Not-Before": "1700000000",
        },
        schedule=True,
    )

    assert message == Message(
        cron="CRON_TZ=Asia/Tokyo */10 * * * *",
        tz="Asia/Tokyo",
        schedule_id="my.schedule-1",
        queue="q",
        delay_ms=10_000,
    )


def test_a_schedule_is_in_utc_by_default() -> None:
    assert read({"Upstash-Cron": "0 4 * * *"}, schedule=True).tz == "UTC"


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({}, "Upstash-Cron"),
        ({"Upstash-Cron": ""}, "Upstash-Cron"),
        ({"Upstash-Cron": "every day"}, "Upstash-Cron"),
        (
            {"Upstash-Cron": "* * * * *", "Upstash-Schedule-Id": "a/b"},
            "Upstash-Schedule-Id",
        ),
        (
            {"Upstash-Cron": "* * * * *", "Upstash-Queue-Name": "a b"},
            "Upstash-Queue-Name",
        ),
    ],
)
def test_a_schedule_with_a_bad_header_is_refused(
    headers: dict[str, str], name: str
) -> None:
    assert refusal(headers, schedule=True).name == name


def test_a_message_ignores_the_name_of_a_schedule() -> None:
    assert read({"Upstash-Schedule-Id": "/"}) == Message()


def test_absent_headers_take_the_values_of_the_base() -> None:
    base = read(
        {
            "Upstash-Retries": "7",
            "Upstash-Delay": "7s",
            "Content-Type": "text/plain",
            "Upstash-Forward-X-A": "old",
            "Upstash-Forward-X-B": "old",
            "Upstash-Callback": BACK,
            "Upstash-Callback-Retries": "7",
            "Upstash-Callback-X-A": "old",
        }
    )

    message = read(
        {
            "Upstash-Delay": "1s",
            "Upstash-Forward-X-A": "new",
            "Upstash-Callback-Delay": "1s",
        },
        base=base,
    )

    assert message == Message(
        retries=7,
        delay_ms=1_000,
        content_type="text/plain",
        headers=(("X-B", "old"), ("X-A", "new")),
        callback=Callback(BACK, retries=7, delay_ms=1_000, headers=(("X-A", "old"),)),
    )


def test_without_headers_the_base_is_unchanged() -> None:
    base = read({"Upstash-Callback": BACK, "Upstash-Forward-X": "1"}, caller_ip="::1")

    assert read(base=base) == base


@pytest.mark.parametrize(
    ("raw", "text"),
    [("é漢".encode(), "é漢"), (b"caf\xe9", "café"), (b"\xe9\x85", "é\x85")],
)
def test_a_setting_is_read_as_utf8_or_else_as_latin_1(raw: bytes, text: str) -> None:
    value = raw.decode("latin-1")
    headers = {"Upstash-Deduplication-Id": value, "Upstash-Label": f"a,{value}"}

    for message in (read(headers), read(query=headers.items())):
        assert message.deduplication_id == text
        assert message.labels == ("a", text)


@pytest.mark.parametrize("prefix", ["", "Callback-", "Failure-Callback-"])
@pytest.mark.parametrize("text", ["1/0", "sqrt(-1)", "sqrt(-1 - retried)", "0/(2/0)"])
def test_a_retry_delay_without_any_value_is_refused(prefix: str, text: str) -> None:
    callbacks = {"Upstash-Callback": BACK, "Upstash-Failure-Callback": BACK}
    name = f"Upstash-{prefix}Retry-Delay"

    assert refusal(callbacks | {name: text, "Upstash-Retries": "1000"}).name == name


@pytest.mark.parametrize(
    ("text", "retries"),
    [("1/retried", "0"), ("1/retried", "3"), ("sqrt(retried - 900)", "1000")],
)
def test_a_retry_delay_with_a_value_before_any_retry_is_accepted(
    text: str, retries: str
) -> None:
    headers = {"Upstash-Retry-Delay": text, "Upstash-Retries": retries}

    assert read(headers).retry_delay == text


def test_a_callbacks_retry_delay_is_checked_against_the_callbacks_retries() -> None:
    headers = {
        "Upstash-Callback": BACK,
        "Upstash-Callback-Retries": "1",
        "Upstash-Callback-Retry-Delay": "sqrt(retried - 2)",
        "Upstash-Retries": "9",
    }

    assert refusal(headers).name == "Upstash-Callback-Retry-Delay"
    del headers["Upstash-Callback-Retries"]
    assert read(headers).callback is not None


@pytest.mark.parametrize("prefix", ["Callback", "Failure-Callback"])
def test_a_callback_has_at_most_20_retries(prefix: str) -> None:
    name = f"Upstash-{prefix}-Retries"
    headers = {f"Upstash-{prefix}": BACK, "Upstash-Retries": "1000"}

    assert read(headers | {name: "20"}).retries == 1000
    assert refusal(headers | {name: "21"}).name == name


def test_a_retried_message_may_keep_a_retry_delay_without_value() -> None:
    assert read(base=Message(retry_delay="1/0")).retry_delay == "1/0"
