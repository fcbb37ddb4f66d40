"""Answers requests that write only when their writes are as safe as the client asks."""

from collections.abc import Callable
from flask import Flask, Response, g, request
from scheduler_api.core.settings.durability import FORM, Durability, read_durability
from scheduler_api.core.store.confirmation import Confirmation, NotConfirmed

HEADER = "Scheduler-Wait-For"
WRITES = ("POST", "PUT", "PATCH", "DELETE")
MALFORMED = f"The header {HEADER} should be {FORM}"


def confirm_writes(
    app: Flask,
    confirmation: Confirmation,
    *,
    default: Durability,
    error_at: Callable[[str, int, str], Response],
) -> None:
    """Let requests that write wait for the durability in their header.

    A write that is not confirmed gets 503, although it is stored.

    Args:
        default: the durability of requests without the header.
        error_at: returns a response in the format of a path.
    """

    def read_header() -> Response | None:
        value = request.headers.get(HEADER)
        if value is None:
            return None
        try:
            g.durability = read_durability(value)
        except ValueError:
            return error_at(request.path, 400, MALFORMED)
        return None

    def confirm(response: Response) -> Response:
        durability: Durability = g.get("durability", default)
        if not durability or request.method not in WRITES or response.status_code > 299:
            return response
        try:
            confirmation.wait(durability)
        except NotConfirmed as err:
            return error_at(request.path, 503, str(err))
        return response

    app.before_request(read_header)
    app.after_request(confirm)
