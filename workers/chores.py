"""The jobs of the `housekeeping` queue; RQ calls them by name, without arguments."""

import logging
import redis
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from redis.exceptions import OutOfMemoryError
from scheduler_api.core import logfmt
from scheduler_api.core.errors import Conflict, StoreFull
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import FINAL_STATES, Owner, State
from scheduler_api.core.recovery.deletion import delete_templates
from scheduler_api.core.recovery.reencryption import encrypt_again
from scheduler_api.core.recovery.tenant_removal import TenantRemoval
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.store import functions, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.store.reads import name_members
from scheduler_api.core.tenants import usage
from scheduler_api.dialects import outbound
from typing import cast
from workers import failure_digest
from workers.bootstrap import open_cell, start_job

log = logging.getLogger("scheduler.chores")

QUEUE = "housekeeping"
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
BATCH = 500
# How long one run works on jobs of dead letters, while other chores wait.
LETTERS_FOR_S = 10
# How often a run tries to remove a tenant, and the time between.
MAX_ROUNDS, ROUND_PAUSE_S = 20, 1.0


def retention() -> int:
    """Delete old finished events, journal entries and templates of schedules.

    Returns the number of deleted events. If a run fails, the next run deletes the rest.

    Raises: SettingsError.
    """
    settings = start_job()
    cell = open_cell(settings)
    now_ms = cell.now_ms()
    kept_ms = {state: _retention_ms(settings, state) for state in FINAL_STATES}
    deleted = delete_finished(cell, kept_ms, now_ms=now_ms)
    templates = _delete_templates(cell, now_ms - _template_retention_ms(settings))
    _finish(cell, "retention", now_ms, deleted=deleted, templates=templates)
    return deleted


def delete_finished(cell: Cell, kept_ms: Mapping[State, int], *, now_ms: int) -> int:
    """Delete events, journal entries and flow-control keys that are old enough.

    Args:
        kept_ms: how long events are kept after their end, for each final state.

    Returns: the number of deleted events.
    """
    events, flow_keys, deleted = EventStore(cell), FlowKeys(cell), 0
    owners = cast(set[bytes], cell.client.smembers(keys.owners(cell.prefix)))
    for owner in sorted(owners):
        for state, state_kept_ms in kept_ms.items():
            before_ms = now_ms - state_kept_ms
            index = keys.finished(cell.prefix, owner.decode(), state)
            for ids in _older_than(cell.client, index, before_ms):
                deleted += events.forget(ids, before_ms=before_ms)
        _trim_journal(cell, owner.decode(), now_ms - kept_ms[State.DELIVERED])
        flow_keys.forget(Owner.parse(owner.decode()))
    return deleted


def _retention_ms(settings: EngineSettings, state: State) -> int:
    is_dead = state is State.DEAD
    days = settings.dead_retention_days if is_dead else settings.retention_days
    return days * DAY_MS


def _template_retention_ms(settings: EngineSettings) -> int:
    """Return how long to keep a template after its schedule was edited or deleted.

    Occurrences need the template until they are deleted. The last occurrence may be
    delivered up to a day after the change. Then it is kept, at most for the longest
    retention time of events.
    """
    return max(settings.dead_retention_days, settings.retention_days) * DAY_MS + DAY_MS


def _older_than(client: redis.Redis, index: str, before_ms: int) -> Iterator[list[str]]:
    """Yield batches of the members whose score is less than `before_ms`.

    The caller has to remove each batch from the set before it requests the next batch;
    otherwise the iteration ends.
    """
    last: list[bytes] = []
    while True:
        found = cast(
            list[bytes],
            client.zrangebyscore(index, "-inf", f"({before_ms}", start=0, num=BATCH),
        )
        if not found or found == last:
            return
        last = found
        yield [member.decode() for member in found]


def _trim_journal(cell: Cell, owner: str, before_ms: int) -> None:
    """Remove all entries older than `before_ms`.

    An approximate XTRIM removes whole blocks, at most 10,000 entries, in a call that
    does not block the store for long. The exact one removes the rest of a block.
    """
    key, oldest = keys.journal(cell.prefix, owner), f"{before_ms}-0"
    while cell.client.xtrim(key, minid=oldest, approximate=True):
        pass
    cell.client.xtrim(key, minid=oldest, approximate=False)


def _delete_templates(cell: Cell, before_ms: int) -> int:
    index, deleted = keys.superseded(cell.prefix), 0
    for names in _older_than(cell.client, index, before_ms):
        delete_templates(cell, names)
        deleted += len(names)
    return deleted


def stored_bytes() -> int:
    """Count the stored bytes of tenants with a limit; return how many tenants.

    Raises: SettingsError.
    """
    settings = start_job()
    cell = open_cell(settings)
    limits = outbound.tenant_limits(cell, settings)
    counted = 0
    for tenant in outbound.tenants(cell, settings).all_ids():
        if limits.of(tenant).stored_bytes:
            usage.recount(cell, tenant, limits.owners(tenant))
            counted += 1
    _finish(cell, "stored_bytes", cell.now_ms(), tenants=counted)
    return counted


