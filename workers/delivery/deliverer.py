"""Makes an attempt: reads the content, sends the request, decides about a retry."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from redis.exceptions import RedisError
from scheduler_api.core import logfmt, public_ids
from scheduler_api.core.delivery.causes import UNDELIVERABLE, UNREADABLE
from scheduler_api.core.delivery.request import Outgoing
from scheduler_api.core.errors import NotFound, SchedulerError, UnreadableRecord
from scheduler_api.core.model import Begun, Outcome
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.store import codec
from scheduler_api.core.store.connection import RETRY_INTERVAL_S
from scheduler_api.core.store.content_encryption import ContentCipher, UnknownKey
from scheduler_api.core.store.leases import Report, Settlement, WorkerStore
from scheduler_api.core.traces import AttemptSpan, Spans
from scheduler_api.dialects import outbound
from workers.delivery import log_entries
from workers.delivery.fan_out import FanOut
from workers.delivery.freezes import Freezes
from workers.delivery.key_ring import KeyRing
from workers.delivery.own_faults import OwnFaults
from workers.delivery.suspicion import Suspicion
from workers.http_client.client import HttpClient, Result
from workers.http_client.failures import Failure

log = logging.getLogger("scheduler.worker")

# How long an event waits for a worker that knows the key of its content.
UNKNOWN_KEY_DELAY_MS = 60_000


class LeaseLost(Exception):
    """The lease ended before the request; another worker may have the event."""


class Deliverer:
    """Makes attempts for begun events.

    Errors of receivers and unreadable records become outcomes of attempts; they raise
    no exceptions.
    """

    def __init__(
        self,
        store: WorkerStore,
        http_client: HttpClient,
        keys: KeyRing,
        fan_out: FanOut,
        *,
        settings: EngineSettings,
        cipher: ContentCipher | None = None,
        own_faults: OwnFaults | None = None,
        on_result: Callable[[Begun, Result], None] = lambda _begun, _result: None,
        spans: Spans | None = None,
    ) -> None:
        self._store = store
        self._http_client = http_client
        self._keys = keys
        self._fan_out = fan_out
        self._dialects = outbound.outbound_halves(settings)
        self._cipher = cipher
        self._response_log_bytes = settings.response_log_bytes
        # Without a task that checks it, a clock that runs would look like a freeze.
        never_frozen = Freezes(clock=lambda: 0.0)
        self._own_faults = own_faults or OwnFaults(Suspicion(), never_frozen)
        self._on_result = on_result
        self._spans = spans

    async def deliver(
        self, begun: Begun, *, may_write: Callable[[], bool]
    ) -> Settlement:
        """Make one attempt."""
        started_ms = time.time_ns() // 1_000_000
        try:
            if begun.content is None:
                begun = await self._with_content(begun, may_write)
            dialect = self._dialects[begun.owner.dialect]
            secrets = await self._keys.of(begun.owner.tenant)
            outgoing = dialect.render(begun, secrets=secrets, now_ms=started_ms)
            if outgoing.group:
                return await self._expand(begun, outgoing.group, started_ms, may_write)
            if self._spans is None:
                result = await self._http_client.send(outgoing, may_write=may_write)
            else:
                attempt = self._spans.attempt(begun, outgoing.headers)
                result = await self._send_traced(attempt, outgoing, may_write)
            outcome = self._own_faults.outcome(begun, result)
            if outcome is None and result.status is None:
                outcome = await self._outcome_with_evidence(begun, result)
            return self._conclude(begun, result, outgoing.signed, outcome)
        except LeaseLost:
            return self._without_outcome(begun, _lease_lost(started_ms), Outcome.UNSENT)
        except Exception as err:
            return self._undeliverable(begun, started_ms, err)

    async def _send_traced(
        self,
        attempt: AbstractContextManager[AttemptSpan],
        outgoing: Outgoing,
        may_write: Callable[[], bool],
    ) -> Result:
        with attempt as span:
            request = replace(outgoing, headers=span.headers)
            result = await self._http_client.send(request, may_write=may_write)
            span.note(result.status, result.error)
            return result

    async def _expand(
        self, begun: Begun, group: str, started_ms: int, may_write: Callable[[], bool]
    ) -> Settlement:
        """Replace the event with one event for each endpoint of the group."""
        expand = self._dialects[begun.owner.dialect].expand
        create = partial(self._fan_out.create, begun, group, expand=expand)
        complete = False
        while not complete:
            if not may_write():
                raise LeaseLost
            try:
                complete = await asyncio.to_thread(create)
            except NotFound:
                return self._conclude(begun, _no_group(group, started_ms), {})
            except RedisError as err:
                log.warning(logfmt.line("group.not_read", **_named(begun), problem=err))
            if not complete:
                await asyncio.sleep(RETRY_INTERVAL_S)
        return Settlement(
            begun.id,
            begun.token,
            begun.attempt,
            Outcome.DELIVERED,
            codec.encode_attempt({"started_ms": started_ms}),
        )

    async def _outcome_with_evidence(
        self, begun: Begun, result: Result
    ) -> Outcome | None:
        """If a failure would end the event, decide later whose failure it is."""
        decision = self._dialects[begun.owner.dialect].conclude(begun, result)
        if decision.outcome is Outcome.DEAD:
            return await self._own_faults.last_outcome(begun, result)
        return None

    def _conclude(
        self,
        begun: Begun,
        result: Result,
        signed: dict[str, str],
        outcome: Outcome | None = None,
    ) -> Settlement:
        if outcome is not None:
            return self._without_outcome(begun, result, outcome, signed)
        self._on_result(begun, result)
        decision = self._dialects[begun.owner.dialect].conclude(begun, result)
        return Settlement(
            begun.id,
            begun.token,
            begun.attempt,
            decision.outcome,
            log_entries.encode(
                result,
                signed=signed,
                headers=decision.headers,
                max_body_bytes=self._response_log_bytes,
                cipher=self._cipher,
            ),
            decision.delay_ms,
            decision.reason,
            decision.follow_ups,
            _report(begun, result, contact=decision.contact),
        )

    def _without_outcome(
        self,
        begun: Begun,
        result: Result,
        outcome: Outcome,
        signed: dict[str, str] | None = None,
    ) -> Settlement:
        """Return a settlement that gives the event back, charged with no failure."""
        if result.error is Failure.LEASE_LOST:
            _log_dropped(begun)
        return Settlement(
            begun.id,
            begun.token,
            begun.attempt,
            outcome,
            log_entries.encode(result, signed=signed, max_body_bytes=0),
            report=_report(begun, result),
        )

    async def _with_content(self, begun: Begun, may_write: Callable[[], bool]) -> Begun:
        while begun.content is None:
            if not may_write():
                raise LeaseLost
            try:
                begun = await self._store.fetch(begun)
            except RedisError:
                await asyncio.sleep(RETRY_INTERVAL_S)
        return begun

    def _undeliverable(
        self, begun: Begun, started_ms: int, problem: Exception
    ) -> Settlement:
        """Return a settlement that makes the event dead; a retry would fail too.

        An event whose content another worker can decrypt is retried.
        """
        foreign = isinstance(problem, UnknownKey)
        unreadable = isinstance(problem, UnreadableRecord)
        code = UNREADABLE if unreadable else UNDELIVERABLE
        if not isinstance(problem, SchedulerError):
            line = logfmt.line("event.undeliverable", **_named(begun), problem=problem)
            log.error(line, exc_info=problem)
        return Settlement(
            begun.id,
            begun.token,
            begun.attempt,
            Outcome.RETRY if foreign else Outcome.DEAD,
            codec.encode_attempt({"started_ms": started_ms, "error": code}),
            delay_ms=UNKNOWN_KEY_DELAY_MS if foreign else 0,
            reason="" if foreign else code,
            report=Report(
                url=begun.content.url if begun.content else "",
                error=code,
                detail=str(problem),
            ),
        )


def _report(begun: Begun, result: Result, *, contact: str = "") -> Report:
    return Report(
        begun.content.url if begun.content else "",
        result.status,
        result.error,
        result.detail,
        result.total_ms,
        result.connect_ms or 0,
        contact,
    )


def _no_group(group: str, started_ms: int) -> Result:
    detail = f"url group {group} not found"
    return _unsent(Failure.GROUP_MISSING, detail, started_ms)


def _lease_lost(started_ms: int) -> Result:
    return _unsent(Failure.LEASE_LOST, "the lease ended", started_ms)


def _unsent(error: Failure, detail: str, started_ms: int) -> Result:
    return Result(
        status=None,
        headers=(),
        body=b"",
        body_truncated=False,
        error=error,
        detail=detail,
        started_ms=started_ms,
        connect_ms=None,
        first_byte_ms=None,
        total_ms=0,
        dispatched=False,
    )


def _log_dropped(begun: Begun) -> None:
    log.warning(logfmt.line("attempt.dropped", **_named(begun), attempt=begun.attempt))


def _named(begun: Begun) -> dict[str, object]:
    """Return the fields of a log line that identify an event."""
    event = public_ids.event_id(begun.owner, begun.id)
    return {"event": event, "owner": begun.owner}
