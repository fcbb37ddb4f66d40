"""`keys`: replaces the secrets that sign deliveries; shows the one of alerts."""

import click
from scheduler_api.commands.common import (
    GONE,
    open_cell,
    read_time,
    tenant_option,
    user,
)
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core.errors import NotFound
from scheduler_api.core.store.alerts import signing_secrets
from scheduler_api.core.tenants.secrets import RotationRefused
from scheduler_api.credentials import env_lines, secret_variables
from scheduler_api.dialects import outbound
from scheduler_api.dialects.dialect import RotationOrder
from scheduler_api.settings import Settings

DIALECTS = {each.label: each for each in outbound.DIALECTS if each.rotate}


@click.group()
def keys() -> None:
    """Rotate signing secrets, and show that of alerts."""


@keys.command("rotate")
@tenant_option("Tenant whose secret is replaced.", required=True)
@click.option(
    "--dialect",
    type=click.Choice([*DIALECTS]),
    required=True,
    help="API whose secret is replaced.",
)
@click.option("--now", is_flag=True, help="Stop signing with the old secret at once.")
@click.option(
    "--at",
    "at_ms",
    metavar="TIME",
    callback=read_time,
    help="Sign with the old secret until this ISO 8601 time.",
)
@pass_settings
def rotate(
    settings: Settings, tenant_id: str, *, dialect: str, now: bool, at_ms: int | None
) -> None:
    """Replace a signing secret and print the new one.

    By default, deliveries of v1 are signed with both secrets for 24 hours, and those of
    Jiter with the new one at once. QStash's next key becomes the current one. Workers
    follow within a second.
    """
    if now and at_ms is not None:
        raise click.UsageError("give either --now or --at")
    cell, chosen = open_cell(settings), DIALECTS[dialect]
    tenants, now_ms = outbound.tenants(cell, settings), cell.now_ms()
    if at_ms is not None and at_ms <= now_ms:
        raise click.BadParameter("the time has passed", param_hint="--at")
    switch_ms = now_ms if now else at_ms
    order = RotationOrder(
        tenant=tenant_id, now_ms=now_ms, switch_ms=switch_ms, by=user()
    )
    assert chosen.rotate is not None
    try:
        effect = chosen.rotate(settings, tenants, order)
    except RotationRefused as err:
        raise click.ClickException(str(err)) from err
    except NotFound as err:
        raise click.ClickException(GONE) from err
    variables = secret_variables(chosen, tenants.secrets(tenant_id))
    click.echo(env_lines(variables), nl=False)
    click.echo(effect, err=True)


@keys.command("alerts")
@pass_settings
def show_alert_secret(settings: Settings) -> None:
    """Print the secret that signs the alerts to SCHED_ALERT_URL.

    It follows from SECRET_KEY and SCHED_CELL. While a key is in
    SCHED_OLDER_SECRET_KEYS, its secret signs too.
    """
    click.echo(signing_secrets(settings)[0])
