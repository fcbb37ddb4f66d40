"""A fixture that creates whole systems of processes."""

import pytest
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tests.system.cell import Cell


@pytest.fixture
def new_cell(tmp_path: Path) -> Iterator[Callable[..., Cell]]:
    """A function that creates a `Cell` with its arguments as settings."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(Cell(tmp_path, **settings))
