"""Tests that a dialect needs only one folder, and an entry in each of two registries.

The test adds Postbox, a dialect with a secret, a setting and a cron grammar, to a copy
of the project. The copy must pass the conformance suite, the tests of Postbox and the
tests of imports. After Postbox is removed, the copy must equal the project again.
"""

import os
import shutil
import subprocess
import sys
from filecmp import dircmp
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "fourth"
PARTS = ("scheduler_api", "workers", "scripts", "tests", "docs", "setup.cfg")
LINES = {
    "outbound.py": (
        "from scheduler_api.dialects.postbox.dialect import POSTBOX\n",
        "    POSTBOX,\n",
    ),
    "inbound.py": (
        "from scheduler_api.dialects.postbox import inbound as postbox\n",
        "    postbox,\n",
    ),
}
REGISTRY = "DIALECTS: tuple"


def copy_project(to: Path) -> None:
    ignore = shutil.ignore_patterns("__pycache__", "node_modules")
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, to / name, ignore=ignore)
        else:
            shutil.copy(source, to / name)


def add_dialect(project: Path) -> None:
    dialects = project / "scheduler_api" / "dialects"
    shutil.copytree(
        HERE / "postbox",
        dialects / "postbox",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name, (import_line, entry) in LINES.items():
        registry = dialects / name
        text = registry.read_text()
        head, declaration, tail = text.partition(REGISTRY)
        first_import = head.index("from scheduler_api")
        head = head[:first_import] + import_line + head[first_import:]
        opening, bracket, entries = tail.partition("(\n")
        registry.write_text(head + declaration + opening + bracket + entry + entries)
    tests = project / "tests" / "dialects" / "postbox"
    tests.mkdir()
    shutil.copy(HERE / "adaptor.py", tests / "adaptor.py")
    shutil.copy(HERE / "own_tests.py", tests / "test_postbox.py")


def remove_dialect(project: Path) -> None:
    dialects = project / "scheduler_api" / "dialects"
    shutil.rmtree(dialects / "postbox")
    shutil.rmtree(project / "tests" / "dialects" / "postbox")
    for name, lines in LINES.items():
        registry = dialects / name
        kept = [
            line
            for line in registry.read_text().splitlines(keepends=True)
            if line not in lines
        ]
        registry.write_text("".join(kept))


def run_tests(project: Path, *paths: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *paths],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(project), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def differences(compared: dircmp[str]) -> list[str]:
    found = [*compared.left_only, *compared.right_only, *compared.diff_files]
    for below in compared.subdirs.values():
        found += differences(below)
    return found


def test_a_fourth_dialect_needs_one_folder_and_two_registry_entries(
    tmp_path: Path,
) -> None:
    copy_project(tmp_path)

    add_dialect(tmp_path)
    result = run_tests(
        tmp_path,
        "tests/dialects/conformance",
        "tests/dialects/postbox",
        "tests/test_borders.py",
        "-k",
        "postbox or borders",
    )

    assert result.returncode == 0, result.stdout
    remove_dialect(tmp_path)
    ignored = ["__pycache__", "node_modules"]
    for name in PARTS[:-1]:
        assert differences(dircmp(ROOT / name, tmp_path / name, ignored)) == []
