"""Tests of URL groups and dead letters with QStash's Python client, sync and async."""

import json
import pytest
import re
from qstash import QStash
from qstash.errors import QStashError
from qstash.log import LogState
from qstash.message import FlowControl
from tests.clients.publisher import Publisher
from tests.clients.receivers import Answer, Destination, Receivers
from tests.clients.system import System
from tests.system.processes import wait_until
from typing import Any
from uuid import uuid4

pytestmark = [pytest.mark.slow]

DOWN = Answer(500, {"X-Reason": "down"}, b"no")
NOT_FOUND = "(?s)status: 404, .*"


def new_group(qstash: Publisher, *destinations: Destination) -> str:
    """Create a URL group with endpoints named e0, e1, and so on; return its name."""
    name = f"g-{uuid4().hex}"
    endpoints = [
        {"url": destination.url, "name": f"e{n}"}
        for n, destination in enumerate(destinations)
    ]
    qstash.url_group.upsert_endpoints(url_group=name, endpoints=endpoints)
    return name


def dead_letters(qstash: Publisher, label: str) -> list[Any]:
    return list(qstash.dlq.list(filter={"label": label}).messages)


def create_dead_letters(
    qstash: Publisher, destination: Destination, *, label: str, count: int = 1
) -> list[Any]:
    """Publish messages that fail; return all dead letters with this label."""
    before = len(dead_letters(qstash, label))
    for n in range(count):
        qstash.message.publish(
            url=destination.url, body=f"b{n}", retries=0, label=label
        )
    wait_until(lambda: len(dead_letters(qstash, label)) == before + count)
    return dead_letters(qstash, label)


def test_a_url_group_exists_from_its_first_endpoint_to_its_last(
    qstash: Publisher,
) -> None:
    first, second = ({"url": f"https://{n}.example/", "name": n} for n in "ab")
    groups, name = qstash.url_group, f"g-{uuid4().hex}"
    groups.upsert_endpoints(url_group=name, endpoints=[first, {"url": second["url"]}])
    groups.upsert_endpoints(url_group=name, endpoints=[second])

    group = groups.get(url_group=name)
    assert [(e.url, e.name) for e in group.endpoints] == [
        (first["url"], "a"),
        (second["url"], "b"),
    ]
    assert group.updated_at >= group.created_at > 1_700_000_000_000
    assert group in groups.list()
    groups.remove_endpoints(url_group=name, endpoints=[{"name": "a"}])
    assert [e.name for e in groups.get(url_group=name).endpoints] == ["b"]
    groups.remove_endpoints(url_group=name, endpoints=[{"url": second["url"]}])
    with pytest.raises(QStashError, match=NOT_FOUND):
        groups.get(url_group=name)
    groups.delete(url_group=name)


def test_a_message_to_a_url_group_reaches_every_endpoint(
    qstash: Publisher, receivers: Receivers
) -> None:
    healthy = receivers.new_destination()
    failing = receivers.new_destination(DOWN, Answer())
    name = new_group(qstash, healthy, failing)
    answers = qstash.message.publish_json(
        url_group=name, body={"n": 1}, retry_delay="100", headers={"X-Mine": "yes"}
    )

    assert [answer.url for answer in answers] == [healthy.url, failing.url]
    [first], [_, retry] = healthy.wait_for(), failing.wait_for(2)
    for arrival, answer, destination in (
        (first, *answers[:1], healthy),
        (retry, *answers[1:], failing),
    ):
        assert arrival.headers["upstash-message-id"] == answer.message_id
        assert arrival.headers["upstash-topic-name"] == name
        assert arrival.headers["x-mine"] == "yes"
        assert json.loads(arrival.body) == {"n": 1}
        qstash.verify(arrival, destination.url)
        qstash.logs(answer.message_id, until=LogState.DELIVERED)
    message = qstash.message.get(message_id=answers[1].message_id)
    assert (message.url_group, message.endpoint) == (name, "e1")
    assert len(healthy.arrivals) == 1


def test_batches_and_queues_accept_url_groups(
    qstash: Publisher, receivers: Receivers
) -> None:
    one, two = receivers.new_destination(), receivers.new_destination()
    name = new_group(qstash, one, two)
    plain, several = qstash.message.batch(
        messages=[{"url": one.url, "body": "a"}, {"url_group": name, "body": "b"}]
    )
    queued = qstash.message.enqueue(queue=f"q-{name}", url_group=name, body="c")

    assert qstash.message.get(message_id=plain.message_id).url == one.url
    assert [answer.url for answer in several] == [one.url, two.url]
    assert [answer.url for answer in queued] == [one.url, two.url]
    assert sorted(a.body for a in one.wait_for(3)) == [b"a", b"b", b"c"]
    assert sorted(a.body for a in two.wait_for(2)) == [b"b", b"c"]


