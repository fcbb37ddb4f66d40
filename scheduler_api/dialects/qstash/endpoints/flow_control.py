"""The endpoints of `/v2/flowControl`: keys that limit deliveries across URLs.

A key may be any text, and clients put keys into paths without percent-encoding. The
views therefore read the key from the raw request target.

Source: https://upstash.com/docs/qstash/features/flowcontrol
"""

import logging
from collections.abc import Collection
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.flow_keys import Flow
from scheduler_api.core.flow_control.gates import MAX_LIMIT, MAX_PERIOD_MS
from scheduler_api.core.model import Owner
from scheduler_api.core.store.gate_names import flow_gate
from scheduler_api.dialects.qstash.parsing.filters import (
    Parameters,
    check_names,
    read_flags,
    read_limits,
    read_query,
    read_search,
)
from scheduler_api.dialects.qstash.parsing.header_values import (
    BadValue,
    read_text,
)
from scheduler_api.dialects.qstash.parsing.targets import read_target
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.access import change
from scheduler_api.web.documented import array_of, documented
from scheduler_api.web.held_by import note_held_by
from scheduler_api.web.query_string import read_parameters
from urllib.parse import unquote

ROUTE = "/v2/flowControl/"
KEY = "flowControlKey"
PINNED = ("parallelism", "rate")
LIMITS = {
    "parallelism": MAX_LIMIT,
    "rate": MAX_LIMIT,
    "period": MAX_PERIOD_MS // 1000,
}

log = logging.getLogger("scheduler.web")


class FlowControlKeys:
    """Views of flow-control keys. `owner` is the owner that the token identifies."""

    def __init__(self, services: Services) -> None:
        self._flow_keys = services.flow_keys
        self._holding = services.holding
        self._max_parallelism = services.settings.caps.tenant

    @documented(
        query=response_schemas.SearchQuery,
        response=array_of(response_schemas.FlowControl),
        success="The keys",
        errors=(400,),
    )
    def all(self, owner: Owner) -> Response:
        """List the keys in use, or only the keys that contain the search text."""
        search = read_search(read_query(read_parameters(request.environ)))
        flows = self._flow_keys.all_of(owner)
        return responses.respond(
            [_render(flow) for flow in flows if search in flow.key]
        )

    @documented(response=response_schemas.FlowControl, errors=(400, 404))
    def get(self, owner: Owner, key: str) -> Response:
        """Get the limits and the state of a key."""
        key = _read_key(read_target(request.environ, route=ROUTE).path)
        try:
            return responses.respond(_render(self._flow_keys.get(owner, key)))
        except NotFound as err:
            raise _not_found(key) from err

    @documented(response=response_schemas.Parallelism)
    def parallelism(self, owner: Owner) -> Response:
        """Get the number of the tenant's running deliveries, and the maximum number.

        If the maximum is 0, the tenant has no maximum, and only running deliveries with
        a flow-control key are counted.
        """
        if self._max_parallelism:
            running = self._flow_keys.running(owner.tenant)
        else:
            running = self._flow_keys.running_by_key(owner)
        return responses.respond(
            {"parallelismMax": self._max_parallelism, "parallelismCount": running}
        )

    @documented(success="The key is paused", errors=(400, 412))
    def pause(self, owner: Owner, key: str) -> Response:
        """Pause a key; running deliveries finish."""
        key, _ = _read(allowed=())
        paused = change(owner, "flow.pause", key)
        self._flow_keys.set_paused(owner, key, paused=True, change=paused)
        return _done("flow.paused", owner, key)

    @documented(success="The key is resumed", errors=(400, 404))
    def resume(self, owner: Owner, key: str) -> Response:
        """Resume a key; `Scheduler-Held-By` says what else holds its messages."""
        key, _ = _read(allowed=())
        gate = flow_gate(owner, key)
        first = self._holding.first_waiter(gate)
        resumed = change(owner, "flow.resume", key)
        try:
            self._flow_keys.set_paused(owner, key, paused=False, change=resumed)
        except NotFound as err:
            raise _not_found(key) from err
        held_by = self._holding.of_event(owner, first, besides=gate)
        return note_held_by(_done("flow.resumed", owner, key), held_by)

    @documented(success="The count is 0", errors=(400, 412))
    def reset_rate(self, owner: Owner, key: str) -> Response:
        """Reset the rate count of a key and start a new period."""
        key, _ = _read(allowed=())
        reset = change(owner, "flow.reset", key)
        self._flow_keys.reset_rate(owner, key, change=reset)
        return _done("flow.reset", owner, key)

    @documented(
        query=response_schemas.PinQuery,
        success="The limits are pinned",
        errors=(400, 412),
    )
    def pin(self, owner: Owner, key: str) -> Response:
        """Pin limits of a key, so that messages cannot change these limits."""
        key, parameters = _read(allowed=LIMITS)
        limits = read_limits(parameters, LIMITS)
        if limits["parallelism"] is None and limits["rate"] is None:
            raise BadValue("parallelism", "or rate should be given")
        if limits["period"] is not None and limits["rate"] is None:
            raise BadValue("period", "should be given together with rate")
        period_s = limits["period"]
        self._flow_keys.pin(
            owner,
            key,
            parallelism=limits["parallelism"],
            rate=limits["rate"],
            period_ms=None if period_s is None else period_s * 1000,
            change=change(owner, "flow.pin", key),
        )
        return _done("flow.pinned", owner, key)

    @documented(
        query=response_schemas.UnpinQuery,
        success="The limits are not pinned any more",
        errors=(400, 412),
    )
    def unpin(self, owner: Owner, key: str) -> Response:
        """Unpin limits of a key, so that messages can change these limits again."""
        key, parameters = _read(allowed=PINNED)
        flags = read_flags(parameters, PINNED)
        unpinned = change(owner, "flow.unpin", key)
        self._flow_keys.unpin(owner, key, **flags, change=unpinned)
        return _done("flow.unpinned", owner, key)


def _read(*, allowed: Collection[str]) -> tuple[str, Parameters]:
    """Return the key, without the action after it in the path, and the parameters."""
    path, _, _ = read_target(request.environ, route=ROUTE).path.rpartition("/")
    parameters = read_query(read_parameters(request.environ))
    check_names(parameters, allowed)
    return _read_key(path), parameters


def _done(event: str, owner: Owner, key: str) -> Response:
    log.info(logfmt.line(event, owner=owner, key=key))
    return responses.empty()


def _not_found(key: str) -> NotFound:
    return NotFound(f"flow control key {key[:80]} not found")


def _read_key(path: str) -> str:
    key = unquote(path)
    if not key:
        raise BadValue(KEY, "is missing")
    return read_text(key, KEY)


def _render(flow: Flow) -> Json:
    """Return a key as JSON.

    A limit that is not set is 0. Without a rate limit, the count and the period of the
    rate are 0 too.
    """
    limited = flow.rate > 0
    return {
        "flowControlKey": flow.key,
        "waitListSize": flow.waiting,
        "parallelismMax": flow.parallelism,
        "parallelismCount": flow.running,
        "rateMax": flow.rate,
        "rateCount": flow.begun if limited else 0,
        "ratePeriod": flow.period_ms // 1000 if limited else 0,
        "ratePeriodStart": flow.since_ms // 1000 if limited else 0,
        "isPaused": flow.paused,
        "isPinnedParallelism": flow.pinned_parallelism,
        "isPinnedRate": flow.pinned_rate,
    }
