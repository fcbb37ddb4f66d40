"""`up`: a complete system on this machine."""

import click
import os
import signal
from pathlib import Path
from scheduler_api.commands.environment import OPTION, folder_of
from scheduler_api.dialects.outbound import DIALECTS
from scheduler_api.up.data_folder import Refusal
from scheduler_api.up.system import Up

QSTASH_DEV = "qstash-dev"
[QSTASH] = [dialect for dialect in DIALECTS if dialect.name == "qstash"]


@click.command("up")
@click.option(
    "--port",
    type=click.IntRange(1, 65_535),
    default=8080,
    show_default=True,
    help="Port of the web process.",
)
@click.option(
    OPTION,
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder for all data.  [default: $XDG_DATA_HOME/scheduler, usually"
    " ~/.local/share/scheduler]",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Number of workers, the processes that deliver.",
)
@click.option(
    "--qstash-dev",
    is_flag=True,
    help="Serve QStash's clients that have QSTASH_DEV=true, with the token and keys"
    " that are part of them, on this machine only. All data is in the folder"
    f" {QSTASH_DEV} in DIR, and stays there.",
)
@click.pass_context
def up(
    ctx: click.Context,
    *,
    port: int,
    folder: Path | None,
    workers: int,
    qstash_dev: bool,
) -> None:
    """Run a complete system in the foreground, with a store of its own.

    Starts the store, web, ticker, workers, clock and chores, restarts those that exit,
    and prints how to sign in. Ctrl-C stops everything. It is for development; the
    embedded store comes with the extra `up`.
    """
    os.umask(0o077)
    try:
        data = folder or folder_of(ctx) or _user_folder()
        system = Up(
            port=port,
            data=data / QSTASH_DEV if qstash_dev else data,
            workers=workers,
            development=QSTASH.development if qstash_dev else None,
        )
        _stop_on_signals(system)
        system.run()
    except Refusal as err:
        raise click.ClickException(str(err)) from err


def _stop_on_signals(system: Up) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Under nohup, SIGHUP is ignored; continue to ignore it.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, system.stop)


def _user_folder() -> Path:
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base, "scheduler")
