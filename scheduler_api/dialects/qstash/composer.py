"""Creates messages and schedules from what people fill in on the dashboard.

A form becomes the headers that a publisher would send, so that the same functions read
and check them.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from scheduler_api.core import logfmt
from scheduler_api.core.model import Content, Owner, Schedule
from scheduler_api.dialects.composition import BadField, Form
from scheduler_api.dialects.qstash import retry_delay
from scheduler_api.dialects.qstash.endpoints.schedules import Scheduling
from scheduler_api.dialects.qstash.parsing.drafts import Drafts, Limits
from scheduler_api.dialects.qstash.parsing.forwarded_headers import is_reserved_name
from scheduler_api.dialects.qstash.parsing.header_values import METHODS, BadValue
from scheduler_api.dialects.qstash.parsing.message import (
    POST,
    Headers,
    from_options,
    message_id,
    to_options,
)
from scheduler_api.dialects.qstash.parsing.request_headers import from_headers
from scheduler_api.dialects.qstash.parsing.targets import (
    DESTINATION,
    Target,
    read_destination,
)
from scheduler_api.services import Services

NAME = "qstash"
RETRIES = "Upstash-Retries"
LABEL, QUEUE = "Upstash-Label", "Upstash-Queue-Name"
FAILURE_CALLBACK = "Upstash-Failure-Callback"
# The field of a form that each header comes from; other headers are those to forward.
FIELDS = {
    DESTINATION: "url",
    "destination": "url",
    "Upstash-Method": "method",
    RETRIES: "retries",
    "Upstash-Delay": "delay",
    "Upstash-Not-Before": "at",
    "Upstash-Cron": "expression",
    "Scheduler-Time-Zone": "zone",
    LABEL: "label",
    QUEUE: "queue",
    FAILURE_CALLBACK: "failure_callback",
}
NO_ROOM = "It has more than {} bytes"

log = logging.getLogger("scheduler.web")


class QstashComposer:
    """Implements `composition.Composer` for QStash."""

    dialect: str = NAME
    methods: Sequence[str] = (POST, *(each for each in METHODS if each != POST))

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._cell = services.cell
        self._limits = Limits.of(services.settings)
        self._drafts = Drafts(self._limits)
        self._scheduling = Scheduling(services)

    def create_event(self, owner: Owner, form: Form) -> str:
        """Create a message, as `/v2/publish` does."""
        with _naming_fields():
            url = read_destination(form.url, self._limits.address_policy)
            timing = [("Upstash-Delay", form.delay)]
            if form.at_ms is not None:
                # The header has whole seconds; an event is never due too early.
                timing.append(("Upstash-Not-Before", str(-(-form.at_ms // 1000))))
            parsed = self._drafts.read((*_headers(form), *timing))
            self._check_size(form.body)
            draft = self._drafts.draft(
                parsed, url=url, body=form.body, now_ms=self._cell.now_ms()
            )
        event = self._store.create(owner, draft)
        due = logfmt.utc(event.wanted_ms / 1000)
        name = message_id(event.id)
        log.info(logfmt.line("event.accepted", event=name, owner=owner, due=due))
        return event.id

    def create_schedule(self, owner: Owner, form: Form) -> Schedule:
        """Create a schedule, as `/v2/schedules` does."""
        with _naming_fields():
            read_destination(form.url, self._limits.address_policy)
            rule = [
                ("Upstash-Cron", form.expression),
                ("Scheduler-Time-Zone", form.zone),
            ]
            parsed = self._scheduling.parse(
                *(owner, Target(form.url, None, ()), (*_headers(form), *rule)),
                read=lambda: form.body,
            )
            self._check_size(form.body)
            return self._scheduling.create_or_find(owner, parsed)

    def waits_ms(self, retries: str) -> Sequence[int]:
        """Return the default waits, which grow exponentially."""
        with _naming_fields():
            message = from_headers([(RETRIES, retries)], limits=self._limits.headers)
        return [retry_delay.default_ms(each) for each in range(message.retries)]

    def retries_of(self, content: Content) -> str:
        """Return the retries in the options of a content."""
        return str(from_options(content.options).retries)

    def with_retries(self, content: Content, retries: str) -> Content:
        """Return a content with the header for retries applied to its options."""
        with _naming_fields():
            message = from_headers(
                [(RETRIES, retries)],
                base=from_options(content.options),
                limits=self._limits.headers,
            )
        return replace(content, options=to_options(message))

    def _check_size(self, body: bytes) -> None:
        limit = self._limits.body_limit_bytes
        if len(body) > limit:
            raise BadField("body", NO_ROOM.format(limit))


def _headers(form: Form) -> Headers:
    """Return the headers with which a publisher would send the same.

    Raises: BadField.
    """
    for name, _ in form.headers:
        if is_reserved_name(name):
            raise BadField("headers", f"{name} is set by this server")
    headers = (
        ("Upstash-Method", form.method),
        (RETRIES, form.retries),
        (LABEL, form.label),
        (QUEUE, form.queue),
        (FAILURE_CALLBACK, form.failure_callback),
        *((f"Upstash-Forward-{name}", value) for name, value in form.headers),
    )
    # Values of headers have one character per byte.
    return tuple((name, value.encode().decode("latin-1")) for name, value in headers)


@contextmanager
def _naming_fields() -> Iterator[None]:
    """Name the field of the form instead of the header that is wrong."""
    try:
        yield
    except BadValue as err:
        fault = str(err).removeprefix(err.name).strip(": ")
        verb = fault.partition(" ")[0]
        if err.name not in FIELDS:
            raise BadField(
                "headers", str(err).removeprefix("Upstash-Forward-")
            ) from err
        sentence = f"It {fault}" if verb in ("should", "is", "cannot") else fault
        raise BadField(FIELDS[err.name], sentence) from err
