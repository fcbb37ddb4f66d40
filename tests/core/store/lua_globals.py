"""Finds the global names that Lua 5.1 source code reads and writes, in the bytecode."""

import struct
from lupa import lua51
from typing import Any, cast

HEADER_BYTES = 12
GETGLOBAL, SETGLOBAL = 5, 7
NIL, BOOLEAN, NUMBER, STRING = 0, 1, 3, 4


def globals_of(source: str) -> tuple[set[str], set[str]]:
    """Compile source code; return the global names that it reads, and those it writes.

    Raises: lupa.LuaSyntaxError.
    """
    lua = lua51.LuaRuntime(encoding=None)
    dump = cast(
        Any, lua.eval(b"function(s) return string.dump(assert(loadstring(s))) end")
    )
    reader = _Reader(dump(source.encode()), HEADER_BYTES)
    _function(reader)
    return reader.read_names, reader.written_names


class _Reader:
    """Reads a bytecode dump and collects global names."""

    def __init__(self, dump: bytes, at: int) -> None:
        self._dump = dump
        self._at = at
        self.read_names: set[str] = set()
        self.written_names: set[str] = set()

    def take(self, form: str) -> Any:
        """Read the next value; `form` is its format in the syntax of `struct`."""
        [value] = struct.unpack_from(f"<{form}", self._dump, self._at)
        self._at += struct.calcsize(f"<{form}")
        return value

    def skip(self, size: int) -> None:
        """Skip `size` bytes."""
        self._at += size

    def string(self) -> str:
        """Read the next string; return the text without the terminating zero."""
        size = self.take("Q")
        text = self._dump[self._at : self._at + size]
        self._at += size
        return text[:-1].decode(errors="replace")


def _function(reader: _Reader) -> None:
    reader.string()
    reader.skip(12)
    code = [reader.take("I") for _ in range(reader.take("i"))]
    constants = [_constant(reader) for _ in range(reader.take("i"))]
    for instruction in code:
        opcode, index = instruction & 0x3F, instruction >> 14
        if opcode == GETGLOBAL:
            reader.read_names.add(constants[index])
        elif opcode == SETGLOBAL:
            reader.written_names.add(constants[index])
    for _ in range(reader.take("i")):
        _function(reader)
    reader.skip(4 * reader.take("i"))
    for _ in range(reader.take("i")):
        reader.string()
        reader.skip(8)
    for _ in range(reader.take("i")):
        reader.string()


def _constant(reader: _Reader) -> Any:
    kind = reader.take("B")
    if kind == STRING:
        return reader.string()
    if kind == NUMBER:
        return reader.take("d")
    return reader.take("B") if kind == BOOLEAN else None
