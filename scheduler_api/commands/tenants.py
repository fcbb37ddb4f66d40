"""`tenant`: creates and lists tenants."""

import click
from rich.console import Console
from rich.table import Table
from scheduler_api.commands.common import (
    env_options,
    open_tenants,
    print_environment,
    read_name,
    to_seconds,
    user,
)
from scheduler_api.settings import Settings


@click.group()
def tenant() -> None:
    """Create and list tenants."""


@tenant.command("create")
@click.argument("name", callback=read_name)
@env_options
@click.pass_obj
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
@click.pass_obj
def list_tenants(settings: Settings) -> None:
    """List all tenants, oldest first."""
    table = Table("tenant", "name", "created")
    for account in open_tenants(settings).accounts():
        table.add_row(account.id, account.name, to_seconds(account.created_at_ms))
    Console().print(table)
