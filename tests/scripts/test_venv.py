"""Tests that `scripts/venv` reports in one line why it cannot create an environment."""

import pytest
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOOLS = ("cat", "cksum", "dirname", "sh")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A new checkout, and a `bin` folder in it to use as the entire PATH."""
    root = tmp_path / "a checkout"
    (root / "scripts").mkdir(parents=True)
    for name in ("scripts/up", "scripts/venv", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    (root / "bin").mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found
        (root / "bin" / tool).symlink_to(found)
    return root


def add_python(checkout: Path, script: str) -> None:
    stub = checkout / "bin" / "python3"
    stub.write_text(f"#!/bin/sh\n{script}\n")
    stub.chmod(0o755)


def up(checkout: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "scripts" / "up"],
        check=False,
        env={"PATH": str(checkout / "bin")},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_missing_python_is_reported_in_one_line(checkout: Path):
    result = up(checkout)

    assert result.returncode == 1
    assert result.stderr == "scripts/venv: needs Python 3.11 or later, found none\n"


def test_an_old_python_is_reported_in_one_line(checkout: Path):
    add_python(checkout, '[ "$1" = --version ] && echo "Python 3.9.2" || exit 1')

    result = up(checkout)

    assert result.returncode == 1
    assert result.stderr == (
        "scripts/venv: needs Python 3.11 or later, found Python 3.9.2\n"
    )


def test_a_missing_venv_module_is_reported_in_one_line(checkout: Path):
    add_python(checkout, 'case "$2" in *ensurepip*) exit 1;; esac')

    result = up(checkout)

    assert result.returncode == 1
    assert result.stderr == (
        "scripts/venv: python3 has no venv module"
        " (on Debian: apt install python3-venv)\n"
    )


def test_after_a_failed_installation_nothing_is_started(checkout: Path):
    add_python(
        checkout,
        '[ "$2" != venv ] && exit\n'
        'PATH="$PATH:/bin:/usr/bin"; mkdir -p .venv/bin; cp "$0" .venv/bin/python\n'
        "printf '#!/bin/sh\\n[ \"$2\" != pip ]\\n' >.venv/bin/python",
    )

    result = up(checkout)

    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        "scripts/venv: installing packages into .venv, once",
        "scripts/venv: the packages could not be installed",
    ]


def test_what_the_tests_need_includes_what_the_system_needs(checkout: Path):
    add_python(
        checkout,
        '[ "$2" != venv ] && exit\n'
        'PATH="$PATH:/bin:/usr/bin"; mkdir -p .venv/bin; cp "$0" .venv/bin/python',
    )
    results = [
        subprocess.run(
            [checkout / "scripts" / "venv", *extra],
            check=True,
            env={"PATH": str(checkout / "bin")},
            capture_output=True,
            text=True,
            timeout=60,
        )
        for extra in (["test"], ["up"], [])
    ]

    assert [bool(result.stderr) for result in results] == [True, False, False]
