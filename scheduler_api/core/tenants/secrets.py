"""The secrets that sign a tenant's deliveries, and their rotation. Pure."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from scheduler_api.core.errors import SchedulerError
from typing import Any, cast

# How many replaced secrets may sign deliveries beside the present one. Each adds a
# signature to the header.
MAX_REPLACED = 4
REPLACED = ".replaced"

# Secrets that rotations have replaced, oldest first, each with the time in epoch ms
# until which deliveries are signed with it.
Replaced = Sequence[tuple[int, str]]


class RotationRefused(SchedulerError):
    """The secrets cannot be rotated in this way. The message says why."""


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of a tenant, by the names of their stored fields.

    `replaced` has the secrets that were replaced, and may still sign deliveries.
    """

    by_name: Mapping[str, str] = field(repr=False)
    replaced: Mapping[str, Replaced] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> str:
        return self.by_name[name]

    def at(self, name: str, now_ms: int) -> list[str]:
        """Return the secrets that sign at a time, the newest last."""
        present = [self.by_name[name]]
        if not self.replaced:
            return present
        replaced = self.replaced.get(name, ())
        return [old for until_ms, old in replaced if now_ms < until_ms] + present

    def rotated(
        self, changed: Mapping[str, str], *, now_ms: int, until_ms: int
    ) -> "Secrets":
        """Return the secrets after a rotation.

        Args:
            changed: the new secrets.
            until_ms: the replaced secrets sign until this time. Secrets replaced by
                earlier rotations end then at the latest.

        Raises: RotationRefused (too many replaced secrets still sign).
        """
        replaced = {
            name: self._replaced_after(name, now_ms=now_ms, until_ms=until_ms)
            for name in changed
        }
        return Secrets({**self.by_name, **changed}, {**self.replaced, **replaced})

    def _replaced_after(self, name: str, *, now_ms: int, until_ms: int) -> Replaced:
        earlier = self.replaced.get(name, ())
        pairs = [(min(end_ms, until_ms), secret) for end_ms, secret in earlier]
        pairs.append((until_ms, self[name]))
        still_valid = [pair for pair in pairs if pair[0] > now_ms]
        if len(still_valid) > MAX_REPLACED:
            raise RotationRefused(
                f"{MAX_REPLACED} replaced secrets still sign deliveries: wait until the"
                " first of them ends, or rotate with --now"
            )
        return still_valid

    def fields(self, names: Iterable[str]) -> dict[str, str]:
        """Return the fields to store, by name, for some of the secrets."""
        return {
            key: text
            for name in names
            for key, text in (
                (name, self[name]),
                (name + REPLACED, json.dumps(self.replaced.get(name, ()))),
            )
        }


def field_names(names: Sequence[str]) -> list[str]:
    """Return the names of all fields that belong to some secrets."""
    return [*names, *(name + REPLACED for name in names)]


def read_fields(fields: Mapping[str, str], names: Iterable[str]) -> Secrets:
    """Return the secrets with the given names from stored fields."""
    replaced = {
        name: [tuple(pair) for pair in json.loads(fields[name + REPLACED])]
        for name in names
        if name + REPLACED in fields
    }
    return Secrets({name: fields[name] for name in names}, cast(Any, replaced))


@dataclass(frozen=True, slots=True)
class Rotation:
    """The result of a rotation: all secrets of the tenant, and the time in epoch ms.

    `last_ms` is the time of the previous rotation, None if there was none.
    """

    secrets: Secrets
    at_ms: int
    last_ms: int | None


# A function that returns the secrets that change in a rotation. Its arguments are the
# present secrets, the time of the last rotation (None if there was none) and the
# current time, both in epoch ms.
Replace = Callable[[Secrets, int | None, int], Mapping[str, str]]
