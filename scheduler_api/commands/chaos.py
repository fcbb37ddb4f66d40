"""`chaos`: runs `scripts/chaos`, which only a checkout has."""

import click
import os
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "chaos"


@click.command("chaos", context_settings={"ignore_unknown_options": True})
@click.argument("words", metavar="[SCENARIO]...", nargs=-1, type=click.UNPROCESSED)
def chaos(words: tuple[str, ...]) -> None:
    """Inject faults into complete systems, and count what they do to events.

    Takes the options of `scripts/chaos`; `scripts/chaos --help` lists them.
    """
    os.execv(SCRIPT, [str(SCRIPT), *words])
