"""Tests that a process ends when one of its essential threads or tasks fails."""

import subprocess
import sys
from workers import supervision

IN_THREAD = """
import threading, workers.supervision as supervision
def work():
    raise RuntimeError("failed")
supervision.run_in_thread(work, name="part")
threading.Event().wait()
"""
IN_TASK = """
import asyncio, workers.supervision as supervision
async def work():
    raise RuntimeError("failed")
async def main():
    task = supervision.watch(asyncio.create_task(work(), name="part"))
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
    command = [sys.executable, "-c", program]
    return subprocess.run(
        command, check=False, capture_output=True, text=True, timeout=30
    )


def test_a_failed_thread_ends_its_process_with_a_log_entry():
    ended = run(IN_THREAD)

    assert ended.returncode == supervision.EXIT_CODE
    assert "process.ended failed=part" in ended.stderr


def test_a_failed_task_ends_its_process_with_a_log_entry():
    ended = run(IN_TASK)

    assert ended.returncode == supervision.EXIT_CODE
    assert "process.ended failed=part" in ended.stderr


def test_a_cancelled_task_does_not_end_its_process():
    assert run(CANCELLED).returncode == 0
