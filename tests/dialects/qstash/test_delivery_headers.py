"""Tests of the headers of deliveries, as real receivers get them."""

import pytest
from collections.abc import Iterator
from tests.clients.receivers import Answer, Destination, Receivers, serve_receivers
from tests.dialects.qstash.publisher import Publisher

FAILURE = Answer(status=500)
RETRIED, RETRIES = "upstash-retried", "upstash-retries"
MAX_RETRIES, RETRY_DELAY = "upstash-max-retries", "upstash-retry-delay"
FLOW_KEY, FLOW_VALUE = "upstash-flow-control-key", "upstash-flow-control-value"
FLOW = {
    "Upstash-Flow-Control-Key": "k\u00fcche".encode().decode("latin-1"),
    "Upstash-Flow-Control-Value": "rate=100, period=1m",
}


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with serve_receivers() as receivers:
        yield receivers


def sent(destination: Destination, *names: str) -> list[tuple[str | None, ...]]:
    """Return the values of these headers in each request, in order."""
    return [
        tuple(arrival.headers.get(name) for name in names)
        for arrival in destination.arrivals
    ]


def test_a_receiver_can_tell_the_last_attempt(
    publisher: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination(FAILURE)
    headers = {"Upstash-Retries": "2", "Upstash-Retry-Delay": "1000 * (1 + retried)"}

    publisher.post(f"/v2/publish/{destination.url}", headers=headers)
    publisher.deliver()

    delay = headers["Upstash-Retry-Delay"]
    assert sent(destination, RETRIED, RETRIES, MAX_RETRIES, RETRY_DELAY) == [
        (str(n), str(n), "2", delay) for n in range(3)
    ]


def test_a_callback_has_its_own_retries_or_those_of_its_message(
    publisher: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination()
    for own in ({}, {"Upstash-Callback-Retries": "7"}):
        back = receivers.new_destination()
        headers = {"Upstash-Retries": "2", "Upstash-Callback": back.url, **own, **FLOW}

        publisher.post(f"/v2/publish/{destination.url}", headers=headers)
        publisher.deliver()

        expected = "7" if own else "2"
        assert sent(back, MAX_RETRIES, RETRIES) == [(expected, "0")]
        assert sent(back, FLOW_KEY, FLOW_VALUE) == [(None, None)]


def test_a_replayed_dead_letter_counts_from_0(
    publisher: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination(FAILURE, FAILURE, Answer())
    headers = {"Upstash-Retries": "1", "Upstash-Retry-Delay": "1", **FLOW}

    publisher.post(f"/v2/publish/{destination.url}", headers=headers)
    publisher.deliver()
    publisher.post("/v2/dlq/retry", headers={"Upstash-Retries": "5"})
    publisher.deliver()

    assert sent(destination, RETRIES, MAX_RETRIES) == [
        ("0", "1"),
        ("1", "1"),
        ("0", "5"),
    ]
    assert len(set(sent(destination, FLOW_KEY, FLOW_VALUE))) == 1


def test_every_endpoint_of_a_group_and_every_run_gets_the_settings(
    publisher: Publisher, receivers: Receivers
) -> None:
    destinations = [receivers.new_destination() for _ in range(3)]
    endpoints = [{"url": destination.url} for destination in destinations[:2]]
    publisher.post("/v2/topics/group/endpoints", json={"endpoints": endpoints})
    headers = {"Upstash-Retries": "6", "Upstash-Retry-Delay": "9", **FLOW}
    cron = {"Upstash-Cron": "0 0 1 1 *"}

    publisher.post("/v2/publish/group", headers=headers)
    for to in ("group", destinations[2].url):
        schedule = publisher.post(f"/v2/schedules/{to}", headers=headers | cron)
        publisher.post(f"/v2/schedules/{schedule['scheduleId']}/run")
    publisher.deliver()

    key = FLOW["Upstash-Flow-Control-Key"]
    expected = ("0", "6", "9", key, "rate=100,period=60")
    names = (RETRIES, MAX_RETRIES, RETRY_DELAY, FLOW_KEY, FLOW_VALUE)
    assert [sent(each, *names) for each in destinations] == [
        [expected, expected],
        [expected, expected],
        [expected],
    ]


@pytest.mark.parametrize("separator", ["-", "_"])
def test_s17_a_publisher_cannot_set_what_the_server_reports(
    publisher: Publisher, receivers: Receivers, separator: str
) -> None:
    destination, back = receivers.new_destination(), receivers.new_destination()
    names = (RETRIES, MAX_RETRIES, RETRY_DELAY, FLOW_KEY, FLOW_VALUE)
    forgeable = [name.replace("-", separator) for name in names]
    forged = {f"upstash-forward-{name}": "forged" for name in forgeable}
    to_back = {f"Upstash-Callback-Forward-{name}": "forged" for name in forgeable}
    query = "&".join(f"{name}=forged" for name in (*forged, *to_back))
    item = {"destination": destination.url, "headers": forged}

    answers = [
        publisher.post(
            f"/v2/publish/{destination.url}",
            headers={"Upstash-Callback": back.url, **forged, **to_back},
        ),
        publisher.post(f"/v2/publish/{destination.url}?{query}"),
        *publisher.post("/v2/batch", json=[item]),
    ]
    publisher.deliver()

    assert [*sent(destination, *names), *sent(back, *names)] == [
        ("0", "3", None, None, None)
    ] * 4
    received = (*destination.arrivals, *back.arrivals)
    assert not any("forged" in arrival.headers.values() for arrival in received)
    for answer in answers:
        message = publisher.call("GET", f"/v2/messages/{answer['messageId']}")
        assert not {"header", "callbackHeader"} & message.keys()
