"""`doctor`: what is wrong with an installation, and what mends it."""

import click
import orjson
import redis
from collections.abc import Iterator
from rich.console import Group
from rich.text import Text
from scheduler_api.commands import checks
from scheduler_api.commands.common import problem_lines, screen
from scheduler_api.commands.environment import program_of, settings_of
from scheduler_api.core.queries.sentences import count
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.web.banners import Banner


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--deliver", "url", help="Check that workers may deliver to this URL.")
@click.pass_context
def doctor(ctx: click.Context, *, as_json: bool, url: str | None) -> None:
    """Say what is wrong with the installation, and what mends it; exit 1 if anything.

    Checks the settings, the store, its clock, the processes and the workers.
    """
    found = [*_examine(ctx, url)]
    if as_json:
        findings = [{"text": each.text, "command": each.command} for each in found]
        body = {"findings": findings}
        click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2))
    else:
        lines = problem_lines(found, bullet="!", colour="red")
        screen().print(Group(_headline(found), *lines))
    ctx.exit(1 if found else 0)


def _examine(ctx: click.Context, url: str | None) -> Iterator[Banner]:
    """Yield what is wrong; a fault that hides others ends the checks."""
    try:
        settings = settings_of(ctx)
    except SettingsError as err:
        yield from checks.settings_faults(err)
        return
    if url is not None:
        yield from checks.delivery(settings, url)
    try:
        found = [*checks.reach(settings)] or checks.cell(settings, program_of(ctx))
        yield from found
    except redis.RedisError as err:
        yield checks.unreachable(err)


def _headline(found: list[Banner]) -> Text:
    if not found:
        return Text("Nothing is wrong.", "bold green")
    return Text(f"{count(len(found), 'thing')} to mend.", "bold red")
