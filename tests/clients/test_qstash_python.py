"""Tests of QStash's Python client, sync and async, against a running system."""

import base64
import json
import pytest
import time
from datetime import datetime, timedelta
from qstash import QStash, Receiver
from qstash.errors import QStashError, SignatureError
from qstash.log import LogState
from qstash.message import Message
from qstash.schedule import Schedule, ScheduleState
from tests.clients.publisher import Publisher, states
from tests.clients.receivers import Answer, Arrival, Destination, Receivers
from tests.clients.system import System
from tests.system.processes import wait_until
from typing import Any
from zoneinfo import ZoneInfo

pytestmark = [pytest.mark.slow]

# Nothing listens at this address.
DEAD_END = "http://127.0.0.1:1/dead-end"
# Tolerance for times from other processes, which may be rounded to milliseconds.
ROUNDING_S = 0.002
UNAVAILABLE = Answer(503, {"X-Reason": "busy"}, b"not now")


def decode(encoded: str) -> str:
    return base64.b64decode(encoded).decode()


def is_signed_by(arrival: Arrival, url: str, current: str, next_key: str) -> bool:
    receiver = Receiver(current, next_key)
    try:
        receiver.verify(
            signature=arrival.signature, body=arrival.body.decode(), url=url
        )
    except SignatureError:
        return False
    return True


def refused(status: int, *words: str) -> Any:
    """Expect an error response with this status and these words in the message."""
    message = ".*".join(words)
    return pytest.raises(QStashError, match=f"(?s)status: {status}, .*{message}")


def test_json_is_delivered_unchanged(qstash: Publisher, receivers: Receivers) -> None:
    destination = receivers.new_destination(suffix="//a%2Fb/?x=1&y=%2F&x=2")
    body = {"text": "é😀", "n": 1.5}

    answer = qstash.message.publish_json(
        url=destination.url, body=body, headers={"X-Mine": "yes"}, label="one"
    )
    message = qstash.message.get(message_id=answer.message_id)

    [arrival] = destination.wait_for()
    assert (arrival.method, arrival.body) == ("POST", json.dumps(body).encode())
    assert destination.url.endswith(arrival.target)
    assert arrival.headers["content-type"] == "application/json"
    assert arrival.headers["x-mine"] == "yes"
    assert arrival.headers["user-agent"] == "Upstash-QStash"
    assert arrival.headers["upstash-message-id"] == answer.message_id
    assert arrival.headers["upstash-retried"] == "0"
    assert "authorization" not in arrival.headers
    qstash.verify(arrival, destination.url)
    assert answer.deduplicated is False
    assert message == Message(
        message_id=answer.message_id,
        url=destination.url,
        url_group=None,
        endpoint=None,
        queue=None,
        body=json.dumps(body),
        body_base64=None,
        method="POST",
        headers={"Content-Type": ["application/json"], "X-Mine": ["yes"]},
        callback_headers=None,
        failure_callback_headers=None,
        max_retries=3,
        retry_delay_expression=None,
        not_before=message.not_before,
        created_at=message.created_at,
        callback=None,
        failure_callback=None,
        schedule_id=None,
        caller_ip="127.0.0.1",
        flow_control=None,
        label="one",
    )
    assert abs(message.created_at / 1000 - arrival.at_s) < 30


def test_bytes_are_delivered_unchanged(qstash: Publisher, receivers: Receivers) -> None:
    destination, body = receivers.new_destination(), bytes(range(256))

    answer = qstash.message.publish(
        url=destination.url, body=body, method="PUT", content_type="application/x-mine"
    )

    [arrival] = destination.wait_for()
    assert (arrival.method, arrival.body) == ("PUT", body)
    assert arrival.headers["content-type"] == "application/x-mine"
    message = qstash.message.get(message_id=answer.message_id)
    assert base64.b64decode(message.body_base64) == body
    assert message.body is None


