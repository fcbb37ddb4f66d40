"""The pages of the documentation: their blocks of code, links and inline code."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    *(
        ROOT / f"{name}.md"
        for name in ("README", "CHANGELOG", "CONTRIBUTING", "SECURITY")
    ),
    *sorted((ROOT / "docs").glob("*.md")),
]

_FENCE = re.compile(r"```(\w*)")
_INDENT = "    "


@dataclass(frozen=True)
class Block:
    """A block of code; `language` is `sh` for indented blocks, '' for plain text."""

    page: str
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}:\n{self.text}"


def name_of(page: Path) -> str:
    """The path of a page, relative to the root of the project."""
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    return [*_blocks(page)]


def _blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text().splitlines()
    number = 0
    while number < len(lines):
        start = number
        fence = _FENCE.fullmatch(lines[start])
        if fence is not None:
            number = lines.index("```", start + 1)
            yield Block(
                name_of(page), start + 2, fence[1], _join(lines[start + 1 : number])
            )
        elif lines[start].startswith(_INDENT) and not lines[start - 1].strip():
            while number < len(lines) and lines[number].startswith(_INDENT):
                number += 1
            text = _join(line.removeprefix(_INDENT) for line in lines[start:number])
            yield Block(name_of(page), start + 1, "sh", text)
        number += 1


def _join(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    lines = page.read_text().splitlines()
    for block in blocks(page):
        count = block.text.count("\n")
        lines[block.line - 1 : block.line - 1 + count] = [""] * count
    return _join(line for line in lines if not line.startswith("```"))


def inline_code(page: Path) -> list[str]:
    """Everything between backticks in the text of a page."""
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose(page))]


def links(page: Path) -> list[str]:
    """The targets of all links and images of a page."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(page))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub creates for the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }
