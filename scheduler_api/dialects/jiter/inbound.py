"""The routes of the Jiter dialect, and how its errors look."""

from collections.abc import Callable
from flask import Blueprint, Response, request
from functools import partial
from scheduler_api.core.model import Owner
from scheduler_api.dialects.jiter.events import Events
from scheduler_api.dialects.jiter.reading import Refused, error
from scheduler_api.services import Services

__all__ = ["blueprint", "error", "fault"]

DIALECT = "jiter"
KEY_HEADER = "x-api-key"
INTERNAL_ERROR = "Internal server error"

# What a client reads when an endpoint fails through a fault of ours.
FAULTS = {
    "create_event": "Unable to create the event",
    "get_event": "An error ocurred finding the event",
}


def blueprint(services: Services) -> Blueprint:
    """All routes; both spellings of each path, with and without a slash at its end."""
    routes = Blueprint(DIALECT, __name__, url_prefix="/api")
    events = Events(services)
    table = (
        ("POST", ("/events",), "create_event", events.create),
        ("GET", ("/events/<event_id>",), "get_event", events.get),
    )
    for method, paths, name, view in table:
        for path in paths:
            routes.add_url_rule(
                path,
                endpoint=name,
                view_func=partial(_with_owner, services, view),
                methods=[method],
                strict_slashes=False,
            )
    routes.register_error_handler(Refused, _refusal)
    return routes


def fault(endpoint: str | None) -> str:
    """The message for a fault of ours in an endpoint."""
    name = (endpoint or "").removeprefix(f"{DIALECT}.")
    return FAULTS.get(name, INTERNAL_ERROR)


def _with_owner(
    services: Services, view: Callable[..., Response], **in_path: str
) -> Response:
    tenant = services.auth.tenant(request.headers.get(KEY_HEADER))
    return view(Owner(tenant.id, DIALECT), **in_path)


def _refusal(refused: Refused) -> Response:
    return error(refused.status, refused.message)
