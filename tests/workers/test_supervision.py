"""A process ends when a part that it cannot live without does."""

import subprocess
import sys
from workers import supervision

IN_THREAD = """
import threading, workers.supervision as supervision
def work():
    raise RuntimeError("no more")
supervision.run_in_thread(work, name="part")
threading.Event().wait()
"""
IN_TASK = """
import asyncio, workers.supervision as supervision
async def work():
    raise RuntimeError("no more")
async def main():
    kept = supervision.watch(asyncio.create_task(work(), name="part"))
    await asyncio.Event().wait()
asyncio.run(main())
"""
CANCELLED = """
import asyncio, workers.supervision as supervision
async def main():
    task = supervision.watch(asyncio.create_task(asyncio.Event().wait(), name="part"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
asyncio.run(main())
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", program]
    return subprocess.run(
        words, check=False, capture_output=True, text=True, timeout=30
    )


def test_a_thread_that_fails_ends_its_process_with_a_line():
    ended = run(IN_THREAD)

    assert ended.returncode == supervision.EXIT_CODE
    assert "process.ends part=part" in ended.stderr


def test_a_task_that_fails_ends_its_process_with_a_line():
    ended = run(IN_TASK)

    assert ended.returncode == supervision.EXIT_CODE
    assert "process.ends part=part" in ended.stderr


def test_a_task_that_is_cancelled_ends_nothing():
    assert run(CANCELLED).returncode == 0
