"""`tenant usage`: what tenants have and do, next to their limits."""

import click
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from scheduler_api.commands.common import (
    API_LABELS,
    AS_JSON,
    existing_tenant,
    open_cell,
    plain_table,
    print_json,
    print_table,
    printable,
    size,
)
from scheduler_api.commands.completion import complete_tenants
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.recent_hours import RecentHours, per_minute
from scheduler_api.core.settings.limits import OwnerQuotas, TenantLimits
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants import usage
from scheduler_api.core.tenants.accounts import Account
from scheduler_api.core.tenants.quotas import Quotas
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings

MINUTES_A_DAY = 24 * 60
COLUMNS = ("pending", "stored", "requests/s", "running", "attempts")


@dataclass(frozen=True)
class Usage:
    """What a tenant has and does.

    Attributes:
        pending: unfinished events, and schedules.
        stored_bytes: content; None if it was never limited, and so not counted.
        requests: those of this second; None if they are not limited.
        running: attempts in progress; None if they are not limited.
        delivered, failed: attempts of the last 24 hours.
        quotas: what is counted, and the limits, by the name of the dialect.
    """

    account: Account
    limits: TenantLimits
    pending: int
    stored_bytes: int | None
    requests: int | None
    running: int | None
    most_running: int
    delivered: int
    failed: int
    quotas: Mapping[str, tuple[OwnerQuotas, OwnerQuotas]]


@click.command("usage")
@click.argument(
    "tenant_id",
    metavar="[TENANT]",
    default=None,
    callback=existing_tenant,
    shell_complete=complete_tenants,
)
@AS_JSON
@pass_settings
def show_usage(settings: Settings, tenant_id: str | None, *, as_json: bool) -> None:
    """Show what a tenant, or each, has and does, next to its limits.

    Attempts are those of the last 24 hours. `-` is not counted, because there is no
    limit. If an API has quotas of its own, a second table shows them.
    """
    cell = open_cell(settings)
    accounts = outbound.tenants(cell, settings).accounts()
    wanted = [each for each in accounts if tenant_id in (None, each.id)]
    found = _read(cell, settings, wanted)
    if as_json:
        print_json({"tenants": [*map(to_json, found)]})
        return
    table = plain_table("tenant", "name", *COLUMNS)
    for each in found:
        table.add_row(each.account.id, printable(each.account.name), *_cells(each))
    print_table(table)
    if any(each.quotas for each in found):
        click.echo()
        _print_quotas(found)


def _print_quotas(found: Sequence[Usage]) -> None:
    table = plain_table(
        "tenant", "API", "requests this minute", "events due this month"
    )
    for each in found:
        for name, quota in each.quotas.items():
            cells = [
                _of(used if most else None, most) for _, used, most in _fields(*quota)
            ]
            table.add_row(each.account.id, API_LABELS[name], *cells)
    print_table(table)


def _read(cell: Cell, settings: Settings, accounts: Sequence[Account]) -> list[Usage]:
    limits, hours = outbound.tenant_limits(cell, settings), RecentHours(cell)
    flow_keys, most = FlowKeys(cell), settings.caps.tenant
    quotas, own_quotas = Quotas(cell), outbound.owner_quotas(settings)
    now_ms = cell.now_ms()
    found = []
    for account in accounts:
        own, day = limits.of(account.id), hours.read(account.id, now_ms=now_ms)
        delivered, failed = (
            sum(per_minute(day, name, count=MINUTES_A_DAY, now_ms=now_ms))
            for name in ("delivered", "failed")
        )
        found.append(
            Usage(
                account,
                own,
                pending=usage.pending(cell, limits.owners(account.id)),
                stored_bytes=usage.stored_bytes(cell, account.id),
                requests=limits.requests(account.id) if own.requests_per_s else None,
                running=flow_keys.running(account.id) if most else None,
                most_running=most,
                delivered=delivered,
                failed=failed,
                quotas={
                    name: (quotas.counted(Owner(account.id, name)), each)
                    for name, each in own_quotas.items()
                },
            )
        )
    return found


def _cells(each: Usage) -> tuple[str, ...]:
    stored, most = each.stored_bytes, each.limits.stored_bytes
    return (
        _of(each.pending, each.limits.pending_events),
        "-" if stored is None else size(stored) + (f" of {size(most)}" if most else ""),
        _of(each.requests, each.limits.requests_per_s),
        _of(each.running, each.most_running),
        f"{each.delivered + each.failed:,}, {each.failed:,} failed",
    )


def _of(used: int | None, most: int) -> str:
    if used is None:
        return "-"
    return f"{used:,} of {most:,}" if most else f"{used:,}"


def to_json(each: Usage) -> dict[str, object]:
    """Return the usage of a tenant as JSON; a limit that is null is none."""
    return {
        "tenant": each.account.id,
        "name": each.account.name,
        "pending": _to_json(each.pending, each.limits.pending_events),
        "storedBytes": _to_json(each.stored_bytes, each.limits.stored_bytes),
        "requestsPerSecond": _to_json(each.requests, each.limits.requests_per_s),
        "running": _to_json(each.running, each.most_running),
        "lastDay": {
            "attempts": each.delivered + each.failed,
            "failed": each.failed,
        },
        "quotas": {
            API_LABELS[name]: {
                field: _to_json(count if most else None, most)
                for field, count, most in _fields(*quota)
            }
            for name, quota in each.quotas.items()
        },
    }


def _to_json(used: int | None, most: int) -> dict[str, int | None]:
    return {"used": used, "limit": most or None}


def _fields(used: OwnerQuotas, most: OwnerQuotas) -> Iterator[tuple[str, int, int]]:
    yield "requestsPerMinute", used.requests_per_minute, most.requests_per_minute
    yield "eventsPerMonth", used.events_per_month, most.events_per_month
