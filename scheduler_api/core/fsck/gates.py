"""Checks gates: their members, their entries in `due`, and held destinations."""

from collections.abc import Callable, Iterator, Sequence
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import DESTINATION
from scheduler_api.core.store.records import CLOSING, EVENT, GATE
from typing import Any

MEMBER_FIELDS = EVENT.codes("owner", "state", "gates", "waits_at")
HOLD_REASONS = GATE.codes("paused_ms", "breaker", "ramp_since_ms", "origin")
# A function that runs commands in one MULTI and returns errors instead of raising them.
Execute = Callable[..., list[Any]]
# The key, the member, and a description of the problem.
Problem = tuple[str, str, str]
Command = tuple[str, ...]


def check_due_gates(
    execute: Execute, *, prefix: str, members: Sequence[str]
) -> Iterator[Problem]:
    """Check that all gates in `due` are also in `waiting_gates`."""
    commands: list[Command] = []
    for member in members:
        gate = member.removeprefix("g:")
        commands.append(("ZSCORE", keys.due(prefix), member))
        commands.append(("SISMEMBER", keys.waiting_gates(prefix), gate))
    replies = execute(*commands)
    for member, due, waits in zip(members, replies[::2], replies[1::2], strict=True):
        if due is not None and not waits:
            yield "due", member, "is missing in waiting_gates"


def check_members(
    execute: Execute, *, prefix: str, name: str, members: Sequence[str]
) -> Iterator[Problem]:
    """Check that the members of a gate are unfinished events bound to the gate."""
    family, _, gate = name.partition(":")
    lookup = "ZSCORE" if family in ("ql", "gw") else "SISMEMBER"
    commands: list[Command] = []
    for member in members:
        commands.append((lookup, prefix + name, member))
        commands.append(("ZSCORE", keys.quarantine(prefix), member))
        commands.append(("HMGET", keys.event(prefix, member), *MEMBER_FIELDS))
    replies = execute(*commands)
    rows = zip(members, replies[::3], replies[1::3], replies[2::3], strict=True)
    for member, present, quarantined, record in rows:
        if (not present and present != 0.0) or quarantined is not None:
            continue
        if not isinstance(record, list):
            continue
        owner, state, gates, waits_at = (_text(value or b"") for value in record)
        gate_name = f"q:{gate}" if family == "ql" else gate
        if not owner or state or gate_name not in gates.split():
            yield name, member, "does not belong here"
        elif family == "gw" and waits_at != gate:
            yield name, member, f"waits at {waits_at or 'no gate'}"


def check_held(
    execute: Execute, *, prefix: str, gates: Sequence[str]
) -> Iterator[Problem]:
    """Check that each held destination has a reason to be held, and a planned check.

    A paused destination needs no planned check.
    """
    commands: list[Command] = []
    for gate in gates:
        commands.append(("HEXISTS", keys.held_destinations(prefix), gate))
        commands.append(("HMGET", keys.gate(prefix, gate), *HOLD_REASONS))
        commands.append(("ZSCORE", keys.due(prefix), f"g:{gate}"))
    replies = execute(*commands)
    rows = zip(gates, replies[::3], replies[1::3], replies[2::3], strict=True)
    for gate, present, reasons, due in rows:
        if not present or not isinstance(reasons, list):
            continue
        if not any(reasons):
            yield "held_destinations", gate, "is held for no reason"
        elif reasons[0] is None and due is None:
            yield "held_destinations", gate, "is held, but no check is planned"


def check_closed(
    execute: Execute, *, prefix: str, names: Sequence[str]
) -> Iterator[Problem]:
    """Check that `held_destinations` has all origins and routes that hold events back.

    These are paused, or have a breaker that is not closed.
    """
    gates = [name.removeprefix("g:") for name in names]
    gates = [gate for gate in gates if gate.startswith(f"{DESTINATION}:")]
    commands: list[Command] = []
    for gate in gates:
        commands.append(("HMGET", keys.gate(prefix, gate), *CLOSING))
        commands.append(("HEXISTS", keys.held_destinations(prefix), gate))
    replies = execute(*commands)
    for gate, reasons, held in zip(gates, replies[::2], replies[1::2], strict=True):
        if held or not isinstance(reasons, list) or not any(reasons):
            continue
        problem = "is paused" if reasons[0] else "has a breaker"
        yield f"g:{gate}", "", f"{problem}, but is missing in held_destinations"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
