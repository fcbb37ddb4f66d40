"""Url groups and dead letters with the official client for Python, both kinds."""

import json
import pytest
import re
from qstash import QStash
from qstash.errors import QStashError
from qstash.log import LogState
from qstash.message import FlowControl
from tests.clients.publisher import Publisher
from tests.clients.receivers import Answer, Receivers, Spot, wait_until
from tests.clients.system import System
from typing import Any
from uuid import uuid4

pytestmark = [pytest.mark.slow]

DOWN = Answer(500, {"X-Why": "down"}, b"no")
NOT_FOUND = "(?s)status: 404, .*"


def group_of(qstash: Publisher, *spots: Spot) -> str:
    """A new url group; its endpoints are called e0, e1 and so on."""
    name = f"g-{uuid4().hex}"
    endpoints = [{"url": spot.url, "name": f"e{n}"} for n, spot in enumerate(spots)]
    qstash.url_group.upsert_endpoints(url_group=name, endpoints=endpoints)
    return name


def letters(qstash: Publisher, label: str) -> list[Any]:
    return list(qstash.dlq.list(filter={"label": label}).messages)


def die(qstash: Publisher, spot: Spot, *, label: str, count: int = 1) -> list[Any]:
    """Messages that give up at once; answers their letters."""
    there = len(letters(qstash, label))
    for n in range(count):
        qstash.message.publish(url=spot.url, body=f"b{n}", retries=0, label=label)
    wait_until(lambda: len(letters(qstash, label)) == there + count)
    return letters(qstash, label)


def test_a_group_lives_from_its_first_endpoint_to_its_last(qstash: Publisher) -> None:
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


def test_every_endpoint_gets_what_is_published_to_its_group(
    qstash: Publisher, receivers: Receivers
) -> None:
    well, ill = receivers.spot(), receivers.spot(DOWN, Answer())
    name = group_of(qstash, well, ill)
    answers = qstash.message.publish_json(
        url_group=name, body={"n": 1}, retry_delay="100", headers={"X-Mine": "yes"}
    )

    assert [answer.url for answer in answers] == [well.url, ill.url]
    [one], [_, again] = well.wait_for(), ill.wait_for(2)
    for arrival, answer, spot in (
        (one, *answers[:1], well),
        (again, *answers[1:], ill),
    ):
        assert arrival.headers["upstash-message-id"] == answer.message_id
        assert arrival.headers["upstash-topic-name"] == name
        assert arrival.headers["x-mine"] == "yes"
        assert json.loads(arrival.body) == {"n": 1}
        qstash.verify(arrival, spot.url)
        qstash.logs(answer.message_id, until=LogState.DELIVERED)
    message = qstash.message.get(message_id=answers[1].message_id)
    assert (message.url_group, message.endpoint) == (name, "e1")
    assert len(well.arrivals) == 1


def test_batches_and_queues_take_groups(
    qstash: Publisher, receivers: Receivers
) -> None:
    one, two = receivers.spot(), receivers.spot()
    name = group_of(qstash, one, two)
    plain, several = qstash.message.batch(
        messages=[{"url": one.url, "body": "a"}, {"url_group": name, "body": "b"}]
    )
    queued = qstash.message.enqueue(queue=f"q-{name}", url_group=name, body="c")

    assert qstash.message.get(message_id=plain.message_id).url == one.url
    assert [answer.url for answer in several] == [one.url, two.url]
    assert [answer.url for answer in queued] == [one.url, two.url]
    assert sorted(each.body for each in one.wait_for(3)) == [b"a", b"b", b"c"]
    assert sorted(each.body for each in two.wait_for(2)) == [b"b", b"c"]


