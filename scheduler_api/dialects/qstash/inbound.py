"""The routes and the error format of QStash."""

from flask import Blueprint, Response, request
from flask.blueprints import BlueprintSetupState
from functools import partial
from scheduler_api.auth import Unauthorized, bearer_token
from scheduler_api.core.errors import LimitReached, NotFound
from scheduler_api.core.model import Owner
from scheduler_api.core.settings.limits import OwnerLimits
from scheduler_api.core.tenants.limits import TooManyRequests
from scheduler_api.dialects.qstash.endpoints.dlq import DeadLetterQueue
from scheduler_api.dialects.qstash.endpoints.flow_control import FlowControlKeys
from scheduler_api.dialects.qstash.endpoints.logs import Logs
from scheduler_api.dialects.qstash.endpoints.messages import Messages
from scheduler_api.dialects.qstash.endpoints.publish import Publishing, no_destination
from scheduler_api.dialects.qstash.endpoints.queues import Queues
from scheduler_api.dialects.qstash.endpoints.schedules import Scheduling
from scheduler_api.dialects.qstash.endpoints.signing_keys import Keys
from scheduler_api.dialects.qstash.endpoints.url_groups import UrlGroups
from scheduler_api.dialects.qstash.fixed_words import AnyCase
from scheduler_api.dialects.qstash.parsing import requests
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.targets import TOKEN
from scheduler_api.dialects.qstash.rendering import compatibility, quota_errors
from scheduler_api.dialects.qstash.rendering.response_schemas import Error
from scheduler_api.dialects.qstash.settings import QstashSettings
from scheduler_api.services import Services
from scheduler_api.web import tenant_limits
from scheduler_api.web.access import tenant_of_request
from scheduler_api.web.documented import Document
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.routes import Route, View, add_routes
from typing import Any
from werkzeug.routing import BaseConverter

__all__ = ["DOCUMENT", "PREFIXES", "blueprint", "error", "internal_error"]

DIALECT = "qstash"
PREFIXES: tuple[str, ...] = ("/v2", "/llm")
DOCUMENT = Document(
    name="qstash",
    blueprint=DIALECT,
    title="QStash",
    version="2",
    security={
        "bearer": {"type": "http", "scheme": "bearer"},
        "token": {"type": "apiKey", "in": "query", "name": TOKEN},
    },
    error=Error,
    in_path={
        "destination": "A URL, not percent-encoded, or the name of a url group",
        "key": "A flow-control key, percent-encoded or not",
    },
    path_examples={"destination": "https://example.com/"},
)
# Where a destination belongs, but is missing.
UNADDRESSED = ("/publish", "/enqueue", "/enqueue/<queue>", "/schedules")
FREQUENT = ("/v2/publish/", "/v2/enqueue/", "/v2/batch")
INTERNAL_ERROR = "internal server error"
NOT_FOUND = "not found"
UNAUTHORIZED = "Authorization should be Bearer and a token of this server"


class Rest(BaseConverter):
    """Matches the rest of a path, including slashes and line breaks.

    The rest is a destination or a flow-control key. The view reads the rest from the
    raw request target, and gets an empty string as its argument. Arguments of views may
    be logged, but the URL of a webhook is often secret.
    """

    regex = r"[\s\S]+"
    part_isolating = False

    def to_python(self, value: str) -> str:
        """Return an empty string."""
        return ""

    # The router tries rules with a lower weight first. This weight is high, so that
    # more specific rules take precedence.
    weight = 200


class Key(Rest):
    """Matches a flow-control key in the middle of a path; the key may be empty."""

    regex = r"[\s\S]*"
    part_isolating = False


def blueprint(services: Services) -> Blueprint:
    """Return a blueprint with all routes; their paths may end with a slash."""
    routes = Blueprint(DIALECT, __name__, url_prefix="/v2")
    routes.record(_add_converter)
    limits = services.settings.of(QstashSettings).owner_limits
    publishing, messages = Publishing(services), Messages(services)
    journal, keys = Logs(services), Keys(services)
    table: list[Route] = [
        ("POST", "/publish/<rest:destination>", "publish", publishing.publish),
        (
            "POST",
            "/enqueue/<queue>/<rest:destination>",
            "enqueue",
            publishing.enqueue,
        ),
        *(("POST", path, "no_destination", no_destination) for path in UNADDRESSED),
        ("POST", "/batch", "batch", publishing.batch),
        ("GET", "/messages/<message_id>", "get_message", messages.get),
        ("DELETE", "/messages/<message_id>", "cancel_message", messages.cancel),
        ("DELETE", "/messages", "cancel_messages", messages.cancel_many),
        ("GET", "/logs", "list_logs", journal.logs),
        ("GET", "/events", "list_events", journal.events),
        ("GET", "/keys", "get_keys", keys.get),
        ("POST", "/keys/rotate", "rotate_keys", keys.rotate),
        # The client for Go rotates here.
        ("POST", "/rotate", "rotate_keys", keys.rotate),
        *_schedule_routes(Scheduling(services)),
        *_url_group_routes(UrlGroups(services)),
        *_dlq_routes(DeadLetterQueue(services)),
        *_queue_routes(Queues(services)),
        *_flow_control_routes(FlowControlKeys(services)),
    ]
    routes.record(partial(_accept_any_case, [path for _, path, _, _ in table]))
    add_routes(routes, table, wrapper=partial(_with_owner, services))
    routes.register_error_handler(Refusal, _refusal)
    routes.register_error_handler(BadValue, _bad_value)
    routes.register_error_handler(LimitReached, partial(_limit_reached, limits))
    routes.register_error_handler(TooManyRequests, _too_many_requests)
    routes.register_error_handler(NotFound, _not_found)
    routes.register_error_handler(Unauthorized, _unauthorized)
    return routes


