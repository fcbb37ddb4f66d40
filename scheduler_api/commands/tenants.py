"""`tenant`: creates, lists and removes tenants."""

import click
import time
from scheduler_api.commands.common import (
    AS_JSON,
    YES,
    env_options,
    open_cell,
    open_tenants,
    plain_table,
    print_environment,
    print_json,
    print_table,
    read_name,
    to_seconds,
    user,
)
from scheduler_api.commands.completion import complete_tenants
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core.recovery.tenant_removal import TOKENS_CACHED_MS, TenantRemoval
from scheduler_api.core.tenants.accounts import Account
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings

BEING_REMOVED = " (being removed)"
# The pause between two rounds of a removal.
PAUSE_S = 1.0


@click.group()
def tenant() -> None:
    """Create, list, limit and remove tenants."""


@tenant.command("create")
@click.argument("name", callback=read_name)
@env_options
@pass_settings
def create(settings: Settings, name: str, as_env: bool, url: str | None) -> None:
    """Create a tenant and print its token. The token cannot be shown again."""
    tenants = open_tenants(settings)
    tenants.check_key()
    new = tenants.create(name, by=user())
    if as_env:
        print_environment(settings, new, url)
    else:
        click.echo(f"tenant {new.id}\ntoken {new.token}")


@tenant.command("list")
@AS_JSON
@pass_settings
def list_tenants(settings: Settings, *, as_json: bool) -> None:
    """List all tenants, oldest first."""
    accounts = open_tenants(settings).accounts()
    if as_json:
        print_json({"tenants": [*map(to_json, accounts)]})
        return
    table = plain_table("tenant", "name", "created")
    for account in accounts:
        state = BEING_REMOVED if account.is_being_removed else ""
        name = account.name + state
        table.add_row(account.id, name, to_seconds(account.created_at_ms))
    print_table(table)


def to_json(account: Account) -> dict[str, object]:
    """Return a tenant as JSON."""
    return {
        "tenant": account.id,
        "name": account.name,
        "created": to_iso(account.created_at_ms),
        "isBeingRemoved": account.is_being_removed,
    }


@tenant.command("remove")
@click.argument("tenant_id", metavar="TENANT", shell_complete=complete_tenants)
@YES
@click.option(
    "--wait",
    "wait_s",
    type=click.IntRange(0),
    default=60,
    show_default=True,
    help="Seconds to wait for running attempts.",
)
@pass_settings
def remove(settings: Settings, tenant_id: str, *, yes: bool, wait_s: int) -> None:
    """Erase a tenant with everything that it has.

    Its tokens end within five seconds, and its events are cancelled. If the command is
    interrupted, or attempts run longer than it waits, run it again.
    """
    cell = open_cell(settings)
    tenants = outbound.tenants(cell, settings)
    accounts = {account.id: account for account in tenants.accounts()}
    if tenant_id not in accounts and not tenants.stored_owners(tenant_id):
        raise click.ClickException(f"there is no tenant {tenant_id}: see `tenant list`")
    if not yes:
        account = accounts.get(tenant_id)
        name = "which is removed already" if account is None else account.name
        click.confirm(f"Erase tenant {tenant_id}, {name}, with all data?", abort=True)
    ends_s = time.monotonic() + TOKENS_CACHED_MS / 1_000 + wait_s
    for running in TenantRemoval(cell, tenants).remove(tenant_id, by=user()):
        if running and time.monotonic() >= ends_s:
            raise click.ClickException(
                f"{running} attempts are still running; run the command again when"
                " they have ended"
            )
        time.sleep(PAUSE_S)
    click.echo(f"tenant {tenant_id} is erased")
