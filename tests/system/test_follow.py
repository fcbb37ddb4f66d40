"""Tests of the command that prints attempts as they finish."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from scheduler_api.core import public_ids
from scheduler_api.core.model import Outcome, Owner
from scheduler_api.core.store import keys
from scheduler_api.core.store.leases import Settlement
from tests.commands.cells import PREFIX, TENANT, OperatedCell, new_cell
from tests.conftest import LosingStore
from typing import IO

OWNER = Owner(TENANT, "jiter")
BANK = "https://bank.example/pay"


@contextmanager
def following(
    cell: OperatedCell, wait_until: Callable[..., float], *words: str
) -> Iterator[subprocess.Popen[str]]:
    """Run the command; it follows when the block begins."""
    # Processes in the background of a shell ignore Ctrl-C, and so would the command.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "-m", "scheduler_api", "events", "follow", *words]
    with subprocess.Popen(
        command,
        env=os.environ | cell.settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        signal.signal(signal.SIGINT, ignored)
        try:
            wait_until(lambda: cell.cell.client.exists(keys.attempt_feed(PREFIX)))
            yield process
        finally:
            process.kill()


def attempt(cell: OperatedCell, outcome: str, **log: object) -> str:
    """Make the first attempt of an event; return its public id."""
    event = cell.create(BANK)
    cell.engine.settle(cell.engine.begin(event), outcome, **log)
    return public_ids.event_id(OWNER, event)


def attempts_at_once(cell: OperatedCell, count: int) -> list[str]:
    """End the first attempts of many events in one call; return their public ids."""
    ids, worker = [cell.create(BANK) for _ in range(count)], cell.engine.worker()
    cell.engine.offer()
    ends = (
        Settlement(each.id, each.token, 1, Outcome.DELIVERED, b'{"started_ms":1}')
        for each in worker.begin(*ids)
    )
    worker.settle(*ends)
    return [public_ids.event_id(OWNER, each) for each in ids]


def line(stream: IO[str] | None) -> str:
    """Return the next line of a stream, as soon as it is there."""
    assert stream is not None
    return stream.readline()


def test_each_attempt_is_a_line_until_ctrl_c(
    valkey: str, wait_until: Callable[..., float]
):
    cell = new_cell(valkey)
    with following(cell, wait_until) as process:
        ids = [
            attempt(cell, "delivered", status=200),
            attempt(cell, "retry", status=503),
            attempt(cell, "dead", status=410),
        ]
        lines = [line(process.stdout) for _ in ids]
        many = attempts_at_once(cell, 260)
        shown = [line(process.stdout) for _ in range(251)]
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=20)

    assert f"Z  {ids[0]}  attempt 1: delivered, status 200; took 10 ms  " in lines[0]
    assert f"{ids[1]}  attempt 1: the destination answered 503" in lines[1]
    assert "; next attempt 20" in lines[1]
    assert "(http-410); took 10 ms; no attempt follows  " in lines[2]
    assert all(each.endswith(f"  {BANK}\n") for each in lines)
    assert [each.split()[1] for each in shown[:250]] == many[:250]
    assert shown[250] == "and 10 more attempts\n"
    assert (process.returncode, rest) == (0, ("", ""))


def test_following_goes_on_after_a_restart_of_the_store(
    losing_store: LosingStore, wait_until: Callable[..., float]
):
    cell = new_cell(losing_store.url)
    with following(cell, wait_until, "--json") as process:
        first = attempt(cell, "delivered", status=200)
        before = json.loads(line(process.stdout))
        losing_store.stop()
        messages = [line(process.stderr)]
        losing_store.start()
        messages.append(line(process.stderr))
        second = attempt(cell, "retry", error="refused")
        after = json.loads(line(process.stdout))

    assert (before["event"], before["status"], before["next"]) == (first, 200, None)
    assert (after["event"], after["errorCode"]) == (second, "refused")
    assert after["destination"] == BANK
    assert messages[0].startswith("waiting for the store: ")
    assert messages[1] == "the store answers again\n"
