"""Rows of lists of queues and of flow-control keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.flow_control.waiting import Waiting
from scheduler_api.core.model import Owner
from typing import Generic, TypeVar

State = TypeVar("State")
# The owner and the name of a queue or key.
Named = tuple[Owner, str]


@dataclass(frozen=True)
class Row(Generic[State]):
    """A queue or a flow-control key in a list; `state` is None if it is unreadable."""

    owner: Owner
    name: str
    state: State | None
    waiting: Waiting


def rows(
    names: Sequence[Named],
    states: Sequence[State | UnreadableRecord | None],
    waiting: Sequence[Waiting],
) -> list[Row[State]]:
    """Return the rows of those that exist.

    Args:
        waiting: what waits at each readable one.
    """
    remaining, found = iter(waiting), []
    for (owner, name), state in zip(names, states, strict=True):
        if isinstance(state, UnreadableRecord):
            found.append(Row[State](owner, name, None, Waiting()))
        elif state is not None:
            found.append(Row(owner, name, state, next(remaining)))
    return found
