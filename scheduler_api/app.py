"""The web process: a Flask application that serves all dialects."""

import logging
import os
import redis
import sys
from collections.abc import Sequence
from flask import Flask, Response, request
from functools import partial
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from scheduler_api import services
from scheduler_api.auth import Forbidden, Unauthorized
from scheduler_api.core import logfmt
from scheduler_api.core.errors import (
    Conflict,
    ForeignDatabase,
    LimitReached,
    StoreFull,
    StoreLost,
    UnfitStore,
    UnknownLayout,
)
from scheduler_api.core.store import fitness
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.confirmation import Confirmation
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.epoch import EpochWatch, claim_database
from scheduler_api.core.store.processes import SignOfLife
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.core.tenants.limits import TooManyRequests
from scheduler_api.dialects import outbound
from scheduler_api.dialects.inbound import DEFAULT, DIALECTS, Api
from scheduler_api.failed_logins import TooManyFailedLogins
from scheduler_api.settings import Settings, from_env
from scheduler_api.web import (
    allowed_hosts,
    cron_preview,
    durability,
    full_store,
    http_errors,
    openapi,
    readiness,
    tenant_limits,
)
from scheduler_api.web.access import require_operator
from scheduler_api.web.client_address import ClientAddresses, is_from_loopback
from werkzeug.exceptions import HTTPException, MethodNotAllowed

APIS: tuple[Api, ...] = (*DIALECTS, cron_preview)

# One byte of an event's body can take six bytes in JSON. For example, JSON writes the
# control character 31 as `\u001f`.
JSON_OVERHEAD = 6
# The maximum size of all other fields of a request together.
OTHER_FIELDS_BYTES = 65_536

# If a worker exits with this code, gunicorn stops. After any other code, gunicorn
# starts a new worker.
BOOT_FAILED = 3

RETRY_AFTER_S = 1
STORE_UNREACHABLE = "The store is not available, please try again"
STORE_LOST = (
    "The store has lost its data; an operator must restore it, or accept the store"
)
HEALTH = ("/healthz", "/readyz")
STORE_FULL = "The store is full, please try again later"
BUSY = "Other requests keep changing the same record, please try again"
LEADING_SLASHES = (
    "Not Found: the path begins with two slashes; give clients the URL of this server"
    " without a slash at its end"
)
UNAUTHORIZED = "Please provide a valid API key"
# Redis replies with these error codes if it cannot serve requests at the moment.
UNAVAILABLE = ("LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY")

log = logging.getLogger("scheduler.web")


def create_app(settings: Settings | None = None) -> Flask:
    """Create the application.

    Without `settings`, start a web process: read the settings from the environment, set
    up logging, and check the store.

    Raises:
        SettingsError: a setting in the environment is wrong.
        SystemExit: the store belongs to another cell, has the layout of another
            version, or contains secrets encrypted with another SECRET_KEY.
    """
    is_process = settings is None
    if settings is None:
        settings = from_env(os.environ)
        logfmt.set_up(level=settings.log_level, format_=settings.log_format)
        log.info(logfmt.line("web.started", **settings.non_defaults()))
    built = services.build(settings, remembers=is_process)
    if is_process:
        _check_store(built)
    app = Flask(__name__)
    app.url_map.merge_slashes = False
    if settings.trusted_proxies:
        proxies = settings.trusted_proxies
        app.wsgi_app = ClientAddresses(  # type: ignore[method-assign]
            app.wsgi_app, trusted=proxies
        )
    app.config["MAX_CONTENT_LENGTH"] = (
        settings.body_limit_bytes * JSON_OVERHEAD + OTHER_FIELDS_BYTES
    )
    for api in APIS:
        app.register_blueprint(api.blueprint(built))
    documents = [dialect.DOCUMENT for dialect in DIALECTS]
    app.register_blueprint(openapi.blueprint(documents))
    _add_health(app, built)
    app.extensions[http_errors.EXTENSION] = _error_at
    if settings.allowed_hosts:
        hosts = (*settings.allowed_hosts, settings.host.lower())
        app.before_request(partial(_refuse_other_sites, hosts))
    app.before_request(_refuse_leading_slashes)
    app.before_request(lambda: _refuse_if_lost(built.watch))
    durability.confirm_writes(
        app,
        Confirmation(
            settings.redis_url, settings.prefix, max_connections=services.CONNECTIONS
        ),
        default=settings.wait_for,
        error=lambda status, message: _error_at(request.path, status, message),
    )
    _add_error_handlers(app)
    return app


