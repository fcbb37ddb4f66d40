"""`python -m scheduler_api` is the operator's command line."""

from scheduler_api.cli import main

main(prog_name="python -m scheduler_api")
