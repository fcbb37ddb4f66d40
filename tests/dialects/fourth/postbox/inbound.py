"""The routes of Postbox: they create, read, edit, cancel and resend events."""

from flask import Blueprint, Response, jsonify, request
from functools import partial
from marshmallow import Schema, ValidationError, fields
from scheduler_api.core.delivery.destinations import (
    AddressPolicy,
    BadDestination,
)
from scheduler_api.core.errors import NotFinished, NotFound, NotPending
from scheduler_api.core.model import Content, Draft, Event, Owner
from scheduler_api.core.recovery.replays import replay
from scheduler_api.dialects.postbox.settings import PostboxSettings
from scheduler_api.services import Services
from scheduler_api.web.access import tenant_of_request
from scheduler_api.web.documented import Document, documented
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.request_body import read_body
from scheduler_api.web.routes import Route, View, add_routes

DIALECT = "postbox"
PREFIXES: tuple[str, ...] = ("/postbox",)
KEY_HEADER = "x-postbox-key"


class NewMemo(Schema):
    """The body of a request that creates or edits an event."""

    to = fields.String(required=True)
    text = fields.String()
    delay_ms = fields.Integer()


class Postbox(Schema):
    """The body of a successful response."""

    id = fields.String(required=True)
    to = fields.String(required=True)
    state = fields.String(required=True)


class Error(Schema):
    """The body of an error response."""

    error = fields.String(required=True)


DOCUMENT = Document(
    name="postbox",
    blueprint=DIALECT,
    title="Postbox",
    version="1",
    security={"key": {"type": "apiKey", "in": "header", "name": KEY_HEADER}},
    error=Error,
)


class Memos:
    """Views of events. The key in a request identifies the `owner`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._timeout_ms = services.settings.of(PostboxSettings).timeout_ms
        self._policy = AddressPolicy.of(services.settings)

    @documented(body=NewMemo, response=Postbox, statuses=(201,), errors=(400, 413))
    def create(self, owner: Owner) -> Response:
        """Create an event."""
        memo = self._load()
        content = Content(memo["to"], memo["text"].encode())
        draft = Draft(content, self._timeout_ms, delay_ms=memo["delay_ms"])
        return _render(self._services.store.create(owner, draft), 201)

    @documented(response=Postbox, errors=(404,))
    def get(self, owner: Owner, memo_id: str) -> Response:
        """Get an event."""
        return _render(self._services.queries.event(owner, memo_id))

    @documented(body=NewMemo, response=Postbox, errors=(400, 404, 413))
    def edit(self, owner: Owner, memo_id: str) -> Response:
        """Change the destination of an event."""
        event = self._services.queries.event(owner, memo_id)
        content = Content(self._load()["to"], event.content.body)
        self._services.store.change(event, content=content, at_ms=None, cancel=False)
        return self.get(owner, memo_id)

    @documented(response=Postbox, errors=(404,))
    def cancel(self, owner: Owner, memo_id: str) -> Response:
        """Cancel an event."""
        event = self._services.queries.event(owner, memo_id)
        self._services.store.change(event, content=None, at_ms=None, cancel=True)
        return self.get(owner, memo_id)

    @documented(response=Postbox, statuses=(201,), errors=(400, 404))
    def resend(self, owner: Owner, memo_id: str) -> Response:
        """Send a finished event again."""
        event = self._services.queries.event(owner, memo_id)
        new = replay(
            self._services.store, event, options={}, deadline_ms=self._timeout_ms
        )
        return _render(new, 201)

    def _load(self) -> dict[str, object]:
        raw = read_body(request, too_large="too large", malformed="malformed")
        try:
            memo = NewMemo().loads(raw or b"{}")
            self._policy.read(memo["to"])
        except (ValidationError, BadDestination) as err:
            raise Refusal(400, str(err)) from err
        return {"text": "", "delay_ms": 0} | memo


def blueprint(services: Services) -> Blueprint:
    """Return a blueprint with all routes."""
    routes, memos = Blueprint(DIALECT, __name__, url_prefix="/postbox"), Memos(services)
    table: list[Route] = [
        ("POST", "/", "create", memos.create),
        ("GET", "/<memo_id>", "get", memos.get),
        ("PATCH", "/<memo_id>", "edit", memos.edit),
        ("DELETE", "/<memo_id>", "cancel", memos.cancel),
        ("POST", "/<memo_id>/resend", "resend", memos.resend),
    ]
    add_routes(routes, table, wrapper=partial(_with_owner, services))
    routes.register_error_handler(Refusal, lambda err: error(err.status, str(err)))
    routes.register_error_handler(NotFound, lambda _: error(404, "no such memo"))
    routes.register_error_handler(NotFinished, lambda _: error(400, "not finished"))
    routes.register_error_handler(NotPending, lambda _: error(400, "not pending"))
    return routes


def error(status: int, message: str) -> Response:
    """Return an error response."""
    response = jsonify(error=message)
    response.status_code = status
    return response


def internal_error(_endpoint: str | None) -> str:
    """Return the message of a 500 response."""
    return "internal error"


def _with_owner(services: Services, view: View, **in_path: str) -> Response:
    tenant = tenant_of_request(services, request.headers.get(KEY_HEADER), view)
    return view(Owner(tenant, DIALECT), **in_path)


def _render(event: Event, status: int = 200) -> Response:
    response = jsonify(id=event.id, to=event.content.url, state=event.state.value)
    response.status_code = status
    return response
