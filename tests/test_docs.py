"""Tests that files, settings, log messages and links in the documentation exist.

`tests/scripts/test_docs_commands.py` runs the commands in the documentation.
"""

import ast
import pytest
import re
from pathlib import Path
from scheduler_api.settings import VARIABLES
from tests.pages import PAGES, ROOT, anchors, blocks, inline_code, links, name_of

# Inline code is a path if it contains a slash or ends with one of these suffixes. A
# file name without a folder may be in any folder. `file.py: name` refers to a name in
# that file.
SUFFIXES = (".py", ".lua", ".md", ".json", ".cfg", ".toml")
REFERENCE = re.compile(r"([\w.-][\w.<>/-]*)(?:: ([A-Za-z_][\w.]*))?")
EXAMPLE = "file.py"
# A path in a page is relative to one of these folders.
FOLDERS = (ROOT, ROOT / "scheduler_api")
# Inline code that looks like a path, but is no path of the repository: npm and
# `scripts/up` create the first two, and the third is an npm package.
NO_FILES = {"tests/js/node_modules", "data/credentials.env", "@jiter/node"}
CODE_PAGES = [
    page for page in PAGES if page.name in ("internals.md", "CONTRIBUTING.md")
]
SOURCES = [
    path
    for folder in ("scheduler_api", "workers")
    for path in (ROOT / folder).rglob("*.py")
]


def references(page: Path) -> list[tuple[str, str]]:
    """Pairs (path, name in the file) from a page. The name is '' for a whole file."""
    found: list[tuple[str, str]] = []
    for text in inline_code(page):
        match = REFERENCE.fullmatch(text)
        if match is None or match[1] in NO_FILES or match[1] == EXAMPLE:
            continue
        if "/" in match[1] or match[1].endswith(SUFFIXES):
            found.append((match[1], match[2] or ""))
    return found


def files_of(path: str) -> list[Path]:
    """The files that match a path in a page; `<name>` in the path matches any text."""
    pattern = re.sub(r"<\w+>", "*", path).rstrip("/")
    if "/" not in pattern and not (ROOT / pattern).exists():
        return [*(ROOT / "scheduler_api").rglob(pattern)]
    return [file for folder in FOLDERS for file in folder.glob(pattern)]


def defines(file: Path, name: str) -> bool:
    if file.suffix == ".lua":
        found = rf"^(?:local )?function {re.escape(name)}\(|\b{re.escape(name)} ="
        return re.search(found, file.read_text(), re.MULTILINE) is not None
    body: list[ast.stmt] = ast.parse(file.read_text()).body
    for part in name.split("."):
        nodes = [node for node in body if part in _names(node)]
        if not nodes:
            return False
        body = getattr(nodes[0], "body", [])
    return True


def _names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    return []


@pytest.mark.parametrize("page", CODE_PAGES, ids=name_of)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    found = references(page)

    assert len(found) > 50
    assert [path for path, _ in found if not files_of(path)] == []


@pytest.mark.parametrize("page", CODE_PAGES, ids=name_of)
def test_every_name_in_a_file_exists(page: Path) -> None:
    named = [(path, name) for path, name in references(page) if name]

    assert len(named) > 15
    assert [
        f"{path}: {name}"
        for path, name in named
        if not any(defines(file, name) for file in files_of(path))
    ] == []


@pytest.mark.parametrize(
    "reference", ["core/model.py: Nothing", "core/nothing.py", "core/lost/"]
)
def test_a_file_or_name_that_does_not_exist_is_found(reference: str) -> None:
    match = REFERENCE.fullmatch(reference)
    assert match is not None

    files = files_of(match[1])

    assert not any(match[2] is None or defines(file, match[2]) for file in files)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_to_a_page_and_a_heading(page: Path) -> None:
    broken = []
    for link in links(page):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)

    assert broken == []


def test_the_readme_links_to_every_page() -> None:
    readme, *others = PAGES

    assert {name_of(page) for page in others} - {*links(readme)} == set()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_that_a_page_names_exists(page: Path) -> None:
    named = set(re.findall(r"SCHED_\w*[A-Z0-9]\b(?!…|_)", page.read_text()))

    assert named - {variable.name for variable in VARIABLES} == set()


def test_every_log_message_that_a_page_explains_exists() -> None:
    table = (ROOT / "docs" / "operations.md").read_text()
    messages = re.findall(r"^\| `([a-z_]+\.[a-z_]+)` \|", table, re.MULTILINE)
    source = "".join(path.read_text() for path in SOURCES)

    assert len(messages) > 5
    assert [name for name in messages if f'"{name}"' not in source] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_an_example_begins_with_the_command_that_runs_it(page: Path) -> None:
    comments = {"python": "# ", "js": "// "}
    examples = [block for block in blocks(page) if block.language in comments]

    for block in examples:
        comment = comments[block.language]
        assert re.match(rf"{comment}\S+ \w+\.(py|js)\n", block.text), str(block)
