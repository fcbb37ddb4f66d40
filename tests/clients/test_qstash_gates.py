"""Tests of queues and flow control with QStash's Python client, sync and async."""

import pytest
from itertools import pairwise
from qstash import QStash
from qstash.errors import QStashError
from qstash.log import LogState
from qstash.message import FlowControl
from tests.clients.publisher import Publisher
from tests.clients.receivers import Answer, Arrival, Receivers
from tests.clients.system import System
from tests.system.processes import wait_until
from uuid import uuid4

pytestmark = [pytest.mark.slow]

BUSY = Answer(503)
SLOW = Answer(delay_s=0.1)
# Tolerance for times between requests, because clocks and transit times differ.
ROUNDING_S = 0.03


def new_name() -> str:
    return f"n-{uuid4().hex}"


def bodies(arrivals: list[Arrival]) -> list[str]:
    return [arrival.body.decode() for arrival in arrivals]


def gaps_s(arrivals: list[Arrival]) -> list[float]:
    return [after.at_s - before.at_s for before, after in pairwise(arrivals)]


def test_a_queue_is_created_changed_and_deleted(qstash: Publisher) -> None:
    queues, name = qstash.queue, new_name()
    queues.upsert(queue=name, parallelism=3, paused=True)
    queue = queues.get(queue=name)

    assert (queue.name, queue.parallelism, queue.paused, queue.lag) == (
        name,
        3,
        True,
        0,
    )
    assert queue.updated_at >= queue.created_at > 1_700_000_000_000
    assert queue in queues.list()
    queues.upsert(queue=name)
    queue = queues.get(queue=name)
    assert (queue.parallelism, queue.paused) == (1, False)
    queues.delete(queue=name)
    queues.delete(queue=name)
    with pytest.raises(QStashError, match=r"(?s)status: 404, .*"):
        queues.get(queue=name)


