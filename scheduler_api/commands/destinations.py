"""`destination`: pauses, resumes and lists destinations."""

import click
from scheduler_api.commands.common import (
    AS_JSON,
    TENANT_ARGUMENT,
    iso_or_none,
    open_cell,
    plain_table,
    print_json,
    print_table,
    to_seconds,
    user,
)
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core.delivery.destinations import BadDestination, Destination, parse
from scheduler_api.core.flow_control.held_destinations import (
    CLOSED,
    HALF_OPEN,
    HeldDestination,
    HeldDestinations,
)
from scheduler_api.core.store.audit import Change
from scheduler_api.settings import Settings


def _read_url(_ctx: click.Context, _param: click.Parameter, url: str) -> Destination:
    try:
        return parse(url)
    except BadDestination as err:
        raise click.BadParameter(str(err)) from err


@click.group("destination")
def destinations() -> None:
    """Pause, resume and list destinations.

    A destination is the scheme, host and port of a URL.
    """


@destinations.command("list")
@AS_JSON
@pass_settings
def list_held_destinations(settings: Settings, *, as_json: bool) -> None:
    """List origins and routes that are paused, failing, or over their share."""
    found = HeldDestinations(open_cell(settings)).all()
    if as_json:
        print_json({"destinations": [*map(to_json, found)]})
        return
    columns = ("destination", "state", "last failure", "waiting", "running")
    table = plain_table("tenant", *columns)
    for held in found:
        counts = str(held.waiting), str(held.running)
        failure = _failure(held)
        table.add_row(held.tenant, held.url or "-", _state(held), failure, *counts)
    print_table(table)


def to_json(held: HeldDestination) -> dict[str, object]:
    """Return a destination as JSON; times are ISO 8601."""
    return {
        "tenant": held.tenant,
        "destination": held.url,
        "pausedSince": iso_or_none(held.paused_ms),
        "breaker": held.state,
        "breakerSince": iso_or_none(held.since_ms),
        "nextProbe": iso_or_none(held.probe_ms),
        "cause": held.cause or None,
        "lastFailure": iso_or_none(held.failed_ms),
        "waiting": held.waiting,
        "running": held.running,
    }


def _state(held: HeldDestination) -> str:
    """Return a text such as `paused since …; slowed since …`, or `closed`."""
    states: list[str] = []
    if held.paused_ms is not None:
        states.append(f"paused since {to_seconds(held.paused_ms)}")
    if held.since_ms is not None:
        states.append(f"{held.state} since {to_seconds(held.since_ms)}")
        if held.probe_ms is not None:
            due = held.state == HALF_OPEN
            when = "with the next event" if due else to_seconds(held.probe_ms)
            states.append(f"next probe {when}")
    return "; ".join(states) or held.state


def _failure(held: HeldDestination) -> str:
    if held.failed_ms is None:
        return "-"
    return f"{held.cause or 'unknown'}, at {to_seconds(held.failed_ms)}"


@destinations.command("pause")
@TENANT_ARGUMENT
@click.argument("destination", metavar="URL", callback=_read_url)
@pass_settings
def pause_destination(
    settings: Settings, tenant_id: str, destination: Destination
) -> None:
    """Stop deliveries of a tenant to a destination; the events wait."""
    origin = str(destination.origin)
    change = Change(tenant_id, user(), "destination.pause", origin)
    HeldDestinations(open_cell(settings)).set_paused(
        tenant_id, destination, paused=True, change=change
    )
    click.echo(f"{destination.origin} of tenant {tenant_id} is paused")


@destinations.command("resume")
@TENANT_ARGUMENT
@click.argument("destination", metavar="URL", callback=_read_url)
@pass_settings
def resume_destination(
    settings: Settings, tenant_id: str, destination: Destination
) -> None:
    """Continue deliveries of a tenant to a destination, oldest event first."""
    held = HeldDestinations(open_cell(settings))
    before = held.of_origin(tenant_id, destination)
    named = f"{destination.origin} of tenant {tenant_id}"
    if not any(each.paused_ms is not None for each in before):
        also = _others(before) or ": see `destination list`"
        raise click.ClickException(f"{named} is not paused{also}")
    change = Change(tenant_id, user(), "destination.resume", str(destination.origin))
    held.set_paused(tenant_id, destination, paused=False, change=change)
    click.echo(f"{named} is resumed{_others(before)}")


def _others(held: list[HeldDestination]) -> str:
    """Return which breakers still hold events, or ''."""
    breakers = [f"{each.url} ({each.state})" for each in held if each.state != CLOSED]
    return f"; a breaker holds {', '.join(breakers)}" if breakers else ""
