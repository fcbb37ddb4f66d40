"""Whole systems of processes, each with its own store."""

import pytest
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tests.system.cell import Cell


@pytest.fixture
def new_cell(tmp_path: Path) -> Iterator[Callable[..., Cell]]:
    """A function that starts a system with these settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Cell(tmp_path, **settings))
