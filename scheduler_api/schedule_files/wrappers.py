"""Reads commands that start another command: flock and timeout. Pure.

Source: flock(1) of util-linux, timeout(1) of GNU coreutils.
"""

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from scheduler_api.core.model import Overlap
from scheduler_api.schedule_files import normal_form
from scheduler_api.schedule_files.command_words import (
    NotAWebhook,
    options_of,
    words_of,
)
from scheduler_api.schedule_files.entries import Fields

WRAPPERS = ("flock", "timeout")
FLOCK_SHORT = "sexnw:E:ouF"
FLOCK_LONG = [
    *("shared", "exclusive", "nonblock", "nb", "timeout=", "wait=", "unlock"),
    *("conflict-exit-code=", "close", "no-fork", "verbose"),
]
TIMEOUT_SHORT = "k:s:v"
TIMEOUT_LONG = ["kill-after=", "signal=", "foreground", "preserve-status", "verbose"]


@dataclass(frozen=True)
class Wrapped:
    """A command, and what the commands that start it mean for a schedule.

    Attributes:
        words: at least one.
        timeouts: durations such as `60` or `1.5m`.
        overlap: None if there is no lock.
        locks: the names of the lock files.
    """

    words: list[str]
    timeouts: tuple[str, ...] = ()
    overlap: Overlap | None = None
    locks: tuple[str, ...] = ()

    def complete(self, fields: Fields) -> Fields:
        """Return the fields of a schedule, with time limit and overlap."""
        made = dict(fields)
        timeouts = [*self.timeouts, *filter(None, [fields.get("timeout")])]
        if timeouts:
            made["timeout"] = min(timeouts, key=_seconds)
        if self.overlap is not None:
            made["options"] = {"overlap": self.overlap.value}
        return made


def unwrap(words: list[str]) -> Wrapped:
    """Return the command that a command starts, or the command itself.

    Raises: NotAWebhook: a schedule cannot do the same.
    """
    if not words:
        raise NotAWebhook("it starts no command")
    name = PurePosixPath(words[0]).name
    if name == "flock":
        return _flock(words[1:])
    return _timeout(words[1:]) if name == "timeout" else Wrapped(words)


def locks_of(command: str) -> tuple[str, ...]:
    """Return the lock files of a command; none if it cannot be read."""
    try:
        return unwrap(words_of(command)).locks
    except NotAWebhook:
        return ()


def _flock(words: list[str]) -> Wrapped:
    options, rest = options_of(words, FLOCK_SHORT, FLOCK_LONG, mixed=False)
    names = {name for name, _ in options}
    if names & {"-s", "--shared"}:
        raise NotAWebhook("it shares its lock, which has no counterpart here")
    if names & {"-w", "--wait", "--timeout"}:
        raise NotAWebhook("it waits a limited time for its lock: use -n, or no limit")
    lock, command = rest[:1], rest[1:]
    if command[:1] in (["-c"], ["--command"]):
        command = words_of(" ".join(command[1:]))
    inner = unwrap(command)
    does_wait = not names & {"-n", "--nonblock", "--nb"}
    overlap = Overlap.QUEUE if does_wait else Overlap.SKIP
    return replace(inner, overlap=overlap, locks=(*lock, *inner.locks))


def _timeout(words: list[str]) -> Wrapped:
    _, rest = options_of(words, TIMEOUT_SHORT, TIMEOUT_LONG, mixed=False)
    inner = unwrap(rest[1:])
    # 0 means no limit.
    limits = rest[:1] if _seconds(rest[0]) else []
    return replace(inner, timeouts=(*_with_units(limits), *inner.timeouts))


def _with_units(durations: list[str]) -> list[str]:
    return [each if each[-1].isalpha() else f"{each}s" for each in durations]


def _seconds(duration: str) -> int:
    seconds = normal_form.seconds(duration)
    if not isinstance(seconds, int):
        raise NotAWebhook(f"{duration!r} is no duration")
    return seconds
