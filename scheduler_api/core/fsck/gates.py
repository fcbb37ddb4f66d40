"""Part of fsck: who stands at a gate, and whether anybody checks it."""

from collections.abc import Callable, Iterator, Sequence
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import DESTINATION
from scheduler_api.core.store.records import EVENT, GATE
from typing import Any

# Answers of one MULTI; an error is an answer.
AT_GATE = EVENT.codes("owner", "state", "gates", "waits_at")
HELD = GATE.codes("paused_ms", "breaker_open", "ramp_since_ms", "origin")
Ask = Callable[..., list[Any]]
Problem = tuple[str, str, str]
Command = tuple[str, ...]


def checked(ask: Ask, *, prefix: str, members: Sequence[str]) -> Iterator[Problem]:
    """A gate that stands in `due` is one of `waiting_gates`.

    Raises: redis.RedisError.
    """
    commands: list[Command] = []
    for member in members:
        gate = member.removeprefix("g:")
        commands.append(("ZSCORE", keys.due(prefix), member))
        commands.append(("SISMEMBER", keys.waiting_gates(prefix), gate))
    replies = ask(*commands)
    for member, due, listed in zip(members, replies[::2], replies[1::2], strict=True):
        if due is not None and not listed:
            yield "due", member, "is not among waiting_gates"


def at_gate(
    ask: Ask, *, prefix: str, name: str, members: Sequence[str]
) -> Iterator[Problem]:
    """Whoever stands at a gate is an event under way that names it.

    Raises: redis.RedisError.
    """
    family, _, gate = name.partition(":")
    commands: list[Command] = []
    for member in members:
        within = "ZSCORE" if family in ("ql", "gw") else "SISMEMBER"
        commands.append((within, prefix + name, member))
        commands.append(("ZSCORE", keys.quarantine(prefix), member))
        commands.append(("HMGET", keys.event(prefix, member), *AT_GATE))
    replies = ask(*commands)
    answers = zip(members, replies[::3], replies[1::3], replies[2::3], strict=True)
    for member, there, aside, found in answers:
        if (not there and there != 0.0) or aside is not None:
            continue
        if not isinstance(found, list):
            continue
        owner, state, gates, line = (_text(v or b"") for v in found)
        named = f"q:{gate}" if family == "ql" else gate
        if not owner or state or named not in gates.split():
            yield name, member, "has no business here"
        elif family == "gw" and line != gate:
            yield name, member, f"waits at {line or 'no gate'}"


def held(ask: Ask, *, prefix: str, gates: Sequence[str]) -> Iterator[Problem]:
    """What is held says why, and is checked unless a person has paused it.

    Raises: redis.RedisError.
    """
    commands: list[Command] = []
    for gate in gates:
        commands.append(("HEXISTS", keys.held_destinations(prefix), gate))
        commands.append(("HMGET", keys.gate(prefix, gate), *HELD))
        commands.append(("ZSCORE", keys.due(prefix), f"g:{gate}"))
    replies = ask(*commands)
    answers = zip(gates, replies[::3], replies[1::3], replies[2::3], strict=True)
    for gate, there, found, due in answers:
        if not there or not isinstance(found, list):
            continue
        if not any(found):
            yield "held_destinations", gate, "is held for no reason"
        elif found[0] is None and due is None:
            yield "held_destinations", gate, "is held and nobody checks it"


def problems(ask: Ask, *, prefix: str, names: Sequence[str]) -> Iterator[Problem]:
    """A paused destination is one of `held_destinations`, or begins would pass it.

    Raises: redis.RedisError.
    """
    gates = [name.removeprefix("g:") for name in names]
    gates = [gate for gate in gates if gate.startswith(f"{DESTINATION}:")]
    commands: list[Command] = []
    for gate in gates:
        commands.append(("HEXISTS", keys.gate(prefix, gate), GATE.code("paused_ms")))
        commands.append(("HEXISTS", keys.held_destinations(prefix), gate))
    replies = ask(*commands)
    for gate, paused, listed in zip(gates, replies[::2], replies[1::2], strict=True):
        if paused == 1 and not listed:
            yield f"g:{gate}", "", "is paused and not among held_destinations"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
