"""The traces of events: what starts them, and what processes ask of them."""

import logging
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from importlib import import_module
from scheduler_api.core import logfmt
from scheduler_api.core.model import Begun, Draft, Owner
from typing import Protocol, cast

log = logging.getLogger("scheduler.traces")

Headers = tuple[tuple[str, str], ...]

# The name in `Flask.extensions` of the `Spans` of the process, or None.
EXTENSION = "spans"
# The headers of the request that a web process handles, names in lower case, as far as
# they belong to a trace.
CALLER: ContextVar[Mapping[str, str]] = ContextVar("caller")
CALLERS_HEADERS = ("traceparent", "tracestate")

MODULE = "scheduler_api.core.spans"
NOT_INSTALLED = "install scheduler_api[otel], or unset OTEL_EXPORTER_OTLP_*"


class AttemptSpan(Protocol):
    """The span of one attempt.

    Attributes:
        headers: those to send.
    """

    headers: Headers

    def note(self, status: int | None, error: str | None) -> None:
        """Note the result of the attempt."""


class Spans(Protocol):
    """Records spans, and sends them in the background."""

    def create(
        self, owner: Owner, drafts: Sequence[Draft]
    ) -> AbstractContextManager[Sequence[Draft]]:
        """Return a context that stores drafts; it returns the drafts to store."""

    def attempt(
        self, begun: Begun, headers: Headers
    ) -> AbstractContextManager[AttemptSpan]:
        """Return a context that makes an attempt with these headers."""

    def close(self) -> None:
        """Send what is left, for at most two seconds."""


def open_spans(*, are_wanted: bool, role: str) -> Spans | None:
    """Return what records the spans of this process; None if no traces are wanted.

    The library is loaded only if they are.

    Args:
        role: of this process.
    """
    if not are_wanted:
        return None
    try:
        module = import_module(MODULE)
    except ModuleNotFoundError:
        log.warning(logfmt.line("traces.not_sent", problem=NOT_INSTALLED))
        return None
    return cast(Spans, module.new(role))
