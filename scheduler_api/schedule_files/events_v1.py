"""Events of Scheduler v1 in a file. The marker of a file is a tag."""

from collections.abc import Iterator, Mapping
from scheduler_api.schedule_files import normal_form
from scheduler_api.schedule_files.connection import ApiError, Connection
from scheduler_api.schedule_files.entries import MARKER, PAUSED, Entry, Existing, Fields
from scheduler_api.web.schedule_options import NAMES

NAME = "v1"
VARIABLES = ("SCHEDULER_API", "SCHEDULER_API_TOKEN")
REQUIRED = ("callbackUrl", "interval", "eventOwner", "endDate")
FIELDS = frozenset((*REQUIRED, "context", "tags", "options", PAUSED))
PAGE = 1_000
END, FINISHED = "endDate", "FINISHED"


class EventsV1:
    """The events of a tenant in the API of Scheduler v1."""

    name, fields, has_ids = NAME, FIELDS, False

    def __init__(self, variables: Mapping[str, str]) -> None:
        url, token = (variables[name] for name in VARIABLES)
        self._connection = Connection(f"{url}/v1", header="x-api-key", token=token)

    def all(self) -> list[Existing]:
        """List events, except finished ones that came from no file.

        The API would refuse them in a file, because their end has passed.

        Raises: ApiError.
        """
        found = [(_existing(each), each["status"]) for each in self._pages()]
        return [each for each, status in found if each.id or status != FINISHED]

    def _pages(self) -> Iterator[Fields]:
        offset = 0
        while True:
            path = f"/events?limit={PAGE}&offset={offset}"
            page = self._connection.send("GET", path)["data"]
            yield from page
            offset += len(page)
            if len(page) < PAGE:
                return

    def create(self, entry: Entry) -> None:
        """Create an event.

        Raises: ApiError.
        """
        made = self._connection.send("POST", "/events", json=_body(entry))
        if entry.fields.get(PAUSED):
            self._connection.send("POST", f"/events/{made['data']['eventId']}/pause")

    def replace(self, existing: Existing, entry: Entry) -> None:
        """Edit an event; options that the entry lacks get their defaults.

        Raises: ApiError, also if the owner differs: the API cannot change it.
        """
        body = _body(entry)
        if body.get("eventOwner") != existing.fields["eventOwner"]:
            raise ApiError("eventOwner cannot be changed: use another id")
        options = dict.fromkeys(name for name in NAMES if name != END)
        body["options"] = options | body["options"]
        self._connection.send("PATCH", f"/events/{existing.key}", json=body)
        if bool(entry.fields.get(PAUSED)) != bool(existing.fields.get(PAUSED)):
            action = "pause" if entry.fields.get(PAUSED) else "resume"
            self._connection.send("POST", f"/events/{existing.key}/{action}")

    def delete(self, existing: Existing) -> None:
        """Delete an event.

        Raises: ApiError.
        """
        self._connection.send("DELETE", f"/events/{existing.key}")

    def normal(self, fields: Fields) -> Fields:
        """Return fields in their normal form."""
        changed: Fields = {"options": normal_form.options(fields.get("options") or {})}
        if END in fields:
            changed[END] = normal_form.date(fields[END])
        return normal_form.without_defaults(fields | changed, ())

    def inherits(self, _path: str, _fields: Fields) -> bool:
        """Nothing: an entry has all fields."""
        return False


def _body(entry: Entry) -> Fields:
    fields = entry.fields
    return {
        **{name: fields[name] for name in REQUIRED if name in fields},
        "context": fields.get("context"),
        "tags": [*(fields.get("tags") or ()), entry.marker],
        "options": fields.get("options") or {},
    }


def _existing(listed: Fields) -> Existing:
    fields = {name: listed[name] for name in REQUIRED}
    if listed.get("context"):
        fields["context"] = listed["context"]
    tags = [tag for tag in listed["tags"] if not tag.startswith(MARKER)]
    if tags:
        fields["tags"] = tags
    options = normal_form.options(listed.get("options") or {})
    if options:
        fields["options"] = options
    if listed["status"] == "PAUSED":
        fields[PAUSED] = True
    markers = [tag for tag in listed["tags"] if tag.startswith(MARKER)]
    entry_id = markers[0].removeprefix(MARKER) if markers else None
    return Existing(NAME, str(listed["eventId"]), fields, entry_id)
