"""Runs the operator's command line: `python -m scheduler_api`."""

from scheduler_api.cli import main

main(prog_name="python -m scheduler_api")
