"""The routes and the error format of the Jiter dialect."""

from flask import Blueprint, Response, request
from functools import partial
from scheduler_api.core.cron.expression import CronError
from scheduler_api.core.model import Owner
from scheduler_api.core.tenants.quotas import OverQuota
from scheduler_api.dialects.jiter.cronjobs import CronJobs
from scheduler_api.dialects.jiter.events import Events
from scheduler_api.dialects.jiter.parsing import error
from scheduler_api.dialects.jiter.request_schemas import BAD_EXPRESSION
from scheduler_api.dialects.jiter.response_schemas import Error
from scheduler_api.dialects.jiter.settings import JiterSettings
from scheduler_api.services import Services
from scheduler_api.web.access import tenant_of_request
from scheduler_api.web.documented import Document
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.routes import Route, View, add_routes

__all__ = ["DOCUMENT", "PREFIXES", "blueprint", "error", "internal_error"]

DIALECT = "jiter"
PREFIXES: tuple[str, ...] = ("/api",)
KEY_HEADER = "x-api-key"
DOCUMENT = Document(
    name="jiter",
    blueprint=DIALECT,
    title="Jiter",
    version="1",
    security={"key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}},
    error=Error,
    errors=(401, 403, 429, 500, 503),
)
RATE_EXCEEDED = "Too many requests, please try again in a minute"
RETRY_AFTER_S = 60
# Why an expression is not valid: the body has no place for it.
REASON_HEADER = "Scheduler-Reason"
# Jiter's documentation uses both spellings.
CRON_JOBS = ("/cronjobs", "/cronJobs")

# Messages of internal errors, by endpoint.
INTERNAL_ERRORS = {
    "create_event": "Unable to create the event",
    "get_event": "An error ocurred finding the event",
    "edit_event": "Unable to update the event",
    "replay_event": "Unable to replay the event",
    "list_events": "Unable to get events",
    "create_cron_job": "Unable to create the cron job",
    "get_cron_job": "An error ocurred finding the cron job",
    "edit_cron_job": "Unable to edit the cron job",
    "delete_cron_job": "Unable to delete the cron job",
    "list_cron_jobs": "Unable to retrieve cron jobs",
    "run_cron_job": "Unable to run the cron job",
    "list_runs": "Unable to retrieve the runs of the cron job",
}
INTERNAL_ERROR = "Internal server error"


def blueprint(services: Services) -> Blueprint:
    """Return all routes, with both spellings, with and without a trailing slash."""
    routes = Blueprint(DIALECT, __name__, url_prefix="/api")
    events, jobs = Events(services), CronJobs(services)
    table: list[Route] = [
        ("POST", "/events", "create_event", events.create),
        ("GET", "/events", "list_events", events.select),
        ("GET", "/events/<event_id>", "get_event", events.get),
        ("PUT", "/events/<event_id>", "edit_event", events.edit),
        ("POST", "/events/<event_id>/replay", "replay_event", events.replay),
    ]
    for path in CRON_JOBS:
        table += [
            ("POST", path, "create_cron_job", jobs.create),
            ("GET", path, "list_cron_jobs", jobs.all),
            ("GET", f"{path}/<cron_id>", "get_cron_job", jobs.get),
            ("PUT", f"{path}/<cron_id>", "edit_cron_job", jobs.edit),
            ("DELETE", f"{path}/<cron_id>", "delete_cron_job", jobs.delete),
            ("POST", f"{path}/<cron_id>/run", "run_cron_job", jobs.run),
            ("GET", f"{path}/<cron_id>/runs", "list_runs", jobs.runs),
        ]
    limit = services.settings.of(JiterSettings).requests_per_minute
    add_routes(routes, table, wrapper=partial(_with_owner, services, limit))
    routes.register_error_handler(Refusal, _refusal)
    routes.register_error_handler(CronError, _cron_error)
    return routes


def internal_error(endpoint: str | None) -> str:
    """Return the message of an internal error of an endpoint."""
    name = (endpoint or "").removeprefix(f"{DIALECT}.")
    return INTERNAL_ERRORS.get(name, INTERNAL_ERROR)


def _with_owner(
    services: Services, limit: int, view: View, **path_variables: str
) -> Response:
    tenant = tenant_of_request(services, request.headers.get(KEY_HEADER), view)
    owner = Owner(tenant, DIALECT)
    try:
        services.quotas.count_request(owner, limit=limit)
    except OverQuota:
        response = error(429, RATE_EXCEEDED)
        response.headers["Retry-After"] = str(RETRY_AFTER_S)
        return response
    return view(owner, **path_variables)


def _refusal(refusal: Refusal) -> Response:
    """Render a refusal; a reason besides the message goes into a header."""
    message, *reasons = refusal.messages
    response = error(refusal.status, message)
    for reason in reasons:
        text = reason.encode("ascii", "backslashreplace").decode()
        response.headers[REASON_HEADER] = text
    return response


def _cron_error(err: CronError) -> Response:
    return _refusal(Refusal(400, BAD_EXPRESSION, str(err)))
