"""`schedules`: compares schedules with a file, and applies the file."""

import click
from collections.abc import Mapping
from dataclasses import replace
from scheduler_api.commands.common import (
    AS_JSON,
    YES,
    plain_table,
    print_json,
    print_table,
    printable,
)
from scheduler_api.commands.environment import OF_CLIENTS, variables_of
from scheduler_api.schedule_files import entries, events_v1, jiter, plan, qstash
from scheduler_api.schedule_files.connection import ApiError
from scheduler_api.schedule_files.entries import BadFile, Entry, Existing
from scheduler_api.schedule_files.plan import Action, Api, Step
from typing import TextIO

FIELDS = {api.NAME: api.FIELDS for api in (qstash, jiter, events_v1)}
NEEDED = {api.NAME: api.VARIABLES for api in (qstash, jiter, events_v1)}
MAKERS: dict[str, type[qstash.Qstash | jiter.Jiter | events_v1.EventsV1]] = {
    qstash.NAME: qstash.Qstash,
    jiter.NAME: jiter.Jiter,
    events_v1.NAME: events_v1.EventsV1,
}
NOTHING = "nothing to change"
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only show the changes.")
FILE = click.argument("file", type=click.File(encoding="utf-8"))
SIGNS = {
    Action.CREATE: "+",
    Action.CHANGE: "~",
    Action.ADOPT: "=",
    Action.REMOVE: "-",
}


@click.group()
def schedules() -> None:
    """Keep the schedules of a tenant in a YAML or JSON file, or pause one.

    All but `pause` and `resume` use the APIs, with the environment variables of their
    clients.
    """


@schedules.command("list")
@AS_JSON
@click.pass_context
def list_schedules(ctx: click.Context, *, as_json: bool) -> None:
    """List the schedules of all APIs, and which came from a file."""
    found = _all(_apis(variables_of(ctx)))
    if as_json:
        print_json({"schedules": [*map(to_json, found)]})
        return
    table = plain_table("api", "id", "in a file as", "cron", "destination", "state")
    for each in found:
        state = "paused" if each.fields.get(entries.PAUSED) else "active"
        rule = _first(each, "cron", "expression", "interval")
        url = printable(_first(each, "destination", "callbackUrl"))
        table.add_row(each.api, each.key, each.id or "-", printable(rule), url, state)
    print_table(table)


def to_json(existing: Existing) -> dict[str, object]:
    """Return a schedule as JSON, with the fields of its API."""
    return {
        "api": existing.api,
        "id": existing.key,
        "idInFile": existing.id,
        "fields": existing.fields,
    }


@schedules.command("pull")
@click.argument("file", type=click.File("w", encoding="utf-8", lazy=True), default="-")
@click.pass_context
def pull(ctx: click.Context, file: TextIO) -> None:
    """Write the schedules of all APIs to a file, or print them.

    Values of headers that are probably secrets, and redacted values, are written as
    variables such as ${REPORT_AUTHORIZATION}.
    """
    found = [_pulled(each) for each in _all(_apis(variables_of(ctx)))]
    file.write(entries.write(found))


@schedules.command("diff")
@FILE
@click.pass_context
def diff(ctx: click.Context, file: TextIO) -> None:
    """Show what `apply --prune` would change; exit with 1 if there is anything."""
    steps = _plan(file, variables_of(ctx))
    show_steps(steps)
    if steps:
        ctx.exit(1)
    click.echo(NOTHING)


@schedules.command("apply")
@FILE
@DRY_RUN
@click.option("--prune", is_flag=True, help="Remove what is no longer in the file.")
@YES
@click.pass_context
def apply(
    ctx: click.Context, file: TextIO, *, dry_run: bool, prune: bool, yes: bool
) -> None:
    """Create and change schedules so that they are as in a file.

    With `--prune`, schedules that came from a file and are no longer in it are removed.
    """
    found = _plan(file, variables_of(ctx))
    steps = [step for step in found if prune or step.action is not Action.REMOVE]
    if not steps:
        click.echo(NOTHING)
        return
    if dry_run:
        show_steps(steps)
        return
    removed = [step for step in steps if step.action is Action.REMOVE]
    if removed and not yes and not _confirm(removed):
        steps = [step for step in steps if step.action is not Action.REMOVE]
    run_steps(ctx, steps)


def show_steps(steps: list[Step]) -> None:
    """Print steps, with what they change."""
    for step in steps:
        _show(step)


def run_steps(ctx: click.Context, steps: list[Step]) -> None:
    """Run steps, print each, and exit with 1 if one of them failed."""
    failed = 0
    for step in steps:
        _show(step)
        try:
            step.run()
        except ApiError as err:
            failed += 1
            click.echo(f"  refused: {printable(str(err))}", err=True)
    click.echo(f"{len(steps) - failed} done, {failed} failed")
    if failed:
        ctx.exit(1)


def _confirm(removed: list[Step]) -> bool:
    click.echo("These came from a file and are no longer in it:")
    show_steps(removed)
    return click.confirm("Remove them?")


def plan_for(listed: list[Entry], variables: Mapping[str, str]) -> list[Step]:
    """Return how entries differ from what the APIs list.

    Raises: click.ClickException.
    """
    apis = _apis(variables)
    for entry in listed:
        if entry.api not in apis:
            names = " and ".join(NEEDED[entry.api])
            raise click.ClickException(f"{entry.id} needs the variables {names}")
    return plan.steps(listed, _all(apis), apis)


def _plan(file: TextIO, variables: Mapping[str, str]) -> list[Step]:
    try:
        listed = entries.read(file.read(), accepted=FIELDS, variables=variables)
    except (BadFile, UnicodeDecodeError) as err:
        raise click.ClickException(f"{file.name}: {err}") from err
    return plan_for(listed, variables)


def _apis(variables: Mapping[str, str]) -> dict[str, Api]:
    """Return the APIs whose variables are set."""
    apis: dict[str, Api] = {
        name: make(variables)
        for name, make in MAKERS.items()
        if all(variables.get(each) for each in NEEDED[name])
    }
    if not apis:
        raise click.ClickException(f"no API is set: {OF_CLIENTS}")
    return apis


def _all(apis: Mapping[str, Api]) -> list[Existing]:
    try:
        return [each for api in apis.values() for each in api.all()]
    except ApiError as err:
        raise click.ClickException(str(err)) from err


def _pulled(existing: Existing) -> Entry:
    """Return a schedule as an entry of a file.

    One that came from no file, in an API without names, gets an id from its number.
    """
    has_ids = MAKERS[existing.api].has_ids
    entry_id = existing.key if has_ids else f"{existing.api}-{existing.key}"
    secrets = {
        path
        for path, value in entries.leaves(existing.fields)
        if entries.is_secret(path) or str(value).startswith(qstash.REDACTED_VALUE)
    }
    entry = Entry(entry_id, existing.api, existing.fields, frozenset(secrets))
    return entry if existing.id is None else replace(entry, id=existing.id)


def _show(step: Step) -> None:
    click.echo(f"{SIGNS[step.action]} {step.action} {step.api.name} {step.id}")
    for change in step.changes:
        old, new = (
            "(none)" if value is None else printable(str(value))
            for value in (change.old, change.new)
        )
        click.echo(f"    {printable(change.path)}: {old} -> {new}")


def _first(existing: Existing, *names: str) -> str:
    return next(str(existing.fields[n]) for n in names if n in existing.fields)
