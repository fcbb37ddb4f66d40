"""Cron jobs of Jiter in a file.

They have no field for a name, so the marker of a file is the fragment of the
destination. A fragment is not sent.
"""

from collections.abc import Mapping
from scheduler_api.schedule_files import normal_form
from scheduler_api.schedule_files.connection import Connection
from scheduler_api.schedule_files.entries import MARKER, PAUSED, Entry, Existing, Fields
from scheduler_api.web.schedule_options import NAMES
from urllib.parse import urldefrag

NAME = "jiter"
VARIABLES = ("JITER_URL", "JITER_API_KEY")
FIELDS = frozenset(("destination", "expression", "payload", "options", PAUSED))
ACTIVE, DISABLED = "Active", "Disabled"


class Jiter:
    """The cron jobs of a tenant in Jiter's API."""

    name, fields, has_ids = NAME, FIELDS, False

    def __init__(self, variables: Mapping[str, str]) -> None:
        url, key = (variables[name] for name in VARIABLES)
        self._connection = Connection(url, header="x-api-key", token=key)

    def all(self) -> list[Existing]:
        """List all cron jobs.

        Raises: ApiError.
        """
        return [_existing(each) for each in self._connection.send("GET", "/cronjobs")]

    def create(self, entry: Entry) -> None:
        """Create a cron job.

        Raises: ApiError.
        """
        made = self._connection.send("POST", "/cronjobs", json=_body(entry))
        if entry.fields.get(PAUSED):
            status = {"status": DISABLED}
            self._connection.send("PUT", f"/cronjobs/{made['id']}", json=status)

    def replace(self, existing: Existing, entry: Entry) -> None:
        """Edit a cron job; options that the entry lacks get their defaults.

        Raises: ApiError.
        """
        body = _body(entry)
        body["options"] = dict.fromkeys(NAMES) | body["options"]
        body["status"] = DISABLED if entry.fields.get(PAUSED) else ACTIVE
        self._connection.send("PUT", f"/cronjobs/{existing.key}", json=body)

    def delete(self, existing: Existing) -> None:
        """Delete a cron job.

        Raises: ApiError.
        """
        self._connection.send("DELETE", f"/cronjobs/{existing.key}")

    def normal(self, fields: Fields) -> Fields:
        """Return fields in their normal form."""
        options = normal_form.options(fields.get("options") or {})
        return normal_form.without_defaults(fields | {"options": options}, ())

    def inherits(self, _path: str, _fields: Fields) -> bool:
        """Nothing: an entry has all fields."""
        return False


def _body(entry: Entry) -> Fields:
    fields = entry.fields
    destination = urldefrag(str(fields.get("destination", "")))[0]
    return {
        "destination": f"{destination}#{entry.marker}",
        "expression": fields.get("expression"),
        "payload": fields.get("payload", ""),
        "options": fields.get("options") or {},
    }


def _existing(listed: Fields) -> Existing:
    destination, _, fragment = listed["destination"].partition("#")
    marked = fragment.startswith(MARKER)
    fields = {
        "destination": destination if marked else listed["destination"],
        "expression": listed["expression"],
        "payload": listed["payload"],
    }
    options = normal_form.options(listed.get("options") or {})
    if options:
        fields["options"] = options
    if listed["status"] == DISABLED:
        fields[PAUSED] = True
    entry_id = fragment.removeprefix(MARKER) if marked else None
    return Existing(NAME, str(listed["id"]), fields, entry_id)
