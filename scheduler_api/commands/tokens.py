"""`token`: creates, lists, rotates and revokes API tokens."""

import click
from collections.abc import Iterator
from contextlib import contextmanager
from scheduler_api.commands.common import (
    AS_JSON,
    GONE,
    env_options,
    holder,
    holder_options,
    iso_or_none,
    open_tenants,
    plain_table,
    print_environment,
    print_json,
    print_table,
    read_name,
    to_seconds,
    user,
)
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.tenants.accounts import NewTenant
from scheduler_api.core.tenants.tokens import CACHED_S, GRACE_MS, StoredToken
from scheduler_api.settings import Settings


@click.group()
def token() -> None:
    """Create, list, rotate and revoke API tokens.

    A token belongs to a tenant or to the operator. A web process accepts a revoked
    token for up to five more seconds.
    """


@token.command("create")
@click.argument("name", callback=read_name)
@holder_options
@click.option("--read-only", is_flag=True, help="The token cannot change anything.")
@env_options
@pass_settings
def create(
    settings: Settings,
    name: str,
    *,
    tenant_id: str | None,
    operator: bool,
    read_only: bool,
    as_env: bool,
    url: str | None,
) -> None:
    """Create a token and print it. The token cannot be shown again."""
    tenants, owner = open_tenants(settings), holder(tenant_id, operator)
    if as_env and owner is None:
        raise click.UsageError("--env needs --tenant")
    try:
        new = tenants.tokens.create(owner, name, read_only=read_only, by=user())
    except Conflict as err:
        raise click.ClickException(f"there is a token {name} already") from err
    except NotFound as err:
        raise click.ClickException(GONE) from err
    if as_env and owner is not None:
        print_environment(settings, NewTenant(owner, new, tenants.secrets(owner)), url)
    else:
        click.echo(f"token {new}")


@token.command("list")
@holder_options
@AS_JSON
@pass_settings
def list_tokens(
    settings: Settings, tenant_id: str | None, operator: bool, *, as_json: bool
) -> None:
    """List tokens by name, oldest first."""
    tokens = open_tenants(settings).tokens.all_of(holder(tenant_id, operator))
    if as_json:
        print_json({"tokens": [*map(to_json, tokens)]})
        return
    table = plain_table("token", "allows", "created", "valid until")
    for each in tokens:
        table.add_row(*_row(each))
    print_table(table)


@token.command("rotate")
@click.argument("name")
@holder_options
@click.option("--now", is_flag=True, help="Refuse the old token at once.")
@pass_settings
def rotate(
    settings: Settings, name: str, tenant_id: str | None, operator: bool, now: bool
) -> None:
    """Replace a token by a new one of the same name, and print the new one.

    The old token stays valid for 24 hours.
    """
    tokens, grace_ms = open_tenants(settings).tokens, 0 if now else GRACE_MS
    with _reported(name):
        owner = holder(tenant_id, operator)
        new = tokens.rotate(owner, name, grace_ms=grace_ms, by=user())
    click.echo(f"token {new}")


@token.command("revoke")
@click.argument("name")
@holder_options
@pass_settings
def revoke(
    settings: Settings, name: str, tenant_id: str | None, operator: bool
) -> None:
    """Delete a token, and the tokens that it has replaced."""
    tokens = open_tenants(settings).tokens
    with _reported(name):
        tokens.revoke(holder(tenant_id, operator), name, by=user())
    click.echo(f"token {name} is revoked; it is refused within {CACHED_S:.0f} seconds")


@contextmanager
def _reported(name: str) -> Iterator[None]:
    try:
        yield
    except NotFound as err:
        raise click.ClickException(
            f"there is no token {name}: see `token list`"
        ) from err


def to_json(token: StoredToken) -> dict[str, object]:
    """Return a token as JSON; only its name, as the token is not stored."""
    return {
        "name": token.access.token,
        "isReadOnly": token.access.read_only,
        "created": iso_or_none(token.created_ms),
        "validUntil": iso_or_none(token.ends_ms),
    }


def _row(token: StoredToken) -> tuple[str, str, str, str]:
    return (
        token.access.token,
        "reads" if token.access.read_only else "everything",
        "-" if token.created_ms is None else to_seconds(token.created_ms),
        "it is revoked" if token.ends_ms is None else to_seconds(token.ends_ms),
    )
