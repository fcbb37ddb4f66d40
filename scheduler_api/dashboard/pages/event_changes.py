"""Changes of events by hand: send now, edit, cancel, send again."""

import json
from dataclasses import replace
from flask import Response, abort, request, url_for
from scheduler_api.core import public_ids
from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import (
    Conflict,
    LimitReached,
    NotFound,
    NotPending,
    StoreFull,
    TimePassed,
    UnreadableRecord,
)
from scheduler_api.core.model import Accepted, Content, Event, State, Verdict
from scheduler_api.core.store import audit
from scheduler_api.core.timestamps import from_iso, to_iso
from scheduler_api.dashboard.destination_field import URL, read_url
from scheduler_api.dashboard.pages.events import (
    MAX_BODY_BYTES,
    find_event,
    is_editable,
    is_sendable,
)
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.dialects.composition import BadField
from scheduler_api.services import Services
from scheduler_api.web.access import change
from scheduler_api.web.tenant_limits import describe_refusal

# The fields of the form.
DUE, BODY = "due", "body"
# The store takes times in the future only.
SOON_MS = 1_000
TOO_LATE = "It is too late"
SENT = "It is being sent, or it has ended"
BEGUN = "Its first attempt has begun, or it has ended, so it cannot be changed"
NOT_NOW = "Nothing was sent"
NOT_ENDED = "The event has not ended"
UNREADABLE = "The event cannot be read"
CHANGED = "Somebody else changed the event meanwhile: check it, and save again"
PAST = "This time has passed: choose a later one"
NO_TIME = "A time looks like 2027-03-01T12:00"
NO_JSON = "The body was JSON, and this is none: check quotes and commas"
TOO_LONG = "The body is too long for this API"


