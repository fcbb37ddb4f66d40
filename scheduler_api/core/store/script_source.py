"""How the source of a script is put together from its file and the parts that it names.

The store makes a script's functions anew at every call, and for one event or two that
is most of what the call costs. So a script has only those that something names, and
those that stand between `--# seldom <name>` and `--# end` are made when one of them is
first called; `<name>_open` tells whether they were. Of what stands there, functions and
CONSTANTS are seen from outside.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from itertools import groupby

_INCLUDE, _SELDOM, _END = "--# include ", "--# seldom ", "--# end"
_FUNCTION = re.compile(r"local function (\w+)\(.*?( end)?$")
_CONSTANTS = re.compile(r"local [A-Z][A-Z_]*(, [A-Z][A-Z_]*)* = ")
_COMMENT, _WORD = re.compile(r"--.*"), re.compile(r"\w+")


@dataclass(frozen=True)
class _Piece:
    """A line or a function, and the name of the seldom ones that it is among."""

    code: str
    function: str = ""
    seldom: str = ""

    @cached_property
    def words(self) -> Counter[str]:
        """How often each word stands in the code, comments left out."""
        return Counter(_WORD.findall(_COMMENT.sub("", self.code)))


def assemble(name: str) -> str:
    """The source of the script of that file name, what all scripts share put first."""
    included: set[str] = set()
    pieces = [*_read("prelude", included), *_read(name, included)]
    words, lines = _words(pieces), list[str]()
    while unused := _unused(pieces, words):
        words.subtract(_words([p for p in pieces if p.function in unused]))
        pieces = [piece for piece in pieces if piece.function not in unused]
    for seldom, some in groupby(pieces, lambda piece: piece.seldom):
        if seldom:
            lines += _when_called(seldom, [*some], words)
        else:
            lines += [piece.code for piece in some]
    return "\n".join(lines) + "\n"


def _read(part: str, included: set[str], seldom: str = "") -> Iterator[_Piece]:
    """The pieces of a part, with those of others where each is first included."""
    included.add(part)
    lines, kept = iter(_lines(part)), list[_Piece]()
    for line in lines:
        if line.startswith(_INCLUDE):
            other = line.removeprefix(_INCLUDE)
            found = [] if other in included else _read(other, included, seldom)
        elif line.startswith(_SELDOM):
            seldom, found = line.removeprefix(_SELDOM), []
        elif line == _END:
            yield from kept
            seldom, found, kept = "", [], []
        elif defined := _FUNCTION.match(line):
            rest = [] if defined[2] else [*iter(lines.__next__, "end"), "end"]
            found = [_Piece("\n".join([line, *rest]), defined[1], seldom)]
        else:
            found = [_Piece(line, seldom="" if _CONSTANTS.match(line) else seldom)]
        for piece in found:
            if piece.seldom:
                kept.append(piece)
            else:
                yield piece
    yield from kept


@cache
def _lines(name: str) -> tuple[str, ...]:
    file = files(__package__).joinpath("lua", f"{name}.lua")
    return tuple(file.read_text().splitlines())


def _words(pieces: Iterable[_Piece]) -> Counter[str]:
    """How often each word stands in the code of all."""
    found = Counter[str]()
    for piece in pieces:
        found.update(piece.words)
    return found


def _unused(pieces: list[_Piece], words: Counter[str]) -> set[str]:
    """The functions that nothing names but they themselves."""
    own = Counter[str]()
    for piece in pieces:
        if piece.function:
            own[piece.function] += piece.words[piece.function]
    return {name for name, count in own.items() if words[name] == count}


def _when_called(seldom: str, pieces: list[_Piece], words: Counter[str]) -> list[str]:
    """The code, made when one of the functions that are named elsewhere is called."""
    own = _words(pieces)
    seen = [p.function for p in pieces if words[p.function] > own[p.function]]
    if not seen:
        return []
    names, is_open = ", ".join(seen), f"{seldom}_open"
    return [
        f"local {is_open}, {names} = false",
        f"local function make_{seldom}()",
        *[piece.code for piece in pieces],
        f"return {names} end",
        f"local function open_{seldom}()",
        f"if not {is_open} then {is_open}, {names} = true, make_{seldom}() end end",
        *[f"{n} = function(...) open_{seldom}() return {n}(...) end" for n in seen],
    ]
