"""Part of fsck: who stands at a gate, and whether anybody looks at it."""

from collections.abc import Callable, Iterator, Sequence
from scheduler_api.core.store import keys
from scheduler_api.core.store.gate_names import DESTINATION
from typing import Any

# Answers of one MULTI; an error is an answer.
Ask = Callable[..., list[Any]]
Problem = tuple[str, str, str]
Command = tuple[str, ...]


def looked_at(ask: Ask, *, prefix: str, members: Sequence[str]) -> Iterator[Problem]:
    """A gate that stands in `due` is one of `lines`.

    Raises: redis.RedisError.
    """
    commands: list[Command] = []
    for member in members:
        gate = member.removeprefix("g:")
        commands.append(("ZSCORE", keys.due(prefix), member))
        commands.append(("SISMEMBER", keys.lines(prefix), gate))
    replies = ask(*commands)
    for member, due, listed in zip(members, replies[::2], replies[1::2], strict=True):
        if due is not None and not listed:
            yield "due", member, "is not among lines"


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
        commands.append(("ZSCORE", keys.stuck(prefix), member))
        commands.append(("HMGET", keys.event(prefix, member), "o", "st", "g", "l"))
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


def shut(ask: Ask, *, prefix: str, gates: Sequence[str]) -> Iterator[Problem]:
    """What is shut says why, and is looked at unless a person has paused it.

    Raises: redis.RedisError.
    """
    commands: list[Command] = []
    for gate in gates:
        commands.append(("HEXISTS", keys.shut(prefix), gate))
        commands.append(("HMGET", keys.gate(prefix, gate), "pz", "br", "rp", "og"))
        commands.append(("ZSCORE", keys.due(prefix), f"g:{gate}"))
    replies = ask(*commands)
    answers = zip(gates, replies[::3], replies[1::3], replies[2::3], strict=True)
    for gate, there, found, due in answers:
        if not there or not isinstance(found, list):
            continue
        if not any(found):
            yield "shut", gate, "is shut for no reason"
        elif found[0] is None and due is None:
            yield "shut", gate, "is shut and nobody looks at it"


def problems(ask: Ask, *, prefix: str, names: Sequence[str]) -> Iterator[Problem]:
    """A destination that is paused is one of `shut`, or begins would pass it.

    Raises: redis.RedisError.
    """
    gates = [name.removeprefix("g:") for name in names]
    gates = [gate for gate in gates if gate.startswith(f"{DESTINATION}:")]
    commands: list[Command] = []
    for gate in gates:
        commands.append(("HEXISTS", keys.gate(prefix, gate), "pz"))
        commands.append(("HEXISTS", keys.shut(prefix), gate))
    replies = ask(*commands)
    for gate, paused, listed in zip(gates, replies[::2], replies[1::2], strict=True):
        if paused == 1 and not listed:
            yield f"g:{gate}", "", "is paused and not among shut"


def _text(value: bytes) -> str:
    return value.decode(errors="backslashreplace")
