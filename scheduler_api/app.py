"""The web process: one Flask application over all dialects."""

import logging
import os
import redis
import sys
from flask import Flask, Response, request
from redis.exceptions import OutOfMemoryError, ReadOnlyError, ResponseError
from scheduler_api import services
from scheduler_api.auth import Unauthorized
from scheduler_api.core import logfmt
from scheduler_api.core.errors import (
    Conflict,
    ForeignDatabase,
    StoreFull,
    UnknownLayout,
)
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.dialects.inbound import DEFAULT, DIALECTS, Api
from scheduler_api.settings import Settings, from_env
from scheduler_api.web import cron_preview, openapi, readiness
from scheduler_api.web.client_address import ClientAddresses
from werkzeug.exceptions import HTTPException, NotFound

APIS: tuple[Api, ...] = (*DIALECTS, cron_preview)

# In JSON one byte of a body may take six (`\u001f`); the rest is for other fields.
JSON_OVERHEAD = 6
OTHER_FIELDS_BYTES = 65_536

# gunicorn gives up at this exit code, where it would start one worker after another.
BOOT_FAILED = 3

RETRY_AFTER_S = 1
STORE_AWAY = "The store is not available, please try again"
STORE_FULL = "The store is full, please try again later"
BUSY = "Others keep changing the same record, please try again"
UNAUTHORIZED = "Please provide a valid API key"
# Answers by which a store says that it cannot serve now.
TROUBLE = ("LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "READONLY")

log = logging.getLogger("scheduler.web")


def create_app(settings: Settings | None = None) -> Flask:
    """The application; without settings it is a process of its own.

    Raises: SettingsError; SystemExit, for such a process, if the store belongs to
        another cell, has another version's layout, or another SECRET_KEY.
    """
    is_process = settings is None
    if settings is None:
        settings = from_env(os.environ)
        logfmt.set_up()
        log.info(logfmt.line("web.started", settings=settings.log_line()))
    built = services.build(settings)
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
    app.before_request(_refuse_leading_slashes)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Unauthorized, _unauthorized)
    app.register_error_handler(StoreFull, _store_full)
    app.register_error_handler(Conflict, _conflict)
    app.register_error_handler(redis.ConnectionError, _store_away)
    app.register_error_handler(redis.TimeoutError, _store_away)
    app.register_error_handler(ResponseError, _store_error)
    app.register_error_handler(Exception, _fault)
    return app


def _check_store(built: services.Services) -> None:
    """Ends the process if the store answers and is not for this cell and version.

    A store that is away is asked by `/readyz` later.
    """
    try:
        claim_database(built.cell.client, built.cell.prefix)
        built.tenants.check_key()
    except (WrongSecretKey, ForeignDatabase, UnknownLayout) as err:
        log.critical(str(err) or err.__doc__)
        sys.exit(BOOT_FAILED)
    except redis.RedisError as err:
        log.warning(logfmt.line("store.unreachable", problem=err))


def _refuse_leading_slashes() -> None:
    """A route has one spelling; the router would pass over slashes in front of it."""
    if request.environ.get("PATH_INFO", "").startswith("//"):
        raise NotFound


def _add_health(app: Flask, built: services.Services) -> None:
    cell = readiness.Readiness(built.cell, tenants=built.tenants)

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        missing = cell.missing()
        if missing:
            return {"status": "unavailable", "missing": missing}, 503
        return {"status": "ok"}, 200


def _api() -> Api:
    """Return the API that formats errors on this path."""
    for api in APIS:
        for prefix in api.PREFIXES:
            if request.path == prefix or request.path.startswith(f"{prefix}/"):
                return api
    return DEFAULT


def _error(status: int, message: str) -> Response:
    answer = _api().error(status, message)
    if status == 503:
        answer.headers["Retry-After"] = str(RETRY_AFTER_S)
    return answer


def _http_error(err: HTTPException) -> Response:
    answer = _error(err.code or 500, err.name)
    for name, value in err.get_headers():
        if name.lower() not in ("content-type", "content-length"):
            answer.headers[name] = value
    return answer


def _unauthorized(_err: Unauthorized) -> Response:
    return _error(401, UNAUTHORIZED)


def _store_full(_err: StoreFull) -> Response:
    return _error(503, STORE_FULL)


def _conflict(_err: Conflict) -> Response:
    return _error(503, BUSY)


def _store_away(err: redis.RedisError) -> Response:
    log.warning(
        logfmt.line("store.unreachable", endpoint=request.endpoint, problem=err)
    )
    return _error(503, STORE_AWAY)


def _store_error(err: ResponseError) -> Response:
    if isinstance(err, (OutOfMemoryError, ReadOnlyError)):
        return _store_away(err)
    if str(err).startswith(TROUBLE):
        return _store_away(err)
    return _fault(err)


def _fault(err: Exception) -> Response:
    """Answer 500 with the endpoint's message, and log the ids in the path."""
    ids = request.view_args or {}
    log.error(logfmt.line("web.fault", endpoint=request.endpoint, **ids), exc_info=err)
    return _error(500, _api().internal_error(request.endpoint))
