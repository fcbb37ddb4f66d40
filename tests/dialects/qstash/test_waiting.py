"""Tests of published messages that wait for a queue or a flow-control key."""

import pytest
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.flow_control.queues import Queues
from scheduler_api.core.store import claims
from tests.dialects.engine import TIMEOUTS
from tests.dialects.qstash.conftest import HOOK, Api


def enqueue(api: Api, body: str) -> str:
    status, answer = api.call("POST", f"/v2/enqueue/orders/{HOOK}", data=body.encode())
    assert status == 201, answer
    return str(answer["messageId"]).removeprefix("msg_")


def offered(api: Api) -> list[str]:
    """Claim until no more events are due; return the ids of all claimed events."""
    cell = api.engine.cell_at(api.cell.now_ms() + 5)
    found: list[str] = []
    while True:
        claim = claims.claim(cell, room=100, timeouts=TIMEOUTS)
        found += claim.ids
        if not claim.ids and claim.next_us != 0:
            return found


def test_enqueueing_creates_a_queue_that_delivers_one_at_a_time(api: Api):
    accepted = [enqueue(api, body) for body in "abc"]

    assert Queues(api.cell).get(api.owner, "orders").lag == 3
    assert offered(api) == accepted[:1]


def test_a_flow_control_key_exists_when_its_message_is_accepted(api: Api):
    api.publish(Flow_Control_Key="a/b c", Flow_Control_Value="parallelism=2, rate=7")
    flow = FlowKeys(api.cell).get(api.owner, "a/b c")

    assert (flow.parallelism, flow.rate, flow.period_ms) == (2, 7, 1_000)


@pytest.mark.parametrize("limit", [1, 2])
def test_messages_over_the_limit_wait(api: Api, limit: int):
    for _ in range(3):
        api.publish(Flow_Control_Key="k", Flow_Control_Value=f"parallelism={limit}")

    assert len(offered(api)) == limit
    assert FlowKeys(api.cell).get(api.owner, "k").waiting == 3 - limit
