"""The endpoints of `/v2/flowControl`: keys that hold messages back, across their URLs.

Clients do not escape a key, which is any text, so it is read from the raw target.

Source: https://upstash.com/docs/qstash/features/flowcontrol
"""

import logging
from collections.abc import Collection
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import NotFound
from scheduler_api.core.flow_control.flow_keys import Flow
from scheduler_api.core.model import Owner
from scheduler_api.dialects.qstash.parsing.filters import (
    Parameters,
    check_names,
    read_flags,
    read_limits,
    read_query,
    read_search,
)
from scheduler_api.dialects.qstash.parsing.header_values import (
    MAX_LIMIT,
    MAX_PERIOD_MS,
    BadValue,
    check_text,
)
from scheduler_api.dialects.qstash.parsing.targets import read_target
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.documented import documented, listed
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
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(self, services: Services) -> None:
        self._flow_keys = services.flow_keys
        self._most = services.settings.caps.tenant

    @documented(
        query=response_schemas.Search,
        answer=listed(response_schemas.FlowControl),
        errors=(400,),
    )
    def all(self, owner: Owner) -> Response:
        """All keys in use, or those with a text in them."""
        sought = read_search(read_query(read_parameters(request.environ)))
        flows = self._flow_keys.all_of(owner)
        return responses.respond([_shown(each) for each in flows if sought in each.key])

    @documented(answer=response_schemas.FlowControl, errors=(400, 404))
    def get(self, owner: Owner, key: str) -> Response:
        """One key."""
        key = _read_key(read_target(request.environ, route=ROUTE).path)
        try:
            return responses.respond(_shown(self._flow_keys.get(owner, key)))
        except NotFound as err:
            raise NotFound(f"flow control key {key[:80]} not found") from err

    @documented(answer=response_schemas.Parallelism)
    def parallelism(self, owner: Owner) -> Response:
        """How many deliveries of the tenant may run at once (0: any number), and do.

        Without a limit, those under way through any key are counted.
        """
        if self._most:
            running = self._flow_keys.running(owner.tenant)
        else:
            running = self._flow_keys.running_by_key(owner)
        shown = {"parallelismMax": self._most, "parallelismCount": running}
        return responses.respond(shown)

    @documented(errors=(400, 412))
    def pause(self, owner: Owner, key: str) -> Response:
        """Lets no message of a key go; what has begun goes on."""
        key, _ = _read(known=())
        self._flow_keys.set_paused(owner, key, paused=True)
        return _done("flow.paused", owner, key)

    @documented(errors=(400, 412))
    def resume(self, owner: Owner, key: str) -> Response:
        """Lets the messages of a key go on."""
        key, _ = _read(known=())
        self._flow_keys.set_paused(owner, key, paused=False)
        return _done("flow.resumed", owner, key)

    @documented(errors=(400, 412))
    def reset_rate(self, owner: Owner, key: str) -> Response:
        """Forgets what has begun in the period of a key, which begins anew."""
        key, _ = _read(known=())
        self._flow_keys.reset_rate(owner, key)
        return _done("flow.reset", owner, key)

    @documented(query=response_schemas.Pin, errors=(400, 412))
    def pin(self, owner: Owner, key: str) -> Response:
        """Sets limits of a key that no message changes."""
        key, given = _read(known=LIMITS)
        limits = read_limits(given, LIMITS)
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
        )
        return _done("flow.pinned", owner, key)

    @documented(query=response_schemas.Unpin, errors=(400, 412))
    def unpin(self, owner: Owner, key: str) -> Response:
        """Lets the next message set limits again; until then the pinned ones stay."""
        key, given = _read(known=PINNED)
        self._flow_keys.unpin(owner, key, **read_flags(given, PINNED))
        return _done("flow.unpinned", owner, key)


def _read(*, known: Collection[str]) -> tuple[str, Parameters]:
    """The key before the last part of the path, and the parameters of the call."""
    path, _, _ = read_target(request.environ, route=ROUTE).path.rpartition("/")
    parameters = read_query(read_parameters(request.environ))
    check_names(parameters, known)
    return _read_key(path), parameters


def _done(what: str, owner: Owner, key: str) -> Response:
    log.info(logfmt.line(what, owner=owner, key=key))
    return responses.empty()


def _read_key(path: str) -> str:
    key = unquote(path)
    if not key:
        raise BadValue(KEY, "is missing")
    return check_text(key, KEY)


def _shown(flow: Flow) -> Json:
    """A limit that is not set is 0, and so is what belongs to it."""
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