def test_a_schedule_reaches_every_endpoint_at_each_run(
    qstash: Publisher, receivers: Receivers
) -> None:
    spots = [receivers.spot() for _ in range(3)]
    name = group_of(qstash, *spots)
    schedule_id = qstash.schedule.create(
        destination=name, cron="@every 1s", body="tick", headers={"X-Mine": "yes"}
    )
    for spot in spots:
        spot.wait_for(2)
    schedule = qstash.schedule.get(schedule_id=schedule_id)
    qstash.schedule.delete(schedule_id=schedule_id)

    assert schedule.destination == name
    for n, spot in enumerate(spots):
        arrival = spot.arrivals[0]
        assert (arrival.body, arrival.headers["x-mine"]) == (b"tick", "yes")
        assert arrival.headers["upstash-topic-name"] == name
        assert arrival.headers["upstash-schedule-id"] == schedule_id
        qstash.verify(arrival, spot.url)
        message_id = arrival.headers["upstash-message-id"]
        message = qstash.message.get(message_id=message_id)
        assert (message.endpoint, message.schedule_id) == (f"e{n}", schedule_id)
        ids = [each.headers["upstash-message-id"] for each in spot.arrivals]
        assert len(set(ids)) == len(ids)
    found = qstash.log.list(filter={"schedule_id": schedule_id}).logs
    assert {entry.url for entry in found} == {spot.url for spot in spots}


def test_a_message_that_gives_up_is_a_dead_letter(
    qstash: Publisher, receivers: Receivers
) -> None:
    spot, told = receivers.spot(DOWN), receivers.spot()
    answer = qstash.message.publish_json(
        url=spot.url,
        body={"n": 1},
        retries=0,
        label="letter",
        headers={"X-Mine": "yes"},
        failure_callback=told.url,
        flow_control=FlowControl(key="letters", rate=100),
    )
    dlq_id = json.loads(told.wait_for()[0].body)["dlqId"]
    [listed] = letters(qstash, "letter")
    letter = qstash.dlq.get(dlq_id=dlq_id)

    assert letter == listed
    assert (letter.message_id, letter.dlq_id) == (answer.message_id, dlq_id)
    assert json.loads(letter.body) == {"n": 1}
    assert letter.headers["X-Mine"] == ["yes"]
    assert (letter.response_status, letter.response_body) == (500, "no")
    assert letter.response_headers["X-Why"] == ["down"]
    assert letter.flow_control.key == "letters"
    qstash.dlq.delete(dlq_id=dlq_id)
    for call in (qstash.dlq.get, qstash.dlq.delete):
        with pytest.raises(QStashError, match=NOT_FOUND):
            call(dlq_id=dlq_id)


def test_dead_letters_are_listed_in_pages_and_deleted_in_bulk(
    qstash: Publisher, receivers: Receivers
) -> None:
    spot = receivers.spot(DOWN)
    wanted = [each.dlq_id for each in die(qstash, spot, label="many", count=5)]
    found, cursor = list[str](), None
    while True:
        words = {} if cursor is None else {"cursor": cursor}
        page = qstash.dlq.list(count=2, filter={"url": spot.url}, **words)
        found += [each.dlq_id for each in page.messages]
        cursor = page.cursor
        if cursor is None:
            break

    assert found == wanted
    for name, value in (
        ("response_status", 500),
        ("caller_ip", "127.0.0.1"),
        ("from_time", 1),
    ):
        page = qstash.dlq.list(filter={"label": "many", name: value})
        assert len(page.messages) == 5
    assert not qstash.dlq.list(filter={"label": "many", "queue": "x"}).messages
    assert qstash.dlq.delete_many(dlq_ids=[]) == 0
    assert qstash.dlq.delete_many(dlq_ids=[*wanted[:2], "1-unknown"]) == 2
    assert [each.dlq_id for each in letters(qstash, "many")] == wanted[2:]


def test_another_tenant_has_groups_and_letters_of_its_own(
    system: System, qstash: Publisher, receivers: Receivers
) -> None:
    spot = receivers.spot(DOWN)
    name = group_of(qstash, spot)
    [letter] = die(qstash, spot, label="mine")
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
