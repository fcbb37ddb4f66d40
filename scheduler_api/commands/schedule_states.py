"""`schedules pause` and `schedules resume`, for the operator."""

import click
from collections.abc import Iterable
from scheduler_api import services
from scheduler_api.commands.common import (
    ONE_TENANT,
    UNREADABLE,
    api_of,
    open_cell,
    printable,
    user,
)
from scheduler_api.commands.environment import pass_settings
from scheduler_api.commands.event_filters import find
from scheduler_api.core.errors import (
    Conflict,
    NotFound,
    StoreFull,
    UnreadableRecord,
)
from scheduler_api.core.model import Schedule, ScheduleState
from scheduler_api.core.queries.ids import Found
from scheduler_api.core.store.audit import Change
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from scheduler_api.settings import Settings
from scheduler_api.web.schedule_words import public_id

GRAMMARS = {dialect.name: dialect.grammar for dialect in outbound.DIALECTS}
SEVERAL = "several schedules have the id {}, of {}: add --tenant, or use the dashboard"
NAME = click.argument("name", metavar="ID")


@click.command("pause")
@NAME
@ONE_TENANT
@pass_settings
def pause_schedule(settings: Settings, name: str, tenant_id: str | None) -> None:
    """Pause a schedule; its runs are skipped. ID is as for `why`."""
    _set_state(settings, name, tenant_id, ScheduleState.PAUSED)
    click.echo(f"schedule {printable(name)} is paused")


@click.command("resume")
@NAME
@ONE_TENANT
@pass_settings
def resume_schedule(settings: Settings, name: str, tenant_id: str | None) -> None:
    """Resume a schedule at its next fire time. ID is as for `why`."""
    _set_state(settings, name, tenant_id, ScheduleState.ACTIVE)
    click.echo(f"schedule {printable(name)} is resumed")


def _set_state(
    settings: Settings, name: str, tenant_id: str | None, state: ScheduleState
) -> None:
    open_cell(settings)
    made = services.build(settings)
    try:
        schedule = _find(made, name, tenant_id)
        if schedule.is_over(made.cell.now_ms()):
            raise click.ClickException("the schedule has ended")
        if schedule.state is state:
            return
        tenant = schedule.owner.tenant
        made.schedules.edit(
            schedule,
            grammar=GRAMMARS[schedule.owner.dialect],
            state=state,
            change=Change(tenant, user(), "schedule.state", public_id(schedule)),
        )
    except UnreadableRecord as err:
        raise click.ClickException(UNREADABLE) from err
    except StoreFull as err:
        raise click.ClickException("the store is full: see `status`") from err
    except (Conflict, NotFound) as err:
        raise click.ClickException("it was changed meanwhile; try again") from err


def _find(made: Services, name: str, tenant_id: str | None) -> Schedule:
    """Raises: click.ClickException, NotFound, UnreadableRecord."""
    found = [each for each in find(made, name, tenant_id=tenant_id) if each.is_schedule]
    if not found:
        raise click.ClickException(f"{printable(name)} is no schedule: see `why`")
    if len(found) > 1:
        raise click.ClickException(SEVERAL.format(printable(name), _holders(found)))
    return made.schedules.get(found[0].owner, found[0].id)


def _holders(found: Iterable[Found]) -> str:
    return " and ".join(
        f"tenant {each.owner.tenant} in the API {api_of(each.owner)}" for each in found
    )
