"""The routes of the receiver, at `/receiver` and below."""

import orjson
import time
from flask import Blueprint, Response, request
from scheduler_api.core.delivery.destinations import RECEIVER_PATH
from scheduler_api.core.delivery.verification import Received
from scheduler_api.receiver import options as receiver_options
from scheduler_api.receiver.echo import describe
from scheduler_api.receiver.responses import DELAYED_BODY_BYTES, Delays, respond
from scheduler_api.receiver.signatures import examine
from scheduler_api.receiver.usage import USAGE
from scheduler_api.services import Services
from scheduler_api.web import underscores
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.request_body import read_body

# This module renders the errors of all requests at these paths and below.
PREFIXES: tuple[str, ...] = (RECEIVER_PATH,)
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
INTERNAL_ERROR = "Internal server error"
TOO_LARGE = "The request body is too large"
TOO_LARGE_TO_DELAY = (
    "With 'delay' or 'drip', a request body may have at most"
    f" {DELAYED_BODY_BYTES} bytes"
)
MALFORMED = "The request body is incomplete"
FILLER = b"x"


def blueprint(services: Services) -> Blueprint:
    """Return the routes. They need no token, as those of any receiver."""
    routes, delays = Blueprint("receiver", __name__), Delays()

    def receive(path: str = "") -> Response:
        if not path and request.method in ("GET", "HEAD") and not request.query_string:
            return Response(USAGE, mimetype="text/plain")
        return _receive(services, delays)

    for rule in (RECEIVER_PATH, f"{RECEIVER_PATH}/<path:path>", f"{RECEIVER_PATH}/"):
        routes.add_url_rule(
            rule,
            "receive",
            receive,
            methods=METHODS,
            provide_automatic_options=False,
            strict_slashes=True,
        )
    routes.register_error_handler(Refusal, lambda err: error(err.status, str(err)))
    return routes


def error(status: int, message: str) -> Response:
    """Return an error response in the format of the receiver."""
    return Response(
        orjson.dumps({"error": message}), status=status, mimetype="application/json"
    )


def internal_error(_endpoint: str | None) -> str:
    """Return the message of an internal error."""
    return INTERNAL_ERROR


def _receive(services: Services, delays: Delays) -> Response:
    pairs = read_parameters(request.environ)
    options = receiver_options.read(pairs)
    received = _received(options.takes_time)
    findings = examine(
        received,
        cell=services.cell,
        tenants=services.tenants,
        now_ms=int(time.time() * 1000),
    )
    options = options.at(findings.attempt)
    if options.size is not None:
        body, mimetype = FILLER * options.size, "text/plain"
    else:
        asked_for = {
            name: text for name, text in pairs if name in receiver_options.names()
        }
        body = orjson.dumps(describe(received, findings, asked_for))
        mimetype = "application/json"
    del received
    return respond(body, options, mimetype=mimetype, delays=delays)


def _received(is_delayed: bool) -> Received:
    body = read_body(
        request,
        too_large=TOO_LARGE_TO_DELAY if is_delayed else TOO_LARGE,
        malformed=MALFORMED,
        limit_bytes=DELAYED_BODY_BYTES if is_delayed else None,
    )
    return Received(
        method=request.method,
        url=_url(),
        headers={
            underscores.reveal(name.lower()): value for name, value in request.headers
        },
        body=body,
    )


def _url() -> str:
    """Return the URL as the sender knows it; a proxy may have ended TLS."""
    forwarded = request.headers.get("X-Forwarded-Proto", "").lower()
    scheme = forwarded if forwarded in ("http", "https") else request.scheme
    target = request.environ.get("RAW_URI", "")
    if not target.startswith("/"):
        target = request.full_path.removesuffix("?")
    return f"{scheme}://{request.headers.get('Host', '')}{target}"
