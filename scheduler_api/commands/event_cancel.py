"""`events cancel`: cancels events by id, or all that match a filter."""

import click
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from scheduler_api import services
from scheduler_api.commands.common import (
    YES,
    open_cell,
    printable,
    tenant_option,
    user,
)
from scheduler_api.commands.environment import settings_of
from scheduler_api.commands.event_filters import (
    DRY_RUN,
    choosing_options,
    confirm,
    event_filter,
    find_events,
    match_words,
)
from scheduler_api.core import public_ids
from scheduler_api.core.errors import NotFound, UnreadableRecord
from scheduler_api.core.model import Owner, State
from scheduler_api.core.queries.event_pages import (
    MAX_EXAMINED,
    EventPages,
    Status,
    Summary,
)
from scheduler_api.core.queries.ids import Found
from scheduler_api.core.queries.sentences import count
from scheduler_api.core.store import audit
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.events import Cancelled
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from typing import Any

UNFINISHED = (Status.DUE, Status.SCHEDULED)
BEING_SENT = (Cancelled.REQUESTED, Cancelled.ALREADY_REQUESTED)
SENT = "is being sent; it is cancelled if this attempt fails"
ENDED = "has ended already"


@click.command("cancel")
@click.argument("names", metavar="[ID]...", nargs=-1)
@tenant_option("Instead of ids: all unfinished events of this tenant that match.")
@click.option(
    "--status",
    type=click.Choice([each.value for each in UNFINISHED]),
    help="Only these; default: both.",
)
@choosing_options("Due")
@DRY_RUN
@YES
@click.pass_context
def cancel(
    ctx: click.Context,
    /,
    *,
    names: tuple[str, ...],
    tenant_id: str | None,
    dry_run: bool,
    yes: bool,
    **chosen: Any,
) -> None:
    """Cancel events by id, or all of a tenant that match the options.

    ID is any id that a client has, in any API. An attempt that is being sent is not
    stopped; its event is cancelled if the attempt fails.
    """
    if bool(names) == (tenant_id is not None):
        raise click.UsageError("give either ids, or --tenant and what to cancel there")
    settings = settings_of(ctx)
    open_cell(settings)
    built = services.build(settings)
    if tenant_id is None:
        if any(chosen.values()):
            raise click.UsageError("options choose events of a tenant: add --tenant ID")
        found = [_only(built, name) for name in names]
        ctx.exit(0 if _cancel_each(built, found, dry_run=dry_run) else 1)
    matching = Matching(built, tenant_id, chosen)
    number = sum(len(batch) for batch in matching.batches())
    click.echo(match_words(number, "event", most=number))
    if dry_run or not number:
        return
    if not yes:
        confirm("Cancel", number)
    matching.cancel(number)


class Matching:
    """The unfinished events of a tenant that match, and that exist now."""

    def __init__(self, built: Services, tenant_id: str, chosen: dict[str, Any]) -> None:
        self._built = built
        self._tenant_id = tenant_id
        self._chosen = chosen
        self._pages = EventPages(built.cell, outbound.LABELS)
        self._now_ms = built.cell.now_ms()

    def batches(self) -> Iterator[list[Summary]]:
        """Yield the events in batches."""
        status = self._chosen["status"]
        for each in UNFINISHED if status is None else (Status(status),):
            yield from self._batches(each)

    def _batches(self, status: Status) -> Iterator[list[Summary]]:
        wanted = event_filter(self._chosen | {"status": status})
        owners, after = outbound.owners_of(self._tenant_id), None
        while True:
            page = self._pages.read(
                *(owners, wanted),
                now_ms=self._now_ms,
                after=after,
                size=MAX_EXAMINED,
            )
            yield [each for each in page.events if each.created_ms <= self._now_ms]
            if page.next is None:
                return
            after = page.next

    def cancel(self, expected: int) -> None:
        """Cancel the events, and print how many.

        Args:
            expected: the number of events, for the progress.
        """
        chosen = {name: value for name, value in self._chosen.items() if value}
        words = " ".join(f"{name}={value}" for name, value in chosen.items())
        change = Change(self._tenant_id, user(), "events.cancel", words or "all")
        audit.write(
            *(self._built.cell, change),
            before={"state": "unfinished"},
            after={"state": "cancelled"},
        )
        done = Counter[Cancelled]()
        with click.progressbar(
            length=expected, label="cancel", show_pos=True, file=sys.stderr
        ) as bar:
            for batch in self.batches():
                done += self._cancel(batch)
                bar.update(len(batch))
        click.echo(_summary(done))

    def _cancel(self, batch: Sequence[Summary]) -> Counter[Cancelled]:
        ids: dict[Owner, list[str]] = {}
        for each in batch:
            ids.setdefault(each.owner, []).append(each.id)
        store = self._built.store
        results = (store.cancel(owner, found) for owner, found in ids.items())
        return Counter(result for of_owner in results for result in of_owner)


def _summary(done: Counter[Cancelled]) -> str:
    sent = sum(done[each] for each in BEING_SENT)
    ended = done[Cancelled.ENDED] + done[Cancelled.MISSING]
    words = [f"{count(done[Cancelled.DONE], 'event')} cancelled"]
    if sent:
        words.append(f"{sent:,} being sent, which are cancelled if this attempt fails")
    if ended:
        words.append(f"{ended:,} ended meanwhile")
    return "; ".join(words)


def _only(built: Services, name: str) -> Found:
    """Return the only event that an id stands for."""
    found = find_events(built, name)
    if len(found) > 1:
        ids = " and ".join(public_ids.event_id(each.owner, each.id) for each in found)
        raise click.ClickException(
            f"{printable(name)} stands for several events: {ids}; use another id"
        )
    return found[0]


def _cancel_each(built: Services, found: Sequence[Found], *, dry_run: bool) -> bool:
    """Cancel events one by one; return whether all of them were unfinished."""
    all_done = True
    for each in found:
        name = public_ids.event_id(each.owner, each.id)
        words = _state(built, each) if dry_run else _cancel(built, each, name)
        all_done &= words != ENDED
        click.echo(f"{name} {words}")
    return all_done


def _state(built: Services, found: Found) -> str:
    try:
        event = built.queries.event(found.owner, found.id)
    except (NotFound, UnreadableRecord):
        return "cannot be read"
    return "would be cancelled" if event.state is State.ACTIVE else ENDED


def _cancel(built: Services, found: Found, name: str) -> str:
    change = Change(found.owner.tenant, user(), "event.cancel", name)
    audit.write(built.cell, change, before={"state": "unfinished"}, after=None)
    [result] = built.store.cancel(found.owner, [found.id])
    if result is Cancelled.DONE:
        return "is cancelled"
    return SENT if result in BEING_SENT else ENDED
