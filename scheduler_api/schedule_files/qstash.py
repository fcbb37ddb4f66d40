"""Schedules of QStash in a file. The marker of a file is a label."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from scheduler_api.core.cron.expression import Cron, parse
from scheduler_api.core.headers import comparable, is_reserved
from scheduler_api.dialects import outbound
from scheduler_api.schedule_files import normal_form
from scheduler_api.schedule_files.connection import ApiError, Connection
from scheduler_api.schedule_files.entries import MARKER, PAUSED, Entry, Existing, Fields
from scheduler_api.web.schedule_options import (
    NAMES,
    ZonedOptions,
    apply_options,
    header_name,
)
from urllib.parse import quote

NAME = "qstash"
VARIABLES = ("QSTASH_URL", "QSTASH_TOKEN")
DEFAULTS = {"method": "POST", "retries": 3}
# Deliveries have their own.
USER_AGENT = "user-agent"
REDACTED_VALUE, REDACTED = "REDACTED:", "(redacted)"
CALLBACKS = ("callback", "failureCallback")
# The headers of a request that creates a schedule, by field.
HEADERS = {
    "cron": "Upstash-Cron",
    "method": "Upstash-Method",
    "delay": "Upstash-Delay",
    "timeout": "Upstash-Timeout",
    "retries": "Upstash-Retries",
    "retryDelay": "Upstash-Retry-Delay",
    "queue": "Upstash-Queue-Name",
    "callback": "Upstash-Callback",
    "failureCallback": "Upstash-Failure-Callback",
}
FORWARDED = {
    "headers": "Upstash-Forward-",
    "callbackHeaders": "Upstash-Callback-Forward-",
    "failureCallbackHeaders": "Upstash-Failure-Callback-Forward-",
}
# The names of fields in a response that differ from those in a file.
IN_RESPONSES = {
    "queue": "queueName",
    "retryDelay": "retryDelayExpression",
    "callbackHeaders": "callbackHeader",
    "failureCallbackHeaders": "failureCallbackHeader",
    "headers": "header",
}
LIMITS = ("parallelism", "rate", "period")
FIELDS = frozenset(
    (*HEADERS, *FORWARDED, "destination", "body", "bodyBase64", "labels", "redact")
) | {"flowControl", "options", PAUSED}


class Qstash:
    """The schedules of a tenant in QStash's API."""

    name, fields, has_ids = NAME, FIELDS, True

    def __init__(self, variables: Mapping[str, str]) -> None:
        url, token = (variables[name] for name in VARIABLES)
        self._connection = Connection(
            url, header="Authorization", token=f"Bearer {token}"
        )

    def all(self) -> list[Existing]:
        """List all schedules.

        Raises: ApiError.
        """
        return [
            _existing(each) for each in self._connection.send("GET", "/v2/schedules")
        ]

    def create(self, entry: Entry) -> None:
        """Create a schedule, or replace the one with the same id.

        Raises: ApiError.
        """
        destination = str(entry.fields.get("destination", ""))
        self._connection.send(
            *("POST", f"/v2/schedules/{destination}"),
            body=_body(entry.fields),
            headers={name: value.encode() for name, value in _headers(entry)},
        )
        self._set_paused(entry)

    def replace(self, _existing: Existing, entry: Entry) -> None:
        """Replace a schedule.

        Raises: ApiError.
        """
        self.create(entry)

    def delete(self, existing: Existing) -> None:
        """Delete a schedule.

        Raises: ApiError.
        """
        self._connection.send("DELETE", f"/v2/schedules/{quote(existing.key)}")

    def normal(self, fields: Fields) -> Fields:
        """Return fields in their normal form."""
        made = {name: value for name, value in fields.items() if name != PAUSED}
        options = dict(made.pop("options", None) or {})
        zone, _, rest = str(made.get("cron", "")).partition(" ")
        if "TZ=" in zone and rest:
            options.setdefault("timeZone", zone.partition("=")[2])
        made["options"] = normal_form.options(options)
        for name in ("delay", "timeout"):
            if name in made:
                made[name] = normal_form.seconds(made[name]) or None
        for name in FORWARDED:
            made[name] = normal_form.headers(_sent(made.get(name) or {}))
        if "method" in made:
            made["method"] = str(made["method"]).upper()
        flow = {"period": 1, **(made.pop("flowControl", None) or {})}
        if "key" in flow:
            flow["period"] = normal_form.seconds(flow["period"])
            made["flowControl"] = flow
        made[PAUSED] = bool(fields.get(PAUSED))
        return normal_form.without_defaults(_redact(made), DEFAULTS.items())

    def inherits(self, path: str, fields: Fields) -> bool:
        """Whether a value may be one of the default headers of a URL group."""
        to_group = "://" not in str(fields.get("destination", ""))
        return to_group and path != PAUSED and not path.startswith("options.")

    def _set_paused(self, entry: Entry) -> None:
        action = "pause" if entry.fields.get(PAUSED) else "resume"
        self._connection.send("POST", f"/v2/schedules/{quote(entry.id)}/{action}")


