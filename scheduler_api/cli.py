"""The operator's command line: `python -m scheduler_api …`."""

import click
import os
from datetime import UTC, datetime
from redis import Redis
from redis.exceptions import RedisError
from rich.console import Console
from rich.table import Table
from scheduler_api.core import fsck
from scheduler_api.core.config import Settings, SettingsError, from_env
from scheduler_api.core.epoch import accept
from scheduler_api.core.sealing import WrongSecretKey
from scheduler_api.core.tenants import Tenants
from scheduler_api.credentials import addresses, client_environment, env_lines


class Group(click.Group):
    """Commands whose expected failures are one line, not a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SettingsError as err:
            raise click.ClickException(str(err)) from err
        except WrongSecretKey as err:
            raise click.ClickException(str(err.__doc__)) from err
        except RedisError as err:
            raise click.ClickException(f"the store does not answer: {err}") from err


@click.group(cls=Group)
@click.pass_context
def main(ctx: click.Context) -> None:
    """Operate a cell; reads the same environment as the processes."""
    ctx.obj = from_env(os.environ)


@main.command("fsck")
@click.pass_obj
def check_store(settings: Settings) -> None:
    """Prove that records and sets agree; print every fault, and exit 1 if any."""
    faults = fsck.check(Redis.from_url(settings.redis_url), settings.prefix)
    for fault in faults:
        click.echo(str(fault))
    raise SystemExit(1 if faults else 0)


def _checked_name(_ctx: click.Context, _param: click.Parameter, name: str) -> str:
    if not name.strip():
        raise click.BadParameter("is empty: what do you call this tenant?")
    return name.strip()


@main.group()
def tenant() -> None:
    """Accounts."""


@tenant.command("create")
@click.argument("name", callback=_checked_name)
@click.option("--env", "as_env", is_flag=True, help="Print what its clients need.")
@click.option("--url", help="Where clients reach the web process.")
@click.pass_obj
def create_tenant(settings: Settings, name: str, as_env: bool, url: str | None) -> None:
    """Make a tenant and print its token, which is shown only now."""
    tenants = _tenants(settings)
    tenants.check_key()
    new = tenants.create(name)
    if not as_env:
        click.echo(f"tenant {new.id}\ntoken {new.token}")
        return
    base_url = (url or f"http://127.0.0.1:{settings.port}").rstrip("/")
    click.echo(env_lines(client_environment(new) | addresses(base_url)), nl=False)


@tenant.command("list")
@click.pass_obj
def list_tenants(settings: Settings) -> None:
    """List all tenants, oldest first."""
    table = Table("tenant", "name", "created")
    for account in _tenants(settings).accounts():
        created = datetime.fromtimestamp(account.created_at_ms / 1000, UTC)
        table.add_row(account.id, account.name, created.isoformat(timespec="seconds"))
    Console().print(table)


@main.command("accept-store")
@click.pass_obj
def accept_store(settings: Settings) -> None:
    """Go on with the store as it is, after it came back empty or as another one."""
    epoch = accept(Redis.from_url(settings.redis_url), settings.prefix)
    click.echo(f"accepted store {epoch}; tickers go on within a second")


def _tenants(settings: Settings) -> Tenants:
    client = Redis.from_url(settings.redis_url)
    return Tenants(client, settings.prefix, secret_key=settings.secret_key)