def _schedule_routes(schedules: Scheduling) -> list[Route]:
    one = "/schedules/<schedule_id>"
    table: list[Route] = [
        ("POST", "/schedules/<rest:destination>", "schedule", schedules.create),
        ("GET", "/schedules", "list_schedules", schedules.all),
        ("GET", one, "get_schedule", schedules.get),
        ("DELETE", one, "delete_schedule", schedules.delete),
        ("POST", f"{one}/run", "run_schedule", schedules.run),
        ("GET", f"{one}/runs", "list_runs", schedules.runs),
    ]
    # The SDKs send PATCH, but the documentation of QStash says POST: accept both.
    for method in ("PATCH", "POST"):
        verb = method.lower()
        table += [
            (method, f"{one}/pause", f"{verb}_pause_schedule", schedules.pause),
            (method, f"{one}/resume", f"{verb}_resume_schedule", schedules.resume),
        ]
    return table


def _url_group_routes(url_groups: UrlGroups) -> list[Route]:
    one = "/topics/<name>"
    return [
        ("GET", "/topics", "list_topics", url_groups.all),
        ("GET", one, "get_topic", url_groups.get),
        ("PATCH", one, "configure_topic", url_groups.configure),
        ("DELETE", one, "delete_topic", url_groups.delete),
        ("POST", f"{one}/endpoints", "add_endpoints", url_groups.add),
        ("DELETE", f"{one}/endpoints", "remove_endpoints", url_groups.remove),
    ]


def _dlq_routes(dlq: DeadLetterQueue) -> list[Route]:
    one = "/dlq/<letter_id>"
    return [
        ("GET", "/dlq", "list_dlq", dlq.all),
        ("DELETE", "/dlq", "delete_dlq", dlq.delete_many),
        ("GET", one, "get_letter", dlq.get),
        ("DELETE", one, "delete_letter", dlq.delete),
        ("POST", "/dlq/retry", "retry_dlq", dlq.retry_many),
        ("POST", "/dlq/retry/<letter_id>", "retry_letter", dlq.retry),
    ]


def _queue_routes(queues: Queues) -> list[Route]:
    one = "/queues/<name>"
    return [
        ("POST", "/queues", "put_queue", queues.put),
        ("GET", "/queues", "list_queues", queues.all),
        ("GET", one, "get_queue", queues.get),
        ("DELETE", one, "delete_queue", queues.delete),
        ("POST", f"{one}/pause", "pause_queue", queues.pause),
        ("POST", f"{one}/resume", "resume_queue", queues.resume),
    ]


def _flow_control_routes(keys: FlowControlKeys) -> list[Route]:
    # The rule also matches an empty key, for which the view returns an error.
    one = "/flowControl/<key:key>"
    return [
        ("GET", "/flowControl", "list_flows", keys.all),
        ("GET", "/flowControl/<rest:key>", "get_flow", keys.get),
        ("GET", "/globalParallelism", "parallelism", keys.parallelism),
        ("POST", f"{one}/pause", "pause_flow", keys.pause),
        ("POST", f"{one}/resume", "resume_flow", keys.resume),
        ("POST", f"{one}/pin", "pin_flow", keys.pin),
        ("POST", f"{one}/unpin", "unpin_flow", keys.unpin),
        ("POST", f"{one}/resetRate", "reset_flow", keys.reset_rate),
    ]


def error(status: int, message: str) -> Response:
    """Return an error response.

    A 404 says if only the hosted service has the path, or what is wrong with it.
    """
    reason = compatibility.not_found_reason(request.path) if status == 404 else None
    return requests.error(status, reason or message)


def internal_error(_endpoint: str | None) -> str:
    """Return the message of a 500 response."""
    return INTERNAL_ERROR


def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters |= {"rest": Rest, "key": Key}


def _accept_any_case(paths: list[str], state: BlueprintSetupState) -> None:
    app: Any = state.app
    app.wsgi_app = AnyCase(app.wsgi_app, prefix="/v2", paths=paths, frequent=FREQUENT)


def _with_owner(services: Services, view: View, **in_path: str) -> Response:
    tenant = tenant_of_request(services, _token(), view)
    return view(Owner(tenant, DIALECT), **in_path)


def _token() -> str | None:
    token = bearer_token(request.headers.get("Authorization", ""))
    if token is not None:
        return token
    return dict(read_parameters(request.environ)).get(TOKEN)


def _refusal(refusal: Refusal) -> Response:
    return error(refusal.status, str(refusal))


def _bad_value(err: BadValue) -> Response:
    return error(400, str(err))


def _limit_reached(limits: OwnerLimits, err: LimitReached) -> Response:
    return error(quota_errors.STATUS, quota_errors.describe(str(err), limits))


def _too_many_requests(err: TooManyRequests) -> Response:
    response = error(429, tenant_limits.describe(err))
    response.headers["Burst-RateLimit-Limit"] = str(err.limit)
    response.headers["Burst-RateLimit-Remaining"] = "0"
    response.headers["Burst-RateLimit-Reset"] = str(tenant_limits.reset_s(err))
    response.headers["Retry-After"] = "1"
    return response


def _unauthorized(_err: Unauthorized) -> Response:
    return error(401, UNAUTHORIZED)


def _not_found(err: NotFound) -> Response:
    return error(404, str(err) or NOT_FOUND)