def cron_of(fields: Fields) -> Cron:
    """Return the rule of a schedule.

    Raises: BadOption, CronError.
    """
    zoned = apply_options(fields.get("options") or {}, ZonedOptions())
    return parse(
        str(fields["cron"]),
        tz=zoned.tz,
        grammar=outbound.GRAMMARS[NAME],
        policy=zoned.options.clock,
    )


def _sent(headers: Fields) -> Fields:
    """Return headers without those that the API drops."""
    return {
        name: value
        for name, value in headers.items()
        if comparable(name) != USER_AGENT and not is_reserved(name)
    }


def _headers(entry: Entry) -> Iterator[tuple[str, str]]:
    fields = entry.fields
    yield "Upstash-Schedule-Id", entry.id
    markers = [entry.marker] if entry.from_file else []
    yield "Upstash-Label", ",".join([*(fields.get("labels") or ()), *markers])
    for name, header in HEADERS.items():
        if name in fields:
            yield header, str(fields[name])
    for name, prefix in FORWARDED.items():
        for header, value in (fields.get(name) or {}).items():
            yield f"{prefix}{header}", str(value)
    if fields.get("redact"):
        yield "Upstash-Redact-Fields", ",".join(fields["redact"])
    flow = fields.get("flowControl") or {}
    if flow:
        yield "Upstash-Flow-Control-Key", str(flow.get("key", ""))
        limits = [f"{name}={flow[name]}" for name in LIMITS if name in flow]
        yield "Upstash-Flow-Control-Value", ",".join(limits)
    for name, value in (fields.get("options") or {}).items():
        yield header_name(name), str(value)


def _body(fields: Fields) -> bytes:
    """Raises: ApiError."""
    if "bodyBase64" not in fields:
        return str(fields.get("body", "")).encode()
    try:
        return base64.b64decode(fields["bodyBase64"], validate=True)
    except (binascii.Error, TypeError) as err:
        raise ApiError(f"bodyBase64 is not base64: {err}") from err


def _existing(listed: Fields) -> Existing:
    labels = listed.get("labels") or []
    fields: Fields = {}
    for name in ("destination", *HEADERS, "body", "bodyBase64"):
        value = listed.get(IN_RESPONSES.get(name, name))
        if value is not None and DEFAULTS.get(name) != value:
            fields[name] = value
    for name in FORWARDED:
        values = listed.get(IN_RESPONSES[name]) or {}
        if values:
            fields[name] = {key: ", ".join(each) for key, each in values.items()}
    own = [label for label in labels if not label.startswith(MARKER)]
    if own:
        fields["labels"] = own
    if listed.get("flowControlKey"):
        limits = {name: listed[name] for name in LIMITS if listed.get(name)}
        fields["flowControl"] = {"key": listed["flowControlKey"], **limits}
    redacted = [*_redacted_fields(fields)]
    if redacted:
        fields["redact"] = redacted
    options = {name: listed[name] for name in NAMES if name in listed}
    if normal_form.options(options):
        fields["options"] = normal_form.options(options)
    if listed.get("isPaused"):
        fields[PAUSED] = True
    key = str(listed["scheduleId"])
    marked = f"{MARKER}{key}" in labels
    return Existing(NAME, key, fields, key if marked else None)


def _redacted_fields(fields: Fields) -> Iterator[str]:
    if str(fields.get("body", "")).startswith(REDACTED_VALUE):
        yield "body"
    for group in FORWARDED:
        for name, value in fields.get(group, {}).items():
            if str(value).startswith(REDACTED_VALUE):
                yield f"header[{name}]"


def _redact(fields: Fields) -> Fields:
    """Return fields whose redacted values are all the same: the API hides them."""
    hidden = {str(each).lower().strip() for each in fields.get("redact") or ()}
    changed, found = dict(fields), list[str]()
    if "body" in hidden and fields.get("body"):
        changed["body"] = REDACTED
        found.append("body")
    for group in FORWARDED:
        values = dict(fields.get(group) or {})
        for name in values:
            if "header" in hidden or f"header[{name.lower()}]" in hidden:
                values[name] = REDACTED
                found.append(f"header[{name}]")
        changed[group] = values
    changed["redact"] = sorted({*found})
    return changed
