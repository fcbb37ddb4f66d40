"""Tests of the embedded store's program."""

import os
import pytest
import subprocess
from scheduler_api.up import embedded_store


def test_the_server_starts_with_the_allocator_that_the_machine_has() -> None:
    program = embedded_store.find_program()
    shown = subprocess.run(
        [program, "--version"],
        env=os.environ | embedded_store.allocator(),
        capture_output=True,
        check=True,
    )
    assert shown.stdout
    assert not shown.stderr


@pytest.mark.parametrize("found", ["libjemalloc.so.2", None])
def test_jemalloc_is_used_if_the_machine_has_it(
    monkeypatch: pytest.MonkeyPatch, found: str | None
) -> None:
    monkeypatch.setattr(embedded_store, "find_library", lambda _name: found)
    assert embedded_store.allocator() == ({"LD_PRELOAD": found} if found else {})
