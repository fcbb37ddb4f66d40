"""Reads docs/cron_cases.json with six libraries; writes their scores into docs/cron.md.

It installs the libraries into a temporary folder, and needs node and npm.
"""

import click
import json
import shutil
import subprocess
import sys
import tempfile
import venv
from bench_figures import replace_table
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from scheduler_api.core.cron.expression import CronError, parse, upcoming
from typing import Any

Case = Mapping[str, Any]
# Fire times in epoch ms by the ids of the cases; None: the expression is refused.
Readings = Mapping[str, list[int] | None]

ROOT = Path(__file__).parents[1]
CASES, PAGE = ROOT / "docs" / "cron_cases.json", ROOT / "docs" / "cron.md"
COUNT = 5
PYTHON = ("croniter", "cronsim", "APScheduler<4", "tzdata")
JAVASCRIPT = ("cron-parser", "croner")
OURS = "Scheduler API"
# What the cases of each group are about.
GROUPS = {
    "dst-gap": "fixed times that a clock change skips",
    "dst-fold": "fixed times that a clock change repeats",
    "dst-wild": "wildcards at a clock change",
    "random": "random expressions at a clock change",
    "trap": "ranges of one value; clock changes of half an hour or at midnight",
    "tz": "time zones",
    "start": "a start between two seconds",
    "dom-dow": "day of month and day of week together",
    "dow": "days of the week: 0 and 7, names",
    "range": "ranges that run backwards",
    "rare": "days that few months have",
    "ext-L": "`L`: last days",
    "ext-W": "`W`: the nearest workday",
    "ext-#": "`#`: the nth weekday of a month",
    "step": "steps",
    "six": "six fields, seconds first",
    "few": "too few fields",
    "alias": "`@` aliases",
    "syntax": "wrong texts, and blanks",
}


def main() -> None:
    """Compare the libraries."""
    cases = json.loads(CASES.read_text())["cases"]
    readings: dict[str, Readings] = {OURS: read(cases)}
    with tempfile.TemporaryDirectory(prefix="cron-scores-") as folder:
        readings |= _in_python(Path(folder), cases)
        readings |= _in_javascript(Path(folder), cases)
    replace_table(PAGE, table(cases, readings))
    click.echo(f"table written to {PAGE}", err=True)


def read(cases: Sequence[Case]) -> dict[str, list[int] | None]:
    """Return the readings of this project."""
    return {case["id"]: _read(case) for case in cases}


def table(cases: Sequence[Case], readings: Mapping[str, Readings]) -> str:
    """Return a Markdown table: how many readings of each library are as in the file."""
    lines = [["group", *readings], ["---", *["---:"] * len(readings)]]
    for group, about in GROUPS.items():
        chosen = [case for case in cases if case["group"] == group]
        lines.append([f"`{group}`: {about}", *_scores(chosen, readings)])
    lines.append(["all", *_scores(cases, readings)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def is_right(case: Case, times: list[int] | None) -> bool:
    """Whether a library reads a case as the file does."""
    if "refusal" in case:
        return times is None
    return times == [_ms(text) for text in case["next"]]


def _scores(cases: Sequence[Case], readings: Mapping[str, Readings]) -> list[str]:
    right = (
        sum(is_right(case, each[case["id"]]) for case in cases)
        for each in readings.values()
    )
    return [f"{count} of {len(cases)}" for count in right]


def _read(case: Case) -> list[int] | None:
    try:
        cron = parse(case["expression"], tz=case["tz"])
    except CronError:
        return None
    return [*islice(upcoming(cron, after_ms=_ms(case["start"])), COUNT)]


def _ms(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


def _in_python(folder: Path, cases: Sequence[Case]) -> dict[str, Readings]:
    python = folder / "venv" / "bin" / "python"
    venv.create(folder / "venv", with_pip=True)
    # -I: without the packages of this project.
    _install([str(python), "-I", "-m", "pip", "install", "-q", *PYTHON], folder)
    reader = Path(__file__).with_name("cron_readers.py")
    return _run_reader([str(python), "-I", str(reader)], folder, cases)


def _in_javascript(folder: Path, cases: Sequence[Case]) -> dict[str, Readings]:
    _install(["npm", "install", "--silent", "--prefix", ".", *JAVASCRIPT], folder)
    # Node looks for packages where the script is.
    shutil.copy(Path(__file__).with_name("cron_readers.mjs"), folder)
    return _run_reader(["node", "cron_readers.mjs"], folder, cases)


def _install(command: Sequence[str], folder: Path) -> None:
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)


def _run_reader(
    command: Sequence[str], folder: Path, cases: Sequence[Case]
) -> dict[str, Readings]:
    found = subprocess.run(
        command,
        cwd=folder,
        input=json.dumps(cases),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    readings: dict[str, Readings] = json.loads(found.stdout)
    return readings


if __name__ == "__main__":
    click.command(main)()