class EventChanges:
    """Changes the events of the tenant that a viewer sees."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._store = services.store
        self._policy = AddressPolicy.of(services.settings)
        self._redrafts = outbound.redrafts(services.settings)

    def cancel(self, viewer: Viewer, event_id: str) -> Response:
        """Cancel an event; nothing happens if it has ended."""
        event = find_event(self._services, viewer, event_id)
        self._write(event, "cancel", before={"state": event.state}, after=None)
        self._store.cancel(event.owner, [event.id])
        return _to_event(event)

    def send_now(self, viewer: Viewer, event_id: str) -> Response:
        """Make an event due that waits for its first attempt, or for its next one."""
        event = find_event(self._services, viewer, event_id)
        now_ms = self._services.cell.now_ms()
        if not is_sendable(event, now_ms):
            return page("error.html", 409, name=TOO_LATE, message=SENT)
        due_ms = now_ms + SOON_MS
        before, after = {"due": to_iso(event.next_ms)}, {"due": to_iso(due_ms)}
        self._write(event, "edit", before=before, after=after)
        try:
            self._store.change(event, at_ms=due_ms, between_attempts=True)
        except (Conflict, NotFound, NotPending, TimePassed):
            return page("error.html", 409, name=TOO_LATE, message=SENT)
        return _to_event(event)

    def send_again(self, viewer: Viewer, event_id: str) -> Response:
        """Send the request of an event that has ended again, as a new event."""
        event = find_event(self._services, viewer, event_id)
        if event.state is State.ACTIVE:
            return page("error.html", 409, name=NOT_NOW, message=NOT_ENDED)
        self._write(event, "replay", before={"state": event.state}, after=None)
        try:
            accepted = self._replay(event)
        except UnreadableRecord:
            return page("error.html", 409, name=NOT_NOW, message=UNREADABLE)
        if accepted is None:
            # Somebody else has replayed the dead letter.
            return _to_event(event)
        if accepted.verdict is not Verdict.OK:
            limit = accepted.verdict is Verdict.LIMIT_REACHED
            message = describe_refusal(accepted.id if limit else "full")
            return page("error.html", 409, name=NOT_NOW, message=message)
        return _to_event(replace(event, id=accepted.id))

    def _replay(self, event: Event) -> Accepted | None:
        """A dead letter is replaced; None if it is none any more."""
        draft = self._redrafts[event.owner.dialect](event)
        if event.state is State.DEAD:
            letters = self._services.dead_letters
            return letters.replay(event.owner, [(event.id, draft)])[0]
        return self._store.create_many(event.owner, [draft])[0]

    def form(self, viewer: Viewer, event_id: str) -> Response:
        """Show the form that edits an event."""
        event = find_event(self._services, viewer, event_id)
        if not is_editable(event):
            abort(404)
        values = {
            DUE: to_iso(event.wanted_ms).removesuffix("Z"),
            URL: event.content.url,
            BODY: body_text(event.content.body) or "",
        }
        return _form(event, values)

    def edit(self, viewer: Viewer, event_id: str) -> Response:
        """Change the time, the destination and the body of an event."""
        event = find_event(self._services, viewer, event_id)
        try:
            content = self._read_content(event)
            self._change(event, content, _read_due(event))
        except BadField as err:
            values = {name: request.form.get(name, "") for name in (DUE, URL, BODY)}
            return _form(event, values, faults={err.field: str(err)})
        except NotPending:
            return page("error.html", 409, name=TOO_LATE, message=BEGUN)
        return _to_event(event)

    def _change(self, event: Event, content: Content, due_ms: int | None) -> None:
        """Raises: BadField, NotPending (attempted, ended, or made by a schedule)."""
        if not is_editable(event):
            raise NotPending
        new = None if content == event.content else content
        if new is None and due_ms is None:
            return
        after = {"due": to_iso(due_ms or event.wanted_ms), "url": content.url}
        before = {"due": to_iso(event.wanted_ms), "url": event.content.url}
        self._write(event, "edit", before=before, after=after)
        try:
            self._store.change(event, content=new, at_ms=due_ms)
        except TimePassed as err:
            raise BadField(DUE, PAST) from err
        except Conflict as err:
            raise BadField(DUE, CHANGED) from err
        except LimitReached as err:
            raise BadField(BODY, describe_refusal(str(err))) from err
        except StoreFull as err:
            raise BadField(BODY, describe_refusal("full")) from err
        except NotFound as err:
            raise NotPending from err

    def _read_content(self, event: Event) -> Content:
        old, url = event.content, request.form.get(URL, "").strip()
        url = read_url(url, self._policy, old=old.url)
        return replace(old, url=url, body=self._read_body(old.body))

    def _read_body(self, old: bytes) -> bytes:
        if BODY not in request.form or body_text(old) is None:
            return old
        # Browsers send line ends as CRLF.
        text = request.form[BODY].replace("\r\n", "\n")
        if text == (body_text(old) or "").replace("\r\n", "\n"):
            return old
        body = text.encode()
        if len(body) > min(MAX_BODY_BYTES, self._services.settings.body_limit_bytes):
            raise BadField(BODY, TOO_LONG)
        if _is_json(old) and not _is_json(body):
            raise BadField(BODY, NO_JSON)
        return body

    def _write(
        self, event: Event, action: str, *, before: audit.State, after: audit.State
    ) -> None:
        name = public_ids.event_id(event.owner, event.id)
        record = change(event.owner, f"event.{action}", name)
        audit.write(self._services.cell, record, before=before, after=after)


def body_text(body: bytes) -> str | None:
    """Return a body that a form can show; None if it is none."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text or len(body) > MAX_BODY_BYTES else text


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def _read_due(event: Event) -> int | None:
    """Return the new time; None if it does not change."""
    text = request.form.get(DUE, "").strip()
    try:
        due_ms = from_iso(text)
    except ValueError as err:
        raise BadField(DUE, NO_TIME) from err
    # Browsers send no milliseconds if they are 0.
    return None if due_ms == event.wanted_ms else due_ms


def _form(
    event: Event, values: dict[str, str], *, faults: dict[str, str] | None = None
) -> Response:
    return page(
        "event_edit.html",
        400 if faults else 200,
        public_id=public_ids.event_id(event.owner, event.id),
        values=values,
        has_text=body_text(event.content.body) is not None,
        faults=faults or {},
    )


def _to_event(event: Event) -> Response:
    name = public_ids.event_id(event.owner, event.id)
    return to_page(url_for("dashboard.event", event_id=name))
