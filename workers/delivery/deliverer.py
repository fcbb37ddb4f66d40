"""One attempt: content, signature, request, and what its result means."""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.errors import NotFound, SchedulerError, UnreadableRecord
from scheduler_api.core.model import Begun
from scheduler_api.core.store import codec
from scheduler_api.core.store.connection import RETRY_INTERVAL_S
from scheduler_api.core.store.leases import Outcome, Settlement, WorkerStore
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from workers.delivery.fan_out import FanOut
from workers.delivery.key_ring import KeyRing
from workers.http_client.client import HttpClient, Request, Result
from workers.http_client.failures import Failure

log = logging.getLogger("scheduler.worker")

# No further attempt would change these, and dead letters are named after them.
FINAL = (Failure.BLOCKED, Failure.GROUP_MISSING)


class LeaseGone(Exception):
    """The event is another's by now: nothing may be sent."""


class Deliverer:
    """Sends begun events; never raises for what a receiver or a record does."""

    def __init__(
        self,
        store: WorkerStore,
        http_client: HttpClient,
        keys: KeyRing,
        fan_outs: FanOut,
        *,
        settings: Settings,
        on_result: Callable[[Begun, Result], None] = lambda _begun, _result: None,
    ) -> None:
        self._store = store
        self._http_client = http_client
        self._keys = keys
        self._fan_outs = fan_outs
        self._settings = settings
        self._on_result = on_result

    async def deliver(
        self, begun: Begun, *, may_write: Callable[[], bool]
    ) -> Settlement | None:
        """Makes one attempt; None when it was dropped because the lease was lost."""
        started_ms = time.time_ns() // 1_000_000
        try:
            if begun.content is None:
                begun = await self._with_content(begun, may_write)
            dialect = outbound.of(begun.owner.dialect)
            group = dialect.group_of(begun)
            if group:
                return await self._fan_out(begun, group, started_ms, may_write)
            outgoing = dialect.render(
                begun,
                signing=await self._keys.of(begun.owner.tenant),
                now_ms=started_ms,
                settings=self._settings,
            )
            result = await self._http_client.send(
                Request(
                    method=outgoing.method,
                    url=outgoing.url,
                    headers=outgoing.headers,
                    body=outgoing.body,
                    timeout_ms=outgoing.timeout_ms,
                    body_cap_bytes=dialect.response_cap_bytes(
                        begun, settings=self._settings
                    ),
                ),
                may_write=may_write,
            )
            return self._settlement(begun, result, outgoing.signed)
        except LeaseGone:
            _report_dropped(begun)
            return None
        except Exception as err:
            return self._undeliverable(begun, started_ms, err)

    async def _fan_out(
        self, begun: Begun, group: str, started_ms: int, may_write: Callable[[], bool]
    ) -> Settlement | None:
        """Has the endpoints of a group get the event, in place of a destination."""
        expand = outbound.of(begun.owner.dialect).expand
        make = partial(self._fan_outs.make, begun, group, expand=expand)
        whole = False
        while not whole:
            if not may_write():
                raise LeaseGone
            try:
                whole = await asyncio.to_thread(make)
            except NotFound:
                return self._settlement(begun, _no_group(group, started_ms), {})
            except RedisError as err:
                log.warning(logfmt.line("group.not_read", event=begun.id, problem=err))
            if not whole:
                await asyncio.sleep(RETRY_INTERVAL_S)
        return Settlement(
            event_id=begun.id,
            token=begun.token,
            attempt=begun.attempt,
            outcome=Outcome.DELIVERED,
            log_entry=codec.encode_attempt({"started_ms": started_ms}),
        )

    def _settlement(
        self, begun: Begun, result: Result, signed: dict[str, str]
    ) -> Settlement | None:
        if result.error is Failure.LEASE_LOST:
            _report_dropped(begun)
            return None
        self._on_result(begun, result)
        if result.error is Failure.BLOCKED:
            _explain_blocked(begun, result)
        dialect = outbound.of(begun.owner.dialect)
        outcome, delay_ms, reason = _decide(dialect, begun, result)
        return Settlement(
            event_id=begun.id,
            token=begun.token,
            attempt=begun.attempt,
            outcome=outcome,
            log_entry=self._line(
                result,
                signed,
                headers=dialect.kept_headers(result, settings=self._settings),
            ),
            delay_ms=delay_ms,
            reason=reason,
            contact=dialect.contact(begun),
            follow_ups=dialect.follow_ups(
                begun,
                result,
                dead=outcome is Outcome.DEAD,
                settings=self._settings,
            ),
        )

    async def _with_content(self, begun: Begun, may_write: Callable[[], bool]) -> Begun:
        while begun.content is None:
            if not may_write():
                raise LeaseGone
            try:
                begun = await self._store.fetch(begun)
            except RedisError:
                await asyncio.sleep(RETRY_INTERVAL_S)
        return begun

    def _line(
        self,
        result: Result,
        signed: dict[str, str],
        *,
        headers: tuple[tuple[str, str], ...],
    ) -> bytes:
        shown = result.body[: self._settings.response_log_bytes]
        return codec.encode_attempt(
            {
                "started_ms": result.started_ms,
                "status": result.status,
                "error": result.error,
                "connect_ms": result.connect_ms,
                "first_byte_ms": result.first_byte_ms,
                "total_ms": result.total_ms,
                "response": shown.decode("utf-8", "replace"),
                "signed": signed,
            },
            headers=headers,
        )

    def _undeliverable(
        self, begun: Begun, started_ms: int, problem: Exception
    ) -> Settlement:
        """What cannot be sent is a dead letter: trying again changes nothing."""
        expected = isinstance(problem, SchedulerError)
        unreadable = isinstance(problem, UnreadableRecord)
        log.error(
            logfmt.line("event.undeliverable", event=begun.id, problem=problem),
            exc_info=None if expected else problem,
        )
        return Settlement(
            event_id=begun.id,
            token=begun.token,
            attempt=begun.attempt,
            outcome=Outcome.DEAD,
            log_entry=codec.encode_attempt(
                {"started_ms": started_ms, "error": "undeliverable"}
            ),
            reason="unreadable" if unreadable else "undeliverable",
        )