def check() -> int:
    """Check the store's consistency; log each fault and return how many there are.

    Raises: SettingsError.
    """
    settings = start_job()
    cell = open_cell(settings)
    faults = walk.check(cell)
    named = name_members(cell, [fault.member for fault in faults])
    for fault, name in zip(faults, named, strict=True):
        fields = {"key": fault.key, "member": fault.member, "problem": fault.problem}
        log.error(logfmt.line("store.fault", **fields | name))
    _finish(cell, "check", cell.now_ms(), faults=len(faults))
    return len(faults)


def failures() -> int:
    """Report how many events failed since the last run, by tenant and destination.

    Writes a log entry for each destination. If `SCHED_FAILURE_DIGEST_URL` is set, sends
    a digest of all entries to this URL. Returns the number of failed events.

    Raises: SettingsError.
    """
    settings = start_job()
    cell = open_cell(settings)
    now_ms = cell.now_ms()
    key = keys.chore(cell.prefix, "failures")
    last_run_ms = cast(bytes | None, cell.client.get(key))
    since_ms = now_ms - HOUR_MS if last_run_ms is None else int(last_run_ms) + 1
    found = failure_digest.collect(cell, since_ms=since_ms, until_ms=now_ms)
    for group in found:
        log.warning(
            logfmt.line(
                "tenant.failures",
                tenant=group.tenant,
                dialect=group.dialect,
                destination=group.destination,
                failed=group.failed,
            )
        )
    if found and settings.failure_digest_url:
        failure_digest.post(found, settings)
    count = sum(each.failed for each in found)
    _finish(cell, "failures", now_ms, failed=count)
    return count


def libraries() -> int:
    """Delete the cell's function libraries of other versions; return their number.

    If a process of another version still runs, it loads its library again. A full store
    refuses to load libraries, so nothing is deleted while the store is full.

    Raises: SettingsError.
    """
    cell, deleted = open_cell(start_job()), list[str]()
    if not cell.client.exists(keys.full(cell.prefix)):
        deleted = functions.delete(cell.client, cell.library, others_only=True)
    _finish(cell, "libraries", cell.now_ms(), deleted=len(deleted))
    return len(deleted)


def encryption() -> int:
    """Encrypt again what an older SECRET_KEY has encrypted; return how many records.

    If the store is full or a record changes meanwhile, the next run does the rest.

    Raises: SettingsError.
    """
    settings = start_job()
    cell, changed = open_cell(settings), 0
    with suppress(OutOfMemoryError, StoreFull, Conflict):
        changed = encrypt_again(cell, outbound.tenants(cell, settings))
    _finish(cell, "encryption", cell.now_ms(), changed=changed)
    return changed


def removals() -> int:
    """Go on with removals of tenants that have begun; return how many have ended.

    If attempts of a tenant run for long, a later run goes on.

    Raises: SettingsError.
    """
    settings = start_job()
    cell, ended = open_cell(settings), 0
    tenants = outbound.tenants(cell, settings)
    for account in tenants.accounts():
        if account.is_being_removed:
            ended += _remove(TenantRemoval(cell, tenants), account.id)
    _finish(cell, "removals", cell.now_ms(), ended=ended)
    return ended


def _remove(removal: TenantRemoval, tenant_id: str) -> bool:
    """Erase what a tenant has; return whether nothing is left."""
    rounds = removal.remove(tenant_id, by="chores")
    for _ in islice(rounds, MAX_ROUNDS):
        time.sleep(ROUND_PAUSE_S)
    return next(rounds, None) is None


def dead_letters() -> int:
    """Work on the stored jobs that retry or delete dead letters, for some seconds.

    Returns how many letters were retried or deleted. While there is work left, the
    clock enqueues the chore again; other chores run in between.

    Raises: SettingsError.
    """
    settings = start_job()
    cell = open_cell(settings)
    done = outbound.letter_work(cell, settings).work_on_all(for_s=LETTERS_FOR_S)
    _finish(cell, "dead_letters", cell.now_ms(), done=done)
    return done


def _finish(cell: Cell, name: str, at_ms: int, **counts: int) -> None:
    """Log that a chore has run, and store the time of the run.

    The clock uses the time to warn about overdue chores. A full store does not store
    it.
    """
    log.info(logfmt.line(f"chore.{name}", **counts))
    with suppress(OutOfMemoryError):
        cell.client.set(keys.chore(cell.prefix, name), at_ms)


# All chores, with the cron expressions by which the clock enqueues them.
CHORES: dict[Callable[[], int], str] = {
    retention: "*/10 * * * *",
    check: "7 * * * *",
    failures: "0 * * * *",
    stored_bytes: "*/10 * * * *",
    libraries: "*/10 * * * *",
    encryption: "37 * * * *",
    dead_letters: "*/10 * * * *",
    removals: "* * * * *",
}