def test_a_schedule_of_a_url_group_reaches_every_endpoint(
    qstash: Publisher, receivers: Receivers
) -> None:
    destinations = [receivers.new_destination() for _ in range(3)]
    name = new_group(qstash, *destinations)
    schedule_id = qstash.schedule.create(
        destination=name, cron="@every 1s", body="tick", headers={"X-Mine": "yes"}
    )
    for destination in destinations:
        destination.wait_for(2)
    schedule = qstash.schedule.get(schedule_id=schedule_id)
    qstash.schedule.delete(schedule_id=schedule_id)

    assert schedule.destination == name
    for n, destination in enumerate(destinations):
        arrival = destination.arrivals[0]
        assert (arrival.body, arrival.headers["x-mine"]) == (b"tick", "yes")
        assert arrival.headers["upstash-topic-name"] == name
        assert arrival.headers["upstash-schedule-id"] == schedule_id
        qstash.verify(arrival, destination.url)
        message_id = arrival.headers["upstash-message-id"]
        message = qstash.message.get(message_id=message_id)
        assert (message.endpoint, message.schedule_id) == (f"e{n}", schedule_id)
        ids = [a.headers["upstash-message-id"] for a in destination.arrivals]
        assert len(set(ids)) == len(ids)
    found = qstash.log.list(filter={"schedule_id": schedule_id}).logs
    assert {entry.url for entry in found} == {d.url for d in destinations}


def test_a_message_without_retries_left_becomes_a_dead_letter(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination(DOWN)
    callback = receivers.new_destination()
    answer = qstash.message.publish_json(
        url=destination.url,
        body={"n": 1},
        retries=0,
        label="letter",
        headers={"X-Mine": "yes"},
        failure_callback=callback.url,
        flow_control=FlowControl(key="letters", rate=100),
    )
    dlq_id = json.loads(callback.wait_for()[0].body)["dlqId"]
    [listed] = dead_letters(qstash, "letter")
    letter = qstash.dlq.get(dlq_id=dlq_id)

    assert letter == listed
    assert (letter.message_id, letter.dlq_id) == (answer.message_id, dlq_id)
    assert json.loads(letter.body) == {"n": 1}
    assert letter.headers["X-Mine"] == ["yes"]
    assert (letter.response_status, letter.response_body) == (500, "no")
    assert letter.response_headers["X-Reason"] == ["down"]
    assert letter.flow_control.key == "letters"
    qstash.dlq.delete(dlq_id=dlq_id)
    for call in (qstash.dlq.get, qstash.dlq.delete):
        with pytest.raises(QStashError, match=NOT_FOUND):
            call(dlq_id=dlq_id)


def test_dead_letters_are_listed_in_pages_and_deleted_in_bulk(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination(DOWN)
    letters = create_dead_letters(qstash, destination, label="many", count=5)
    ids = [letter.dlq_id for letter in letters]
    found, cursor = list[str](), None
    while True:
        options = {} if cursor is None else {"cursor": cursor}
        page = qstash.dlq.list(count=2, filter={"url": destination.url}, **options)
        found += [letter.dlq_id for letter in page.messages]
        cursor = page.cursor
        if cursor is None:
            break

    assert found == ids
    for name, value in (
        ("response_status", 500),
        ("caller_ip", "127.0.0.1"),
        ("from_time", 1),
    ):
        page = qstash.dlq.list(filter={"label": "many", name: value})
        assert len(page.messages) == 5
    assert not qstash.dlq.list(filter={"label": "many", "queue": "x"}).messages
    assert qstash.dlq.delete_many(dlq_ids=[]) == 0
    assert qstash.dlq.delete_many(dlq_ids=[*ids[:2], "1-unknown"]) == 2
    left = dead_letters(qstash, "many")
    assert [letter.dlq_id for letter in left] == ids[2:]


def test_tenants_do_not_share_url_groups_and_dead_letters(
    system: System, qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination(DOWN)
    name = new_group(qstash, destination)
    [letter] = create_dead_letters(qstash, destination, label="mine")
    other = QStash(
        system.credentials["QSTASH_TOKEN"], base_url=qstash.environ["QSTASH_URL"]
    )

    for call in (
        lambda: other.url_group.get(name),
        lambda: other.message.publish(url_group=name),
        lambda: other.dlq.get(letter.dlq_id),
        lambda: other.dlq.delete(letter.dlq_id),
    ):
        with pytest.raises(QStashError, match=re.compile(NOT_FOUND)):
            call()
    assert other.dlq.delete_many([letter.dlq_id]) == 0
    assert name not in {group.name for group in other.url_group.list()}
