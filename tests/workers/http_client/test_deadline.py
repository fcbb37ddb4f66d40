"""Tests of `Deadline`: a `with` block that takes too long ends with a TimeoutError."""

import asyncio
import pytest
import time
from tests.workers.http_client.sending import run
from workers.http_client.deadline import LATE_S, Deadline

SHORT_S = 0.01
LONG_S = 60.0


@pytest.mark.parametrize("seconds", [SHORT_S, 0.0, -1.0])
def test_a_block_that_takes_too_long_ends_with_a_timeout(seconds: float) -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError), Deadline(seconds):
            await asyncio.Event().wait()

        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(0)

    run(main())


def test_a_block_that_ends_in_time_is_not_interrupted() -> None:
    async def main() -> None:
        with Deadline(LONG_S):
            await asyncio.sleep(0)
        with Deadline(SHORT_S):
            pass
        await asyncio.sleep(2 * SHORT_S)  # until the deadline has passed

    run(main())


def test_other_errors_pass_through() -> None:
    async def main() -> None:
        with pytest.raises(KeyError), Deadline(LONG_S):
            raise KeyError

    run(main())


def test_a_cancellation_by_others_is_not_a_timeout() -> None:
    async def limited() -> None:
        with Deadline(LONG_S):
            await asyncio.Event().wait()

    async def main() -> None:
        task = asyncio.create_task(limited())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())


def test_a_cancellation_by_others_at_the_deadline_is_not_a_timeout() -> None:
    async def limited() -> None:
        with Deadline(SHORT_S):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                task = asyncio.current_task()
                assert task is not None
                task.cancel()
                raise

    async def main() -> None:
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(limited())

    run(main())


def test_the_inner_of_two_deadlines_does_not_end_the_outer_block() -> None:
    async def main() -> None:
        with Deadline(LONG_S):
            with pytest.raises(TimeoutError), Deadline(SHORT_S):
                await asyncio.Event().wait()
            await asyncio.sleep(0)

    run(main())


def test_the_outer_of_two_deadlines_ends_both_blocks() -> None:
    async def main() -> None:
        with pytest.raises(TimeoutError), Deadline(SHORT_S), Deadline(LONG_S):
            await asyncio.Event().wait()

    run(main())


def test_r29_what_arrived_while_the_process_was_frozen_is_read_after_the_deadline() -> (
    None
):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        with Deadline(SHORT_S):
            loop.call_later(SHORT_S, loop.call_soon, arrived.set)
            time.sleep(LATE_S + 2 * SHORT_S)  # no task runs
            await arrived.wait()
        with pytest.raises(TimeoutError), Deadline(SHORT_S):
            time.sleep(LATE_S + 2 * SHORT_S)
            await asyncio.Event().wait()

    run(main())
