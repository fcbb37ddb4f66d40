"""Chores: what RQ runs on the `housekeeping` queue, by name and without arguments."""

import logging
import redis
from collections.abc import Iterator
from scheduler_api.core import logfmt
from scheduler_api.core.flow_control.flow_keys import FlowKeys
from scheduler_api.core.fsck import walk
from scheduler_api.core.model import FINAL_STATES, Owner, State
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.store import functions, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.events import EventStore
from typing import cast
from workers import failure_digest
from workers.bootstrap import open_cell, read_settings

log = logging.getLogger("scheduler.chores")

QUEUE = "housekeeping"
HOUR_MS = 3_600_000
DAY_MS = 86_400_000
AT_ONCE = 500


def retention() -> int:
    """Forgets what finished longer ago than it is kept; answers how many events.

    Raises: SettingsError, redis.RedisError; the next run goes on where this one ended.
    """
    settings = read_settings()
    cell = open_cell(settings)
    events, flow_keys = EventStore(cell), FlowKeys(cell)
    now_ms, forgotten = cell.now_ms(), 0
    owners = cast(set[bytes], cell.client.smembers(keys.owners(cell.prefix)))
    for owner in sorted(owners):
        for state in FINAL_STATES:
            before_ms = now_ms - _kept_ms(settings, state)
            index = keys.finished(cell.prefix, owner.decode(), state)
            for ids in _older(cell.client, index, before_ms):
                forgotten += events.forget(ids, before_ms=before_ms)
        _cut_journal(cell, owner.decode(), now_ms - settings.retention_days * DAY_MS)
        flow_keys.forget(Owner.parse(owner.decode()))
    templates = _forget_templates(cell, now_ms - _longest_ms(settings))
    _done(cell, "retention", now_ms, forgotten=forgotten, templates=templates)
    return forgotten


def _kept_ms(settings: EngineSettings, state: State) -> int:
    dead = state is State.DEAD
    days = settings.dead_retention_days if dead else settings.retention_days
    return days * DAY_MS


def _longest_ms(settings: EngineSettings) -> int:
    """How long an occurrence may need its template, with a day to be made and sent."""
    return max(settings.dead_retention_days, settings.retention_days) * DAY_MS + DAY_MS


def _older(client: redis.Redis, index: str, before_ms: int) -> Iterator[list[str]]:
    """The ids of an index up to a score, in batches; each batch is expected to go."""
    last: list[bytes] = []
    while True:
        found = cast(
            list[bytes],
            client.zrangebyscore(index, "-inf", f"({before_ms}", start=0, num=AT_ONCE),
        )
        if not found or found == last:
            return
        last = found
        yield [event_id.decode() for event_id in found]


def _cut_journal(cell: Cell, owner: str, before_ms: int) -> None:
    key = keys.journal(cell.prefix, owner)
    cell.client.xtrim(key, minid=f"{before_ms}-0", approximate=True)


def _forget_templates(cell: Cell, before_ms: int) -> int:
    index, forgotten = keys.superseded(cell.prefix), 0
    for members in _older(cell.client, index, before_ms):
        pipe = cell.client.pipeline(transaction=False)
        for member in members:
            schedule_id, _, revision = member.partition(":")
            pipe.delete(keys.template(cell.prefix, schedule_id, revision))
        pipe.zrem(index, *members)
        pipe.execute()
        forgotten += len(members)
    return forgotten


def check() -> int:
    """Proves that records and sets agree; answers how many faults it logged.

    Raises: SettingsError, redis.RedisError.
    """
    settings = read_settings()
    cell = open_cell(settings)
    faults = walk.check(cell)
    for fault in faults:
        log.error(
            logfmt.line(
                "store.fault",
                where=fault.where,
                member=fault.member,
                problem=fault.problem,
            )
        )
    _done(cell, "check", cell.now_ms(), faults=len(faults))
    return len(faults)


def failures() -> int:
    """Tells of the dead letters since its last run, by tenant and destination.

    Each in a log line, all in one digest to a URL if one is set. Answers how many
    events they were.

    Raises: SettingsError, redis.RedisError.
    """
    settings = read_settings()
    cell = open_cell(settings)
    now_ms = cell.now_ms()
    last = cast(bytes | None, cell.client.get(keys.chore(cell.prefix, "failures")))
    since_ms = now_ms - HOUR_MS if last is None else int(last) + 1
    found = failure_digest.collect(cell, since_ms=since_ms, until_ms=now_ms)
    for each in found:
        log.warning(
            logfmt.line(
                "tenant.failures",
                tenant=each.tenant,
                dialect=each.dialect,
                destination=each.destination,
                failed=each.failed,
            )
        )
    if found and settings.failure_digest_url:
        failure_digest.post(found, settings)
    count = sum(each.failed for each in found)
    _done(cell, "failures", now_ms, failed=count)
    return count


def libraries() -> int:
    """Deletes the function libraries that other versions left; answers how many.

    A process of another version that still runs loads its own again. A full store would
    refuse it: then nothing is deleted.

    Raises: SettingsError, redis.RedisError.
    """
    cell, deleted = open_cell(read_settings()), list[str]()
    if not cell.client.exists(keys.full(cell.prefix)):
        deleted = functions.delete(cell.client, cell.library, others_only=True)
    _done(cell, "libraries", cell.now_ms(), deleted=len(deleted))
    return len(deleted)


def _done(cell: Cell, name: str, at_ms: int, **counts: int) -> None:
    cell.client.set(keys.chore(cell.prefix, name), at_ms)
    logging.getLogger("rq.worker").info(logfmt.line(f"chore.{name}", **counts))