def test_a_queue_delivers_one_by_one_in_order_with_retries(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination, name = receivers.new_destination(SLOW, BUSY, SLOW), new_name()
    for n in range(4):
        qstash.message.enqueue(
            queue=name, url=destination.url, body=f"{n}", retry_delay="100"
        )

    arrivals = destination.wait_for(5)
    assert bodies(arrivals) == ["0", "1", "1", "2", "3"]
    assert min(gaps_s(arrivals)) >= 0.1 - ROUNDING_S
    wait_until(lambda: qstash.queue.get(queue=name).lag == 0)


def test_a_resumed_queue_delivers_its_oldest_messages_first(
    qstash: Publisher, receivers: Receivers
) -> None:
    # Nothing has ended before the two messages that are sent together have arrived.
    slow = Answer(delay_s=1)
    destination, name = receivers.new_destination(slow, slow, Answer()), new_name()
    qstash.queue.upsert(queue=name, parallelism=2)
    qstash.queue.pause(queue=name)
    answers = [
        qstash.message.enqueue_json(queue=name, url=destination.url, body=n)
        for n in range(3)
    ]
    queue = qstash.queue.get(queue=name)
    message = qstash.message.get(message_id=answers[0].message_id)
    assert (queue.paused, queue.lag, message.queue) == (True, 3, name)
    assert destination.arrivals == []

    qstash.queue.resume(queue=name)
    # Of the two oldest messages, either may arrive first.
    assert sorted(bodies(destination.wait_for(3))[:2]) == ["0", "1"]
    qstash.logs(answers[2].message_id, until=LogState.DELIVERED)
    found = qstash.log.list(filter={"queue": name}).logs
    assert {entry.message_id for entry in found} == {a.message_id for a in answers}


def test_deleting_a_queue_cancels_its_waiting_messages(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination, name = receivers.new_destination(), new_name()
    qstash.queue.upsert(queue=name, paused=True)
    answer = qstash.message.enqueue(queue=name, url=destination.url, body="x")
    qstash.queue.delete(queue=name)

    qstash.logs(answer.message_id, until=LogState.CANCELED)
    again = qstash.message.enqueue(queue=name, url=destination.url, body="y")
    qstash.logs(again.message_id, until=LogState.DELIVERED)
    assert bodies(destination.arrivals) == ["y"]


def test_a_schedule_enqueues_its_messages(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination, name = receivers.new_destination(), new_name()
    schedule_id = qstash.schedule.create(
        destination=destination.url, cron="@every 1s", queue=name, body="tick"
    )

    destination.wait_for()
    qstash.schedule.delete(schedule_id=schedule_id)
    message_id = destination.arrivals[0].headers["upstash-message-id"]
    assert qstash.message.get(message_id=message_id).queue == name


def test_a_flow_control_key_limits_parallelism(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination, key = receivers.new_destination(SLOW), f"a/b c {new_name()}"
    for n in range(4):
        qstash.message.publish(
            url=destination.url,
            body=f"{n}",
            flow_control=FlowControl(key=key, parallelism=1),
        )
    flow = qstash.flow_control.get(key)

    assert (flow.key, flow.parallelism_max, flow.rate_max) == (key, 1, 0)
    arrivals = destination.wait_for(4)
    assert min(gaps_s(arrivals)) >= 0.1 - ROUNDING_S
    wait_until(lambda: qstash.flow_control.get(key).parallelism_count == 0)


def test_a_flow_control_key_limits_the_rate(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination, key = receivers.new_destination(), new_name()
    limits = FlowControl(key=key, rate=2, period="1s")
    messages = [{"url": destination.url, "flow_control": limits} for _ in range(5)]
    qstash.message.batch(messages=messages)

    destination.wait_for(5)
    entries = qstash.log.list(
        filter={"url": destination.url, "state": LogState.ACTIVE}
    ).logs
    times = sorted(entry.time for entry in entries)
    assert len(times) == 5
    for first, third in zip(times, times[2:], strict=False):
        assert third - first >= 1_000


def test_a_flow_control_key_is_paused_pinned_and_reset(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination, key, flows = (
        receivers.new_destination(),
        new_name(),
        qstash.flow_control,
    )
    limits = FlowControl(key=key, rate=1, period="1d", parallelism=9)
    flows.pause(key)
    for n in range(3):
        qstash.message.publish(url=destination.url, body=f"{n}", flow_control=limits)
    wait_until(lambda: flows.get(key).wait_list_size == 3)
    assert (flows.get(key).is_paused, destination.arrivals) == (True, [])

    flows.resume(key)
    destination.wait_for(1)
    wait_until(lambda: flows.get(key).rate_count == 1)
    flow = flows.get(key)
    assert (flow.is_paused, flow.wait_list_size, flow.rate_period) == (False, 2, 86_400)
    flows.reset_rate(key)
    destination.wait_for(2)
    flows.pin(key, {"rate": 50, "period": 60, "parallelism": 5})
    destination.wait_for(3)
    flow = flows.get(key)
    assert (flow.rate_max, flow.rate_period, flow.parallelism_max) == (50, 60, 5)
    assert (flow.is_pinned_rate, flow.is_pinned_parallelism) == (True, True)
    flows.unpin(key, {"rate": True, "parallelism": False})
    flow = flows.get(key)
    assert (flow.is_pinned_rate, flow.is_pinned_parallelism) == (False, True)
    assert flows.get_global_parallelism().parallelism_max == 0


def test_tenants_do_not_share_queues_and_flow_control_keys(
    system: System, qstash: Publisher
) -> None:
    name = new_name()
    qstash.queue.upsert(queue=name, parallelism=7)
    qstash.flow_control.pin(name, {"parallelism": 7})
    other = QStash(
        system.credentials["QSTASH_TOKEN"], base_url=qstash.environ["QSTASH_URL"]
    )

    for call in (other.queue.get, other.queue.pause, other.flow_control.get):
        with pytest.raises(QStashError, match=r"(?s)status: 404, .*"):
            call(name)
    other.queue.delete(name)
    other.flow_control.pause(name)
    assert qstash.queue.get(queue=name).parallelism == 7
    assert not qstash.flow_control.get(name).is_paused
