"""Immutable values that are cheap to create."""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """Make a class a data class that type checkers treat as frozen.

    It is meant for values that each delivery creates: a data class that is frozen at
    run time takes three times as long to create. Names of arguments double the time,
    so each delivery passes most values by position.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)
