"""Splits a command of a shell into its words, if it needs no shell. Pure."""

import getopt
import re
import shlex
from scheduler_api.core.errors import SchedulerError

NOWHERE = ("/dev/null", "-", "/dev/stdout")
# What may end a command without changing its request.
_REDIRECTION = re.compile(r"\s*(?:&>>?|[12]?>>?)\s*(&[12]|[^\s&|;<>]+)")
_IGNORED_FAILURE = re.compile(r"\s*\|\|\s*(?:true|:)\s*$")
_SHELL = re.compile(r"[|;&<>`]|\$[\w({]")
_REPLACED = re.compile(r"`|(?<!\\)\$[\w({]")


class NotAWebhook(SchedulerError):
    """The command cannot be a webhook; the message says for which reason."""


def words_of(command: str) -> list[str]:
    """Return the words of a simple command.

    Raises: NotAWebhook: it needs a shell, or writes a file.
    """
    _split(command)
    plain = _without_quoted(command)
    for found in _REDIRECTION.finditer(plain):
        target = found[1]
        if not target.startswith("&"):
            check_output(target)
    rest = plain
    for ending in (_IGNORED_FAILURE, _REDIRECTION):
        rest = ending.sub(lambda found: " " * len(found[0]), rest)
    if _SHELL.search(rest):
        raise NotAWebhook("it is more than one command, or needs a shell")
    kept = "".join(
        letter if same == before else " "
        for letter, before, same in zip(command, plain, rest, strict=True)
    )
    return _split(kept)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as err:
        raise NotAWebhook(f"its quotes are wrong: {err}") from err


def _without_quoted(command: str) -> str:
    """Return the command with `_` in place of quoted text, in the same length."""

    def blank(found: re.Match[str]) -> str:
        # The shell replaces variables and commands in double quotes.
        if found[0].startswith('"') and _REPLACED.search(found[0]):
            return found[0]
        return "_" * len(found[0])

    return re.sub(r"'[^']*'|\"(?:\\.|[^\"\\])*\"|\\.", blank, command)


def options_of(
    words: list[str], short: str, names: list[str], *, mixed: bool = True
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the options of a command with their values, and its other words.

    Args:
        mixed: whether options may follow other words.

    Raises: NotAWebhook: an option is in neither list.
    """
    read = getopt.gnu_getopt if mixed else getopt.getopt
    try:
        return read(words, short, names)
    except getopt.GetoptError as err:
        raise NotAWebhook(f"{err.msg}, which has no counterpart here") from err


def check_output(path: str) -> None:
    """Raises: NotAWebhook: the response is written to a file."""
    if path not in NOWHERE:
        raise NotAWebhook(f"it writes to {path}: responses are in the logs here")
