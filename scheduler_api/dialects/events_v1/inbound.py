"""The routes and the error format of Scheduler v1."""

from flask import Blueprint, Response, request
from functools import partial
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.errors import LimitReached, NotFound
from scheduler_api.core.model import Owner
from scheduler_api.dialects.events_v1.applications import Applications
from scheduler_api.dialects.events_v1.attempts import Attempts
from scheduler_api.dialects.events_v1.events import Events
from scheduler_api.dialects.events_v1.parsing import error
from scheduler_api.dialects.events_v1.request_schemas import BAD_EXPRESSION
from scheduler_api.dialects.events_v1.response_schemas import Error
from scheduler_api.dialects.events_v1.runs import Runs
from scheduler_api.services import Services
from scheduler_api.web import tenant_limits
from scheduler_api.web.access import tenant_of_request
from scheduler_api.web.documented import Document
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.routes import Route, View, add_routes

__all__ = ["DOCUMENT", "PREFIXES", "blueprint", "error", "internal_error"]

DIALECT = "events_v1"
PREFIXES: tuple[str, ...] = ("/v1",)
KEY_HEADER = "x-api-key"
DOCUMENT = Document(
    name="v1",
    blueprint=DIALECT,
    title="Scheduler v1",
    version="1",
    security={"key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}},
    error=Error,
)
INTERNAL_ERROR = "Internal server error"
NOT_FOUND = "Event not found"
# The documentation of Scheduler v1 uses both spellings.
EVENT_PATHS = ("/event/<event_id>", "/events/<event_id>")


def blueprint(services: Services) -> Blueprint:
    """Return all routes, with both spellings, with and without a trailing slash."""
    routes = Blueprint(DIALECT, __name__, url_prefix="/v1")
    events, applications = Events(services), Applications(services)
    attempts, runs = Attempts(services), Runs(services)
    table: list[Route] = [
        ("POST", "/events", "create_event", events.create),
        ("GET", "/events", "list_events", events.select),
        ("GET", "/failures", "list_failures", attempts.failures),
        ("GET", "/keys", "show_keys", applications.keys),
    ]
    for path in EVENT_PATHS:
        table += [
            ("GET", path, "get_event", events.get),
            ("PATCH", path, "edit_event", events.edit),
            ("DELETE", path, "delete_event", events.delete),
            ("POST", f"{path}/pause", "pause_event", events.pause),
            ("POST", f"{path}/resume", "resume_event", events.resume),
            ("POST", f"{path}/run", "run_event", runs.run),
            ("GET", f"{path}/runs", "list_runs", runs.newest),
            ("GET", f"{path}/attempts", "list_attempts", attempts.of_event),
            (
                *("POST", f"{path}/attempts/<attempt_id>/replay"),
                *("replay_attempt", attempts.replay),
            ),
        ]
    add_routes(routes, table, wrapper=partial(_with_owner, services))
    register: Route = ("POST", "/register", "register", applications.register)
    add_routes(routes, [register], wrapper=_without_owner)
    routes.register_error_handler(Refusal, _refusal)
    routes.register_error_handler(CronError, _cron_error)
    routes.register_error_handler(LimitReached, _limit_reached)
    routes.register_error_handler(NotFound, _not_found)
    return routes


def internal_error(_endpoint: str | None) -> str:
    """Return the message of an internal error."""
    return INTERNAL_ERROR


def _with_owner(services: Services, view: View, **path_variables: str) -> Response:
    tenant = tenant_of_request(services, request.headers.get(KEY_HEADER), view)
    return view(Owner(tenant, DIALECT), **path_variables)


def _without_owner(view: View) -> Response:
    return view()


def _refusal(refusal: Refusal) -> Response:
    """Render a refusal: a 400 with a list of messages, other statuses with a text."""
    is_list = refusal.status == 400
    return error(refusal.status, refusal.messages if is_list else str(refusal))


def _cron_error(err: CronError) -> Response:
    return error(400, [BAD_EXPRESSION.format("interval"), str(err)])


def _limit_reached(err: LimitReached) -> Response:
    return error(tenant_limits.STATUS, [tenant_limits.describe(err)])


def _not_found(_err: NotFound) -> Response:
    return error(404, NOT_FOUND)
