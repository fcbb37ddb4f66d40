"""The web process: a Flask application that serves all dialects."""

import logging
import os
import redis
import sys
import werkzeug
from collections.abc import Sequence
from flask import Flask, Response, request
from functools import partial
from scheduler_api import services
from scheduler_api.auth import Forbidden, Unauthorized
from scheduler_api.core import logfmt, traces
from scheduler_api.core.errors import (
    ForeignDatabase,
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
from scheduler_api.dashboard import rendering
from scheduler_api.dialects import outbound
from scheduler_api.dialects.inbound import DIALECTS
from scheduler_api.error_responses import APIS, add_error_handlers, error, error_at
from scheduler_api.failed_logins import TooManyFailedLogins
from scheduler_api.receiver import views as receiver
from scheduler_api.settings import Settings, from_env
from scheduler_api.web import (
    allowed_hosts,
    durability,
    http_errors,
    metrics,
    openapi,
    readiness,
)
from scheduler_api.web.access import require_operator
from scheduler_api.web.client_address import ClientAddresses, is_from_loopback
from scheduler_api.web.metrics_port import MetricsPort

# One byte of an event's body can take six bytes in JSON. For example, JSON writes the
# control character 31 as `\u001f`.
JSON_OVERHEAD = 6
# The maximum size of all other fields of a request together.
OTHER_FIELDS_BYTES = 65_536

# If a worker exits with this code, gunicorn stops. After any other code, gunicorn
# starts a new worker.
BOOT_FAILED = 3

HEALTH = ("/healthz", "/readyz")
LEADING_SLASHES = (
    "Not Found: the path begins with two slashes; give clients the URL of this server"
    " without a slash at its end"
)

log = logging.getLogger("scheduler.web")


def create_app(settings: Settings | None = None) -> Flask:
    """Create the application.

    Without `settings`, start a web process: read the settings from the environment, set
    up logging, and check the store.

    Raises:
        SettingsError: a setting in the environment is wrong.
        SystemExit: the store may lose what it is given, belongs to another cell, has
            the layout of another version, or contains secrets encrypted with another
            SECRET_KEY.
    """
    is_process = settings is None
    if settings is None:
        settings = from_env(os.environ)
        logfmt.set_up(level=settings.log_level, format_=settings.log_format)
        log.info(logfmt.line("web.started", **settings.non_defaults()))
    spans = traces.open_spans(are_wanted=settings.wants_traces, role="web")
    built = services.build(settings, remembers=is_process, spans=spans)
    if is_process:
        _check_store(built)
    app = Flask(__name__, static_folder=None)
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
    if settings.receiver:
        app.register_blueprint(receiver.blueprint(built))
    documents = [dialect.DOCUMENT for dialect in DIALECTS]
    app.register_blueprint(openapi.blueprint(documents))
    rendering.set_up(app, settings.environment)
    _add_health(app, built)
    app.extensions[http_errors.EXTENSION] = error_at
    if settings.allowed_hosts:
        hosts = (*settings.allowed_hosts, settings.host.lower())
        app.before_request(partial(_refuse_other_sites, hosts))
    app.extensions[traces.EXTENSION] = spans
    if spans is not None:
        app.before_request(_note_caller)
    app.before_request(_refuse_leading_slashes)
    app.before_request(lambda: _refuse_if_lost(built.watch))
    durability.confirm_writes(
        app,
        Confirmation(
            settings.store_url, settings.prefix, max_connections=services.CONNECTIONS
        ),
        default=settings.wait_for,
        error_at=error_at,
    )
    add_error_handlers(app)
    return app


def _note_caller() -> None:
    """Note the trace context of the request, for the spans of what it creates."""
    names = traces.CALLERS_HEADERS
    found = {name: request.headers[name] for name in names if name in request.headers}
    traces.CALLER.set(found)


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


def _refuse_leading_slashes() -> Response | None:
    """Refuse a path that starts with `//`.

    The router would otherwise ignore the second slash.
    """
    if request.environ.get("PATH_INFO", "").startswith("//"):
        return error(404, LEADING_SLASHES)
    return None


def _refuse_if_lost(watch: EpochWatch) -> None:
    """Refuse all requests but those for the health of the process.

    A lost store does not know any token.
    """
    if watch.is_lost and request.path not in HEALTH:
        raise StoreLost


def _refuse_other_sites(allowed: Sequence[str]) -> Response | None:
    reason = allowed_hosts.refusal(request, allowed)
    return None if reason is None else error(403, reason)


def _add_health(app: Flask, built: services.Services) -> None:
    settings = built.settings
    client = connect(settings.store_url, timeout_s=services.TIMEOUT_S)
    cell = Cell(client, settings.prefix)
    sign = SignOfLife(cell, "web", settings=settings.digest(), shared=settings.shared())
    app.extensions[readiness.EXTENSION] = sign
    cell_readiness = readiness.Readiness(
        cell,
        high_water_percent=settings.store_high_water_percent,
        stops_on_clock_step=settings.stop_on_clock_step,
        tenants=outbound.tenants(cell, settings),
        sign=sign,
        watch=built.watch,
        sends_alerts=bool(settings.alert_url),
    )
    app.extensions[readiness.WATCH] = built.watch
    app.extensions[readiness.READINESS] = cell_readiness

    @app.get("/healthz")
    def healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz")
    def readyz() -> tuple[dict[str, object], int]:
        answer = cell_readiness.check()
        with_processes = bool(answer.processes) and _may_see_processes(built)
        return answer.render(with_processes=with_processes)

    @app.get("/metrics")
    def scrape() -> werkzeug.Response:
        if not settings.receiver and not is_from_loopback(request.environ):
            require_operator(built)
        return metrics.render(built.cell, cell_readiness)

    if settings.metrics_port:
        app.wsgi_app = MetricsPort(  # type: ignore[method-assign]
            app.wsgi_app,
            port=settings.metrics_port,
            render=partial(metrics.render, built.cell, cell_readiness),
        )


def _may_see_processes(built: services.Services) -> bool:
    """Whether the request comes from this machine or has an operator's token."""
    if is_from_loopback(request.environ):
        return True
    try:
        return bool(require_operator(built))
    except (Unauthorized, TooManyFailedLogins, Forbidden, StoreLost, redis.RedisError):
        return False
