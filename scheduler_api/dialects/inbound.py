"""The registry of the dialects' HTTP APIs; `dialects.outbound` has the rest of each."""

from flask import Blueprint, Response
from scheduler_api.dialects.events_v1 import inbound as events_v1
from scheduler_api.dialects.jiter import inbound as jiter
from scheduler_api.dialects.qstash import inbound as qstash
from scheduler_api.services import Services
from scheduler_api.web.documented import Document
from typing import Protocol


class Api(Protocol):
    """A set of routes with an error format of its own.

    `PREFIXES` are the paths, each with all paths below it, whose errors it formats,
    also where no route exists.
    """

    PREFIXES: tuple[str, ...]

    def blueprint(self, services: Services) -> Blueprint:
        """Return its routes."""
        ...

    def error(self, status: int, message: str) -> Response:
        """Return an error in its format."""
        ...

    def internal_error(self, endpoint: str | None) -> str:
        """Return the message of a 500 of an endpoint; None is an unknown path."""
        ...


class Inbound(Api, Protocol):
    """The inbound half of a dialect."""

    DOCUMENT: Document


DIALECTS: tuple[Inbound, ...] = (
    jiter,
    qstash,
    events_v1,
)
# Formats the errors of all other paths.
DEFAULT: Api = jiter
