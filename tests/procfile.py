"""The commands of the Procfile, by process."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PROCFILE = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines()
)
