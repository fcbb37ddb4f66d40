"""Turns errors into responses, in the format of the API that was called."""

import logging
import redis
from flask import Flask, Response, request
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from scheduler_api.auth import Forbidden, Unauthorized
from scheduler_api.core import logfmt
from scheduler_api.core.errors import Conflict, LimitReached, StoreFull, StoreLost
from scheduler_api.core.tenants.limits import TooManyRequests
from scheduler_api.dashboard import routes as dashboard
from scheduler_api.dialects.inbound import DEFAULT, DIALECTS, Api
from scheduler_api.failed_logins import TooManyFailedLogins
from scheduler_api.receiver import views as receiver
from scheduler_api.web import cron_preview, full_store, tenant_limits
from werkzeug.exceptions import HTTPException, MethodNotAllowed

# The APIs that are always served.
APIS: tuple[Api, ...] = (*DIALECTS, cron_preview, dashboard)
FORMATS: tuple[Api, ...] = (*APIS, receiver)

RETRY_AFTER_S = 1
STORE_UNREACHABLE = "The store is not available, please try again"
STORE_LOST = (
    "The store has lost its data; an operator must restore it, or accept the store"
)
STORE_FULL = "The store is full, please try again later"
BUSY = "Other requests keep changing the same record, please try again"
UNAUTHORIZED = "Please provide a valid API key"
# Redis replies with these error codes if it cannot serve requests at the moment.
UNAVAILABLE = ("LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY")

log = logging.getLogger("scheduler.web")


def add_error_handlers(app: Flask) -> None:
    """Let the application answer all errors in the format of the API at the path."""
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Unauthorized, _unauthorized)
    app.register_error_handler(TooManyFailedLogins, _too_many_failed_logins)
    app.register_error_handler(Forbidden, _forbidden)
    app.register_error_handler(StoreFull, _store_full)
    app.register_error_handler(StoreLost, _store_lost)
    app.register_error_handler(Conflict, _conflict)
    app.register_error_handler(LimitReached, _limit_reached)
    app.register_error_handler(TooManyRequests, _too_many_requests)
    app.register_error_handler(redis.ConnectionError, _store_unreachable)
    app.register_error_handler(redis.TimeoutError, _store_unreachable)
    app.register_error_handler(ResponseError, _store_error)
    app.register_error_handler(Exception, _internal_error)


def _api(path: str) -> Api:
    """Return the API whose error format applies to a path."""
    for api in FORMATS:
        for prefix in api.PREFIXES:
            if path == prefix or path.startswith(f"{prefix}/"):
                return api
    return DEFAULT


def error_at(path: str, status: int, message: str) -> Response:
    """Return an error response in the format of the API at a path."""
    return _api(path).error(status, message)


def error(status: int, message: str) -> Response:
    """Return an error response to the current request."""
    response = error_at(request.path, status, message)
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _http_error(err: HTTPException) -> Response:
    response = error(err.code or 500, _describe(err))
    for name, value in err.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            response.headers[name] = value
    return response


def _describe(err: HTTPException) -> str:
    """Return the name of an error, for a 405 also the methods that are allowed."""
    if not isinstance(err, MethodNotAllowed) or not err.valid_methods:
        return err.name
    methods = sorted(set(err.valid_methods) - {"HEAD", "OPTIONS"})
    return f"{err.name}: use {' or '.join(methods)}"


def _unauthorized(_err: Unauthorized) -> Response:
    return error(401, UNAUTHORIZED)


def _too_many_failed_logins(err: TooManyFailedLogins) -> Response:
    response = error(429, str(err))
    response.headers["Retry-After"] = str(err.wait_s)
    return response


def _forbidden(err: Forbidden) -> Response:
    return error(403, str(err))


def _store_full(_err: StoreFull | OutOfMemoryError) -> Response:
    full_store.log_refused("requests")
    return error(503, STORE_FULL)


def _store_lost(_err: StoreLost) -> Response:
    return error(503, STORE_LOST)


def _limit_reached(err: LimitReached) -> Response:
    return error(tenant_limits.STATUS, tenant_limits.describe(err))


def _too_many_requests(err: TooManyRequests) -> Response:
    response = error(429, tenant_limits.describe(err))
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _conflict(_err: Conflict) -> Response:
    return error(503, BUSY)


def _store_unreachable(err: redis.RedisError) -> Response:
    log.warning(
        logfmt.line("store.unreachable", endpoint=request.endpoint, problem=err)
    )
    return error(503, STORE_UNREACHABLE)


def _store_error(err: ResponseError) -> Response:
    if isinstance(err, OutOfMemoryError):
        return _store_full(err)
    if isinstance(err, ReadOnlyError):
        return _store_unreachable(err)
    if str(err).startswith(UNAVAILABLE):
        return _store_unreachable(err)
    return _internal_error(err)


def _internal_error(err: Exception) -> Response:
    """Return a response with status 500; log the error and the ids in the path."""
    fields = {**(request.view_args or {}), "endpoint": request.endpoint}
    log.error(logfmt.line("web.fault", **fields), exc_info=err)
    return error(500, _api(request.path).internal_error(request.endpoint))
