"""The routes of the QStash dialect, and how its errors look."""

from flask import Blueprint, Response, request
from flask.blueprints import BlueprintSetupState
from functools import partial
from scheduler_api.auth import Unauthorized, bearer_token
from scheduler_api.core.errors import LimitReached, NotFound
from scheduler_api.core.model import Owner
from scheduler_api.core.settings.limits import OwnerLimits
from scheduler_api.dialects.qstash.endpoints.dlq import DeadLetterQueue
from scheduler_api.dialects.qstash.endpoints.flow_control import FlowControlKeys
from scheduler_api.dialects.qstash.endpoints.logs import Logs
from scheduler_api.dialects.qstash.endpoints.messages import Messages
from scheduler_api.dialects.qstash.endpoints.publish import Publishing
from scheduler_api.dialects.qstash.endpoints.queues import Queues
from scheduler_api.dialects.qstash.endpoints.schedules import Scheduling
from scheduler_api.dialects.qstash.endpoints.signing_keys import Keys
from scheduler_api.dialects.qstash.endpoints.url_groups import UrlGroups
from scheduler_api.dialects.qstash.parsing import requests
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.targets import TOKEN
from scheduler_api.dialects.qstash.rendering import compatibility, quota_errors
from scheduler_api.dialects.qstash.rendering.response_schemas import Error
from scheduler_api.dialects.qstash.settings import QstashSettings
from scheduler_api.services import Services
from scheduler_api.web.documented import Document
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.routes import Route, View, add_routes
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
        "destination": "A URL as it is, not encoded, or the name of a url group",
        "key": "A flow-control key, encoded or as it is",
    },
)
INTERNAL_ERROR = "internal server error"
NOT_FOUND = "not found"
UNAUTHORIZED = "Authorization should be Bearer and a token of this server"


class Rest(BaseConverter):
    """Whatever stands at the end of a path, slashes and line breaks included.

    It is a destination, which is read from the raw target: here it is only noticed, and
    so kept out of logs, since many a webhook's address is its secret.
    """

    regex = r"[\s\S]+"
    part_isolating = False

    def to_python(self, value: str) -> str:
        """Nothing of it."""
        return ""

    # Every rule with more to say goes first.
    weight = 200


class Key(Rest):
    """A flow-control key before the end of a path, or nothing."""

    regex = r"[\s\S]*"
    part_isolating = False


def blueprint(services: Services) -> Blueprint:
    """All routes; collections with and without a slash at their end."""
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
        ("POST", "/batch", "batch", publishing.batch),
        ("GET", "/messages/<message_id>", "get_message", messages.get),
        ("DELETE", "/messages/<message_id>", "cancel_message", messages.cancel),
        ("DELETE", "/messages", "cancel_messages", messages.cancel_many),
        ("GET", "/logs", "list_logs", journal.select),
        ("GET", "/events", "list_events", journal.select),
        ("GET", "/keys", "get_keys", keys.get),
        ("POST", "/keys/rotate", "rotate_keys", keys.rotate),
        *_of_schedules(Scheduling(services)),
        *_of_topics(UrlGroups(services)),
        *_of_dlq(DeadLetterQueue(services)),
        *_of_queues(Queues(services)),
        *_of_flow_control(FlowControlKeys(services)),
    ]
    add_routes(routes, table, wrapper=partial(_with_owner, services))
    routes.register_error_handler(Refusal, _refusal)
    routes.register_error_handler(BadValue, _bad_value)
    routes.register_error_handler(LimitReached, partial(_limit_reached, limits))
    routes.register_error_handler(NotFound, _not_found)
    routes.register_error_handler(Unauthorized, _unauthorized)
    return routes


def _of_schedules(schedules: Scheduling) -> list[Route]:
    one = "/schedules/<schedule_id>"
    table: list[Route] = [
        ("POST", "/schedules/<rest:destination>", "schedule", schedules.create),
        ("GET", "/schedules", "list_schedules", schedules.all),
        ("GET", one, "get_schedule", schedules.get),
        ("DELETE", one, "delete_schedule", schedules.delete),
        ("POST", f"{one}/run", "run_schedule", schedules.run),
        ("GET", f"{one}/runs", "list_runs", schedules.runs),
    ]
    # The SDKs send one of these, the docs tell the other.
    for method in ("PATCH", "POST"):
        by = method.lower()
        table += [
            (method, f"{one}/pause", f"{by}_pause_schedule", schedules.pause),
            (method, f"{one}/resume", f"{by}_resume_schedule", schedules.resume),
        ]
    return table


def _of_topics(topics: UrlGroups) -> list[Route]:
    one = "/topics/<name>"
    return [
        ("GET", "/topics", "list_topics", topics.all),
        ("GET", one, "get_topic", topics.get),
        ("PATCH", one, "configure_topic", topics.configure),
        ("DELETE", one, "delete_topic", topics.delete),
        ("POST", f"{one}/endpoints", "add_endpoints", topics.add),
        ("DELETE", f"{one}/endpoints", "remove_endpoints", topics.remove),
    ]


def _of_dlq(dlq: DeadLetterQueue) -> list[Route]:
    one = "/dlq/<letter_id>"
    return [
        ("GET", "/dlq", "list_dlq", dlq.all),
        ("DELETE", "/dlq", "delete_dlq", dlq.delete_many),
        ("GET", one, "get_letter", dlq.get),
        ("DELETE", one, "delete_letter", dlq.delete),
        ("POST", "/dlq/retry", "retry_dlq", dlq.retry_many),
        ("POST", "/dlq/retry/<letter_id>", "retry_letter", dlq.retry),
    ]


def _of_queues(queues: Queues) -> list[Route]:
    one = "/queues/<name>"
    return [
        ("POST", "/queues", "put_queue", queues.put),
        ("GET", "/queues", "list_queues", queues.all),
        ("GET", one, "get_queue", queues.get),
        ("DELETE", one, "delete_queue", queues.delete),
        ("POST", f"{one}/pause", "pause_queue", queues.pause),
        ("POST", f"{one}/resume", "resume_queue", queues.resume),
    ]


def _of_flow_control(keys: FlowControlKeys) -> list[Route]:
    # Without a key one is missing, but the route is the same.
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
    """Return an error; a 404 says so if the hosted service has that path."""
    absent = compatibility.unsupported(request.path) if status == 404 else None
    return requests.error(status, absent or message)


def internal_error(_endpoint: str | None) -> str:
    """The message for a fault of ours."""
    return INTERNAL_ERROR


def _add_converter(state: BlueprintSetupState) -> None:
    state.app.url_map.converters |= {"rest": Rest, "key": Key}


def _with_owner(services: Services, view: View, **in_path: str) -> Response:
    tenant = services.auth.tenant(_token())
    return view(Owner(tenant.id, DIALECT), **in_path)


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


def _unauthorized(_err: Unauthorized) -> Response:
    return error(401, UNAUTHORIZED)


def _not_found(err: NotFound) -> Response:
    return error(404, str(err) or NOT_FOUND)