def test_a_message_without_a_body_is_delivered_without_one(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination()

    qstash.message.publish(url=destination.url, method="GET")

    [arrival] = destination.wait_for()
    assert (arrival.method, arrival.body) == ("GET", b"")
    qstash.verify(arrival, destination.url)


def test_a_signature_is_valid_for_its_body_url_and_keys_only(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination()
    qstash.message.publish(url=destination.url, body="body")
    [arrival] = destination.wait_for()
    other_keys = Receiver("sig_" + "0" * 28, "sig_" + "1" * 28)

    for receiver, body, url in (
        (qstash.receiver, "bodY", destination.url),
        (qstash.receiver, "body", f"{destination.url}/"),
        (other_keys, "body", destination.url),
    ):
        with pytest.raises(SignatureError):
            receiver.verify(signature=arrival.signature, body=body, url=url)
    qstash.verify(arrival, destination.url)


def test_a_message_is_delivered_after_its_delay_or_at_its_time(
    qstash: Publisher, receivers: Receivers
) -> None:
    delayed, timed, past = (receivers.new_destination() for _ in range(3))
    now_s = time.time()
    at_s = int(now_s) + 2

    qstash.message.publish(url=delayed.url, delay="1s")
    first = qstash.message.publish(url=timed.url, not_before=at_s, delay="1h")
    second = qstash.message.publish(url=past.url, not_before=1)

    past.wait_for()
    assert delayed.wait_for()[0].at_s >= now_s + 1 - ROUNDING_S
    assert timed.wait_for()[0].at_s >= at_s
    message = qstash.message.get(message_id=first.message_id)
    assert message.not_before == at_s * 1000
    message = qstash.message.get(message_id=second.message_id)
    assert message.not_before == message.created_at


def test_a_failed_attempt_is_retried_after_the_delay_of_its_expression(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination(UNAVAILABLE, UNAVAILABLE, Answer())

    answer = qstash.message.publish(
        url=destination.url, body="x", retries=5, retry_delay="200 * (1 + retried)"
    )

    arrivals = destination.wait_for(3)
    first, second, third = (arrival.at_s for arrival in arrivals)
    assert second - first >= 0.2 - ROUNDING_S
    assert third - second >= 0.4 - ROUNDING_S
    assert [a.headers["upstash-retried"] for a in arrivals] == ["0", "1", "2"]
    ids = {arrival.headers["upstash-message-id"] for arrival in arrivals}
    assert ids == {answer.message_id}
    for arrival in arrivals:
        qstash.verify(arrival, destination.url)
    entries = qstash.logs(answer.message_id, until=LogState.DELIVERED)
    assert states(entries).count(LogState.ERROR) == 2
    assert states(entries)[-1] is LogState.DELIVERED
    assert {entry.retry_delay_expression for entry in entries} == {
        "200 * (1 + retried)"
    }
    [failed, _] = [entry for entry in entries if entry.state is LogState.ERROR]
    assert failed.response_status == 503
    assert decode(failed.response_body) == "not now"
    assert failed.response_headers["Content-Length"] == ["7"]
    assert failed.next_delivery_time is not None


def test_a_receiver_can_delay_the_retry_by_response_headers(
    qstash: Publisher, receivers: Receivers
) -> None:
    headers = ["Retry-After", "X-RateLimit-Reset", "X-RateLimit-Reset-Tokens"]
    destinations = [
        receivers.new_destination(Answer(429, {name: "1"}), Answer())
        for name in headers
    ]

    for destination in destinations:
        qstash.message.publish(url=destination.url, retry_delay="3600000")

    for destination in destinations:
        first, second = destination.wait_for(2)
        assert second.at_s - first.at_s >= 1 - ROUNDING_S


def test_a_non_retryable_failure_is_final_and_calls_back(
    qstash: Publisher, receivers: Receivers
) -> None:
    final = Answer(489, {"Upstash-NonRetryable-Error": "true"}, b"never")
    destination = receivers.new_destination(final)
    callback_destination = receivers.new_destination()

    answer = qstash.message.publish(
        url=destination.url,
        body="x",
        retry_delay="1",
        failure_callback=callback_destination.url,
        failure_callback_headers={"X-Callback": "1"},
    )

    [callback] = callback_destination.wait_for()
    assert len(destination.arrivals) == 1
    qstash.verify(callback, callback_destination.url)
    assert callback.headers["x-callback"] == "1"
    body = json.loads(callback.body)
    assert (body["status"], decode(body["body"])) == (489, "never")
    assert body["sourceMessageId"] == answer.message_id
    wanted_ms, _, event_id = body["dlqId"].partition("-")
    assert (int(wanted_ms), f"msg_{event_id}") == (body["notBefore"], answer.message_id)
    entries = qstash.logs(answer.message_id, until=LogState.FAILED)
    assert states(entries) == [
        LogState.CREATED,
        LogState.ACTIVE,
        LogState.ERROR,
        LogState.FAILED,
    ]


def test_callbacks_report_every_attempt_and_the_final_failure(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination(UNAVAILABLE)
    on_attempt, on_failure = receivers.new_destination(), receivers.new_destination()

    answer = qstash.message.publish_json(
        url=destination.url,
        body={"a": "é"},
        headers={"X-Mine": "yes"},
        retries=1,
        retry_delay="100",
        callback=on_attempt.url,
        callback_headers={"X-Callback": "1", "Method": "PUT"},
        failure_callback=on_failure.url,
    )

    callbacks = on_attempt.wait_for(2)
    [failure] = on_failure.wait_for()
    bodies = sorted(
        (json.loads(callback.body) for callback in callbacks),
        key=lambda body: body["retried"],
    )
    for callback in callbacks:
        assert (callback.method, callback.headers["x-callback"]) == ("PUT", "1")
        assert callback.headers["content-type"] == "application/json"
        assert callback.headers["upstash-message-id"] != answer.message_id
        qstash.verify(callback, on_attempt.url)
    qstash.verify(failure, on_failure.url)
    assert [body["retried"] for body in bodies] == [0, 1]
    for body in (*bodies, json.loads(failure.body)):
        assert body["status"] == 503
        assert body["header"]["X-Reason"] == ["busy"]
        assert decode(body["body"]) == "not now"
        assert body["maxRetries"] == 1
        assert body["sourceMessageId"] == answer.message_id
        assert (body["url"], body["method"]) == (destination.url, "POST")
        assert body["sourceHeader"]["X-Mine"] == ["yes"]
        assert decode(body["sourceBody"]) == json.dumps({"a": "é"})
        assert isinstance(body["createdAt"], int)
    assert "dlqId" not in bodies[0]
    assert json.loads(failure.body)["dlqId"]
    assert len(destination.arrivals) == 2


def test_the_callback_of_a_success_has_the_response(
    qstash: Publisher, receivers: Receivers
) -> None:
    raw = bytes(range(256))
    destination = receivers.new_destination(Answer(201, {"X-A": "b"}, raw))
    callback = receivers.new_destination()

    qstash.message.publish(
        url=destination.url, callback=callback.url, failure_callback=DEAD_END
    )

    body = json.loads(callback.wait_for()[0].body)
    assert (body["status"], body["header"]["X-A"]) == (201, ["b"])
    assert base64.b64decode(body["body"]) == raw


def test_messages_are_deduplicated_by_id_or_by_content(
    qstash: Publisher, receivers: Receivers
) -> None:
    by_id, by_content = receivers.new_destination(), receivers.new_destination()

    first = qstash.message.publish(url=by_id.url, body="1", deduplication_id="a b")
    second = qstash.message.publish(url=by_id.url, body="2", deduplication_id="a b")
    answers = [
        qstash.message.publish(
            url=by_content.url, body=body, content_based_deduplication=deduplicate
        )
        for body, deduplicate in (("x", True), ("x", True), ("y", True), ("x", False))
    ]

    assert (first.deduplicated, second.deduplicated) == (False, True)
    assert second.message_id == first.message_id
    assert [a.deduplicated for a in answers] == [False, True, False, False]
    assert answers[1].message_id == answers[0].message_id
    assert sorted(a.body for a in by_content.wait_for(3)) == [b"x", b"x", b"y"]
    assert [arrival.body for arrival in by_id.wait_for()] == [b"1"]


def test_a_batch_is_answered_in_order(qstash: Publisher, receivers: Receivers) -> None:
    first, second, third = (receivers.new_destination() for _ in range(3))

    texts = qstash.message.batch(
        messages=[
            {"url": first.url, "body": "é", "method": "PATCH", "headers": {"X": "1"}},
            {"url": "nowhere://", "body": "x"},
            {"url": second.url, "deduplication_id": "in-a-batch"},
            {"url": second.url, "deduplication_id": "in-a-batch"},
        ]
    )
    [parsed] = qstash.message.batch_json(
        messages=[{"url": third.url, "body": {"a": 1}, "delay": "1s"}]
    )

    [arrival] = first.wait_for()
    assert (arrival.method, arrival.body) == ("PATCH", "é".encode())
    assert arrival.headers["x"] == "1"
    assert arrival.headers["upstash-message-id"] == texts[0].message_id
    assert texts[1].message_id == ""
    assert [text.deduplicated for text in texts] == [False, False, False, True]
    assert texts[3].message_id == texts[2].message_id
    [later] = third.wait_for()
    assert json.loads(later.body) == {"a": 1}
    assert later.headers["upstash-message-id"] == parsed.message_id
    assert len(second.wait_for()) == 1


def test_a_cancelled_message_never_arrives(
    qstash: Publisher, receivers: Receivers
) -> None:
    cancelled, control = receivers.new_destination(), receivers.new_destination()
    answer = qstash.message.publish(url=cancelled.url, delay=2)
    qstash.message.publish(url=control.url, delay=3)

    qstash.message.cancel(message_id=answer.message_id)

    for call in (qstash.message.get, qstash.message.cancel):
        with refused(404, "error"):
            call(message_id=answer.message_id)
    control.wait_for()
    assert cancelled.arrivals == []
    entries = qstash.logs(answer.message_id, until=LogState.CANCELED)
    assert LogState.ACTIVE not in states(entries)


def test_many_messages_are_cancelled_by_their_ids(qstash: Publisher) -> None:
    answers = qstash.message.batch(
        messages=[{"url": DEAD_END, "delay": "1h"} for _ in range(5)]
    )
    ids = [answer.message_id for answer in answers]

    assert qstash.message.cancel_many(message_ids=[]) == 0
    assert qstash.message.cancel_many(message_ids=[*ids[:2], "msg_unknown"]) == 2
    assert qstash.message.cancel_many(message_ids=ids[:3]) == 1
    assert qstash.message.get(message_id=ids[3]).message_id == ids[3]


def test_all_messages_are_cancelled(qstash: Publisher) -> None:
    messages = [{"url": DEAD_END, "delay": "1h"} for _ in range(250)]
    answers = qstash.message.batch(messages=messages)

    assert qstash.message.cancel_all() >= 250

    assert qstash.message.cancel_all() == 0
    with refused(404, "error"):
        qstash.message.get(message_id=answers[0].message_id)


def test_a_schedule_is_created_paused_replaced_and_deleted(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination()
    zone = ZoneInfo("Asia/Tokyo")
    schedule_id = qstash.schedule.create_json(
        destination=destination.url,
        cron="CRON_TZ=Asia/Tokyo 30 9 * * *",
        body={"a": 1},
        method="PUT",
        headers={"X-Mine": "yes"},
        callback=DEAD_END,
        callback_headers={"X-Callback": "1"},
        failure_callback=DEAD_END,
        retries=7,
        retry_delay="1000",
        delay="90s",
        timeout=30,
        queue="slow",
        flow_control={"key": "k", "parallelism": 2, "rate": 3, "period": "1m"},
        label="nightly",
    )
    schedule = qstash.schedule.get(schedule_id=schedule_id)

    now = datetime.now(zone)
    at = now.replace(hour=9, minute=30, second=0, microsecond=0)
    at += timedelta(days=at <= now)
    assert schedule == Schedule(
        schedule_id=schedule_id,
        destination=destination.url,
        cron="CRON_TZ=Asia/Tokyo 30 9 * * *",
        created_at=schedule.created_at,
        body='{"a": 1}',
        body_base64=None,
        method="PUT",
        headers={"Content-Type": ["application/json"], "X-Mine": ["yes"]},
        callback_headers={"X-Callback": ["1"]},
        failure_callback_headers=None,
        retries=7,
        retry_delay_expression="1000",
        callback=DEAD_END,
        failure_callback=DEAD_END,
        queue="slow",
        delay=90,
        timeout=30,
        caller_ip="127.0.0.1",
        paused=False,
        flow_control=schedule.flow_control,
        last_schedule_time=None,
        next_schedule_time=int(at.timestamp() * 1000),
        last_schedule_states=None,
        error=None,
        label="nightly",
    )
    flow = schedule.flow_control
    assert (flow.key, flow.parallelism, flow.rate, flow.period) == ("k", 2, 3, 60)

    for _ in range(2):
        qstash.schedule.pause(schedule_id=schedule_id)
        assert qstash.schedule.get(schedule_id=schedule_id).paused is True
    for _ in range(2):
        qstash.schedule.resume(schedule_id=schedule_id)
        assert qstash.schedule.get(schedule_id=schedule_id).paused is False

    replaced_id = qstash.schedule.create(
        destination=destination.url, cron="0 0 1 1 *", schedule_id=schedule_id
    )
    replaced = qstash.schedule.get(schedule_id=schedule_id)
    assert (replaced_id, replaced.created_at) == (schedule_id, schedule.created_at)
    assert (replaced.cron, replaced.retries) == ("0 0 1 1 *", 3)
    assert (replaced.body, replaced.label, replaced.delay) == (None, None, None)
    schedules = qstash.schedule.list()
    assert [s for s in schedules if s.schedule_id == schedule_id] == [replaced]

    qstash.schedule.delete(schedule_id=schedule_id)
    with refused(404, schedule_id, "not found"):
        qstash.schedule.get(schedule_id=schedule_id)
    assert destination.arrivals == []


def test_a_schedule_delivers_and_shows_the_states_of_its_messages(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination(Answer(500), Answer())
    schedule_id = qstash.schedule.create(
        destination=destination.url,
        cron="@every 1s",
        schedule_id="often",
        body="tick",
        retries=0,
        headers={"X-Mine": "yes"},
    )

    arrivals = destination.wait_for(3)
    qstash.schedule.pause(schedule_id=schedule_id)
    paused = qstash.schedule.get(schedule_id=schedule_id)

    def last_states() -> dict[str, ScheduleState]:
        schedule = qstash.schedule.get(schedule_id=schedule_id)
        return dict(schedule.last_schedule_states)

    wait_until(lambda: ScheduleState.IN_PROGRESS not in last_states().values())
    for arrival in arrivals:
        assert (arrival.body, arrival.headers["x-mine"]) == (b"tick", "yes")
        assert arrival.headers["upstash-schedule-id"] == schedule_id
        qstash.verify(arrival, destination.url)
    ids = [arrival.headers["upstash-message-id"] for arrival in destination.arrivals]
    assert len(set(ids)) == len(ids)
    assert last_states() == {ids[-1]: ScheduleState.SUCCESS}
    assert paused.last_schedule_time <= time.time() * 1000
    message = qstash.message.get(message_id=ids[0])
    assert message.schedule_id == schedule_id
    found = qstash.log.list(filter={"schedule_id": schedule_id}).logs
    assert {entry.message_id for entry in found} == set(ids)
    qstash.schedule.delete(schedule_id=schedule_id)


def test_old_keys_still_verify_after_a_rotation(
    qstash: Publisher, receivers: Receivers
) -> None:
    old = qstash.signing_key.get()
    first = qstash.signing_key.rotate()
    second = qstash.signing_key.rotate()
    destination = receivers.new_destination()

    def is_signed_by_new_keys() -> bool:
        count = len(destination.arrivals)
        qstash.message.publish(url=destination.url, body="x")
        arrival = destination.wait_for(count + 1)[-1]
        return is_signed_by(arrival, destination.url, second.current, second.next)

    assert first.current == old.next == second.current
    assert len({old.current, old.next, first.next, second.next}) == 4
    assert qstash.signing_key.get() == second
    # A worker may use the old signing keys for a few seconds after a rotation.
    wait_until(is_signed_by_new_keys)
    for arrival in destination.arrivals:
        assert is_signed_by(arrival, destination.url, old.current, old.next)
    assert is_signed_by(
        destination.arrivals[-1], destination.url, first.current, first.next
    )


def test_logs_are_read_page_by_page(qstash: Publisher, receivers: Receivers) -> None:
    destination = receivers.new_destination()
    answers = qstash.message.batch(
        messages=[
            {"url": destination.url, "label": "paged", "retries": 0} for _ in range(4)
        ]
    )
    ids = {answer.message_id for answer in answers}
    for message_id in ids:
        qstash.logs(message_id, until=LogState.DELIVERED)

    pages, cursor = [], None
    while True:
        page = qstash.log.list(cursor=cursor, count=5, filter={"label": "paged"})
        pages.append(page.logs)
        cursor = page.cursor
        if cursor is None:
            break
    delivered = qstash.log.list(
        filter={"label": "paged", "state": LogState.DELIVERED}
    ).logs
    some = qstash.log.list(filter={"message_ids": sorted(ids)[:2]}).logs

    assert [len(page) for page in pages] in ([5, 5, 2], [5, 5, 2, 0])
    entries = [entry for page in pages for entry in page]
    assert {entry.message_id for entry in entries} == ids
    times = [entry.time for entry in entries]
    assert times == sorted(times, reverse=True)
    pairs = [(entry.message_id, entry.state) for entry in entries]
    assert len(set(pairs)) == len(pairs) == 12
    assert {entry.message_id for entry in delivered} == ids
    assert {entry.message_id for entry in some} == set(sorted(ids)[:2])
    assert qstash.log.list(filter={"label": "nobody"}).logs == []


def test_redacted_fields_are_delivered_but_never_shown(
    qstash: Publisher, receivers: Receivers
) -> None:
    destination = receivers.new_destination()

    answer = qstash.message.publish(
        url=destination.url,
        body="secret",
        headers={"X-Key": "secret", "X-Open": "open"},
        redact={"body": True, "header": ["X-Key"]},
    )
    message = qstash.message.get(message_id=answer.message_id)

    [arrival] = destination.wait_for()
    assert (arrival.body, arrival.headers["x-key"]) == (b"secret", "secret")
    assert message.body.startswith("REDACTED:")
    assert message.headers["X-Key"][0].startswith("REDACTED:")
    assert message.headers["X-Open"] == ["open"]
    for entry in qstash.logs(answer.message_id, until=LogState.DELIVERED):
        assert "secret" not in decode(entry.body_base64)
        assert "secret" not in str(entry.headers)


def test_errors_name_the_invalid_field(qstash: Publisher) -> None:
    publish, create = qstash.message.publish, qstash.schedule.create

    with refused(400, "invalid destination url", "scheme"):
        publish(url="ftp://example.com")
    with refused(400, "Upstash-Delay"):
        publish(url=DEAD_END, delay="soon")
    with refused(400, "Upstash-Retry-Delay"):
        publish(url=DEAD_END, retry_delay="__import__('os')")
    with refused(400, "Upstash-Callback"):
        publish(url=DEAD_END, callback="nowhere")
    with refused(400, "Upstash-Cron"):
        create(destination=DEAD_END, cron="* * * *")
    with refused(400, "Upstash-Schedule-Id"):
        create(destination=DEAD_END, cron="* * * * *", schedule_id="a b")
    with refused(404, "group"):
        publish(url_group="group")
    with refused(404, "group"):
        create(destination="group", cron="* * * * *")
    for call in (qstash.message.get, qstash.message.cancel):
        with refused(404, "error"):
            call(message_id="msg_unknown")


def test_a_wrong_token_is_refused(system: System) -> None:
    client = QStash("wrong", base_url=system.credentials["QSTASH_URL"])

    for call in (client.schedule.list, client.signing_key.get, client.log.list):
        with refused(401, "error"):
            call()


def test_tenants_cannot_see_or_cancel_each_others_messages(
    system: System, qstash: Publisher
) -> None:
    other = QStash(
        system.credentials["QSTASH_TOKEN"], base_url=qstash.environ["QSTASH_URL"]
    )
    answer = qstash.message.publish(url=DEAD_END, delay="1h")
    schedule_id = qstash.schedule.create(destination=DEAD_END, cron="0 0 1 1 *")

    with refused(404, "error"):
        other.message.get(answer.message_id)
    with refused(404, "error"):
        other.schedule.get(schedule_id)
    assert other.message.cancel_many([answer.message_id]) == 0
    assert other.log.list(filter={"message_id": answer.message_id}).logs == []
    assert schedule_id not in [s.schedule_id for s in other.schedule.list()]


def test_a_minutely_schedule_runs_at_the_full_minute(
    system: System, minutely: tuple[str, Destination]
) -> None:
    schedule_id, destination = minutely
    environ = system.credentials
    client = QStash(environ["QSTASH_TOKEN"], base_url=environ["QSTASH_URL"])

    arrival = destination.wait_for(within_s=70)[0]
    schedule = client.schedule.get(schedule_id)
    client.schedule.delete(schedule_id)

    message_id = arrival.headers["upstash-message-id"]
    nominal_ms = client.message.get(message_id).not_before
    assert nominal_ms % 60_000 == 0
    assert nominal_ms / 1000 <= arrival.at_s
    assert (arrival.body, arrival.headers["upstash-schedule-id"]) == (
        b"tick",
        "minutely",
    )
    assert schedule.last_schedule_time % 60_000 == 0
    assert schedule.next_schedule_time == schedule.last_schedule_time + 60_000
    minutes = [arrival.at_s // 60 for arrival in destination.arrivals]
    assert len(minutes) == len(set(minutes))
