"""The commands of the Procfile: those of the processes, by role, and of a release."""

from pathlib import Path

ROOT = Path(__file__).parents[1]
PROCFILE = dict(
    line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines()
)
# Heroku runs this command before it starts the processes of a new version.
RELEASE = PROCFILE.pop("release")