def _no_group(group: str, started_ms: int) -> Result:
    return Result(
        status=None,
        headers=(),
        body=b"",
        body_truncated=False,
        error=Failure.GROUP_MISSING,
        detail=f"group {group} not found",
        started_ms=started_ms,
        connect_ms=None,
        first_byte_ms=None,
        total_ms=0,
        dispatched=False,
    )


def _report_dropped(begun: Begun) -> None:
    log.warning(logfmt.line("attempt.dropped", event=begun.id, n=begun.attempt))


def _explain_blocked(begun: Begun, result: Result) -> None:
    """For operators only: what an address stands for is none of a tenant's business."""
    log.warning(
        logfmt.line(
            "delivery.blocked",
            event=begun.id,
            tenant=begun.owner.tenant,
            detail=result.detail,
            hint="see SCHED_ALLOW_NETWORKS, SCHED_DESTINATION_PORTS, SCHED_HTTPS_ONLY",
        )
    )


def _decide(
    dialect: outbound.Outbound, begun: Begun, result: Result
) -> tuple[Outcome, int, str]:
    if dialect.is_success(result):
        return Outcome.DELIVERED, 0, ""
    if result.error in FINAL:
        return Outcome.DEAD, 0, result.error.value
    delay_ms = dialect.next_delay_ms(begun, result)
    if delay_ms is None:
        return Outcome.DEAD, 0, "exhausted"
    if begun.left_ms is not None and result.total_ms + delay_ms > begun.left_ms:
        # The store would not take the retry: then it gives up, and tells whom it may.
        return Outcome.DEAD, 0, "end"
    return Outcome.RETRY, delay_ms, ""