def _check_store(built: services.Services) -> None:
    """End the process if the store is unfit for the cell, this version or SECRET_KEY.

    If the store is unreachable, log a warning; `/readyz` then reports the fault.
    """
    try:
        for warning in fitness.check(built.cell.client, built.settings):
            log.warning(logfmt.line("store.doubtful", problem=warning))
        claim_database(built.cell.client, built.cell.prefix)
        built.tenants.check_key()
    except (WrongSecretKey, ForeignDatabase, UnknownLayout, UnfitStore) as err:
        log.critical(logfmt.line("store.unfit", problem=str(err) or err.__doc__))
        sys.exit(BOOT_FAILED)
    except redis.RedisError as err:
        log.warning(logfmt.line("store.unreachable", problem=err))


def _add_error_handlers(app: Flask) -> None:
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


def _refuse_leading_slashes() -> Response | None:
    """Refuse a path that starts with `//`.

    The router would otherwise ignore the second slash.
    """
    if request.environ.get("PATH_INFO", "").startswith("//"):
        return _error(404, LEADING_SLASHES)
    return None


def _refuse_if_lost(watch: EpochWatch) -> None:
    """Refuse all requests but those for the health of the process.

    A lost store does not know any token.
    """
    if watch.is_lost and request.path not in HEALTH:
        raise StoreLost


def _refuse_other_sites(allowed: Sequence[str]) -> Response | None:
    reason = allowed_hosts.refusal(request, allowed)
    return None if reason is None else _error(403, reason)


def _add_health(app: Flask, built: services.Services) -> None:
    settings = built.settings
    client = connect(settings.redis_url, timeout_s=services.TIMEOUT_S)
    cell = Cell(client, settings.prefix)
    sign = SignOfLife(cell, "web", settings=settings.digest())
    app.extensions[readiness.EXTENSION] = sign
    cell_readiness = readiness.Readiness(
        cell,
        high_water_percent=settings.store_high_water_percent,
        stops_on_clock_step=settings.stop_on_clock_step,
        tenants=outbound.tenants(cell, settings),
        sign=sign,
        watch=built.watch,
    )
    app.extensions[readiness.WATCH] = built.watch

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        answer = cell_readiness.check()
        with_processes = bool(answer.processes) and _may_see_processes(built)
        return answer.render(with_processes=with_processes)


def _may_see_processes(built: services.Services) -> bool:
    """Whether the request comes from this machine or has an operator's token."""
    if is_from_loopback(request.environ):
        return True
    try:
        return bool(require_operator(built))
    except (Unauthorized, TooManyFailedLogins, Forbidden, StoreLost, redis.RedisError):
        return False


def _api(path: str) -> Api:
    """Return the API whose error format applies to a path."""
    for api in APIS:
        for prefix in api.PREFIXES:
            if path == prefix or path.startswith(f"{prefix}/"):
                return api
    return DEFAULT


def _error_at(path: str, status: int, message: str) -> Response:
    return _api(path).error(status, message)


def _error(status: int, message: str) -> Response:
    response = _error_at(request.path, status, message)
    if status == 503:
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _http_error(err: HTTPException) -> Response:
    response = _error(err.code or 500, _describe(err))
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
    return _error(401, UNAUTHORIZED)


def _too_many_failed_logins(err: TooManyFailedLogins) -> Response:
    response = _error(429, str(err))
    response.headers["Retry-After"] = str(err.wait_s)
    return response


def _forbidden(err: Forbidden) -> Response:
    return _error(403, str(err))


def _store_full(_err: StoreFull | OutOfMemoryError) -> Response:
    full_store.log_refused("requests")
    return _error(503, STORE_FULL)


def _store_lost(_err: StoreLost) -> Response:
    return _error(503, STORE_LOST)


def _limit_reached(err: LimitReached) -> Response:
    return _error(tenant_limits.STATUS, tenant_limits.describe(err))


def _too_many_requests(err: TooManyRequests) -> Response:
    response = _error(429, tenant_limits.describe(err))
    response.headers["Retry-After"] = str(RETRY_AFTER_S)
    return response


def _conflict(_err: Conflict) -> Response:
    return _error(503, BUSY)


def _store_unreachable(err: redis.RedisError) -> Response:
    log.warning(
        logfmt.line("store.unreachable", endpoint=request.endpoint, problem=err)
    )
    return _error(503, STORE_UNREACHABLE)


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
    return _error(500, _api(request.path).internal_error(request.endpoint))
