"""The registry of the dialects' HTTP APIs, for the web process.

All other parts of the dialects are registered in `dialects.outbound`.
"""

from collections.abc import Callable
from flask import Blueprint, Response
from scheduler_api.dialects.composition import Composer
from scheduler_api.dialects.events_v1 import inbound as events_v1
from scheduler_api.dialects.jiter import inbound as jiter
from scheduler_api.dialects.qstash import inbound as qstash
from scheduler_api.dialects.qstash.composer import QstashComposer
from scheduler_api.services import Services
from scheduler_api.web.documented import Document
from typing import Protocol


class Api(Protocol):
    """Routes with a common error format.

    All errors at the paths in `PREFIXES` and below have this format, including errors
    at unknown paths.
    """

    PREFIXES: tuple[str, ...]

    def blueprint(self, services: Services) -> Blueprint:
        """Return the routes."""
        ...

    def error(self, status: int, message: str) -> Response:
        """Return an error response in this format."""
        ...

    def internal_error(self, endpoint: str | None) -> str:
        """Return the message of a 500 response; `endpoint` is None at unknown paths."""
        ...


class Inbound(Api, Protocol):
    """The inbound half of a dialect."""

    DOCUMENT: Document


DIALECTS: tuple[Inbound, ...] = (
    jiter,
    qstash,
    events_v1,
)
# The API that formats errors at paths that belong to no API.
DEFAULT: Api = jiter
# What people create on the dashboard belongs to the dialect of this composer.
COMPOSER: Callable[[Services], Composer] = QstashComposer
