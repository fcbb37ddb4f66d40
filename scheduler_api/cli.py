"""The operator's command line: `scheduler`, or `python -m scheduler_api`."""

import click
import os
from pathlib import Path
from redis.exceptions import RedisError
from scheduler_api.commands.audit import audit
from scheduler_api.commands.chaos import SCRIPT, chaos
from scheduler_api.commands.cron import preview_cron
from scheduler_api.commands.dead_letters import dead_letters
from scheduler_api.commands.destinations import destinations
from scheduler_api.commands.doctor import doctor
from scheduler_api.commands.environment import OPTION, Environment, program_of
from scheduler_api.commands.events import events
from scheduler_api.commands.flow_keys import flow_keys
from scheduler_api.commands.forget import forget
from scheduler_api.commands.imports import imports
from scheduler_api.commands.keys import keys
from scheduler_api.commands.limits import set_limits
from scheduler_api.commands.publish import publish
from scheduler_api.commands.queues import queues
from scheduler_api.commands.schedule_states import pause_schedule, resume_schedule
from scheduler_api.commands.schedules import schedules
from scheduler_api.commands.status import status
from scheduler_api.commands.stores import (
    accept_clock,
    accept_store,
    check_store,
    empty_store,
)
from scheduler_api.commands.tenants import tenant
from scheduler_api.commands.tokens import token
from scheduler_api.commands.up import up
from scheduler_api.commands.usage import show_usage
from scheduler_api.commands.verify import verify
from scheduler_api.commands.why import why
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.tenants.encryption import WrongSecretKey

REDIS_URL = "REDIS_URL"
MAX_SUMMARY = 200


class Group(click.Group):
    """A command group that prints expected errors in one line, without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SettingsError as err:
            raise click.ClickException(_with_hint(str(err))) from err
        except (WrongSecretKey, ForeignDatabase, UnknownLayout) as err:
            raise click.ClickException(str(err) or str(err.__doc__)) from err
        except RedisError as err:
            problem, command = str(err).rstrip("."), f"{program_of(ctx)} doctor"
            raise click.ClickException(
                f"the store does not answer: {problem}; see `{command}`"
            ) from err


def _with_hint(message: str) -> str:
    """Add where settings come from, if there are none."""
    if not message.startswith(f"{REDIS_URL}: missing"):
        return message
    return f"{message}\nSet them as for the processes, or use {OPTION} DIR: see -h"


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Begin with `doctor` on a new installation, and with `status` if something"
    " is wrong. `why ID` tells about one event.",
)
@click.version_option(package_name="scheduler_api", message="scheduler %(version)s")
@click.option(
    OPTION,
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Data folder of `scheduler up`, which has the settings of its processes.",
)
@click.pass_context
def main(ctx: click.Context, folder: Path | None) -> None:
    """Operate a cell, with the same environment variables as its processes."""
    ctx.obj = Environment(os.environ, folder)


tenant.add_command(set_limits)
tenant.add_command(show_usage)
schedules.add_command(pause_schedule)
schedules.add_command(resume_schedule)
COMMANDS = (
    accept_clock,
    accept_store,
    audit,
    check_store,
    dead_letters,
    destinations,
    doctor,
    empty_store,
    events,
    flow_keys,
    forget,
    imports,
    keys,
    preview_cron,
    queues,
    publish,
    schedules,
    status,
    tenant,
    token,
    up,
    verify,
    why,
)
for command in COMMANDS:
    main.add_command(command)
if SCRIPT.exists():
    main.add_command(chaos)


def _show_full_summaries(command: click.Command) -> None:
    """Let lists of commands wrap summaries; by default, click cuts them."""
    command.short_help = command.get_short_help_str(MAX_SUMMARY)
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _show_full_summaries(each)


_show_full_summaries(main)
