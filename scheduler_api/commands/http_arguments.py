"""Headers and bodies on the command line, written as for curl."""

import click
import re
import sys
from collections.abc import Sequence
from pathlib import Path

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
Headers = dict[str, str]


def read_headers(
    _ctx: click.Context, _param: click.Parameter, lines: Sequence[str]
) -> Headers:
    """Read `Name: value` lines, and `@FILE` with such lines.

    Values of the same name are joined by commas.
    """
    found: Headers = {}
    for line in (each for text in lines for each in _lines(text)):
        name, colon, value = line.partition(":")
        if not colon or not _NAME.fullmatch(name):
            raise click.BadParameter(f"{line[:40]!r} should be 'Name: value'")
        before = f"{found[name]}, " if name in found else ""
        found[name] = before + value.strip()
    return found


def read_body(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> bytes | None:
    """Read a body: a text, `@FILE`, or `@-` for standard input; unless none is given.

    The bytes of a file are not changed.
    """
    if text is None or not text.startswith("@"):
        return None if text is None else text.encode("utf-8", "surrogateescape")
    return _file(text[1:])


def _lines(text: str) -> list[str]:
    if not text.startswith("@"):
        return [text]
    content = _file(text[1:]).decode("utf-8", "surrogateescape")
    # `curl -i` and `curl -v` print such lines; the first one is no header.
    lines = [line.removeprefix("> ").strip() for line in content.splitlines()]
    return [line for line in lines if line and ":" in line]


def _file(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as err:
        raise click.BadParameter(f"{name} cannot be read: {err.strerror}") from err
