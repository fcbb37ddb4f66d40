"""The page that creates an event or a schedule, with a preview of its runs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from flask import Response, request, url_for
from scheduler_api.core import public_ids
from scheduler_api.core.cron.description import describe
from scheduler_api.core.cron.expression import Cron, CronError, parse
from scheduler_api.core.cron.preview import Preview, preview
from scheduler_api.core.cron.zones import check_zone
from scheduler_api.core.model import Owner
from scheduler_api.core.store import audit
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.dialects.composition import BadField, Composer, Form
from scheduler_api.services import Services
from scheduler_api.web.access import change
from scheduler_api.web.values import read_date

# How an event gets its time; CRON: a schedule creates events.
NOW, DELAY, AT, CRON = "now", "delay", "at", "cron"
WAYS = {
    NOW: "Now",
    DELAY: "After a delay",
    AT: "At a time",
    CRON: "Again and again, by a cron line",
}
DEFAULTS = {
    "url": "",
    "method": "",
    "headers": "Content-Type: application/json",
    "body": "",
    "when": NOW,
    "delay": "5m",
    "at": "",
    "expression": "0 9 * * 1-5",
    "zone": "UTC",
    "retries": "3",
    "label": "",
    "queue": "",
    "failure_callback": "",
}
# The fields that most requests do without.
MORE = ("label", "queue", "failure_callback")
# The names of the buttons beside the one that creates.
TEST, PREVIEW = "test", "preview"
RUNS, MAX_ATTEMPTS = 10, 10
BAD_TIME = "It should be a time such as 2026-12-31T12:00, in UTC"
NO_URL = "It should be a URL that begins with http:// or https://"
PAST_TIME = "It should be in the future"


@dataclass(frozen=True)
class Forecast:
    """What a preview shows.

    Attributes:
        words: the cron line in words; '' for an event.
        runs: the next runs of the cron line.
        waits_ms: the time from the first attempt to each further one, the first of
            them.
        more: how many attempts are not among them.
        faults: what is wrong, by the name of the field.
    """

    words: str
    zone: str
    runs: Preview
    waits_ms: Sequence[int]
    more: int
    faults: dict[str, str]


class CreatePages:
    """Creates events and schedules for the tenant that a viewer sees."""

    def __init__(self, services: Services, composer: Composer) -> None:
        self._services = services
        self._composer = composer
        [self._dialect] = [
            each for each in outbound.DIALECTS if each.name == composer.dialect
        ]

    def form(self, viewer: Viewer) -> Response:
        """Show the form, filled in with what the address says."""
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        return self._form(_values(DEFAULTS))

    def preview(self, viewer: Viewer) -> Response:
        """Show the preview alone, for the script of the form."""
        forecast = self._forecast(_values(DEFAULTS))
        return page("create_preview.html", forecast=forecast)

    def create(self, viewer: Viewer) -> Response:
        """Create what the form says, and go to its page; or show a preview."""
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        values = _values(DEFAULTS)
        if PREVIEW in request.form:
            return self._form(values)
        owner = Owner(viewer.tenant, self._composer.dialect)
        try:
            if TEST in request.form and self._receiver:
                values = values | {"url": self._receiver, "when": NOW}
            if values["when"] == CRON:
                return self._create_schedule(owner, values)
            return self._create_event(owner, values)
        except BadField as err:
            return self._form(values, {err.field: str(err)})

    def _create_schedule(self, owner: Owner, values: dict[str, str]) -> Response:
        rule = {"expression": values["expression"], "zone": values["zone"]}
        # The composer reads the zone first, which is not the order of the form.
        cron = self._cron(values)
        if cron.tz != values["zone"]:
            raise BadField("zone", f"The cron line names the zone {cron.tz}")
        schedule = self._composer.create_schedule(owner, _form(values, rule))
        name = public_ids.schedule_id(owner, schedule.id, schedule.name)
        self._record(owner, "schedule.create", name)
        return to_page(url_for("dashboard.schedule", schedule_id=schedule.id))

    def _create_event(self, owner: Owner, values: dict[str, str]) -> Response:
        when = values["when"]
        at_ms = self._at_ms(values["at"]) if when == AT else None
        delay = values["delay"] if when == DELAY else ""
        if when == DELAY and not delay:
            raise BadField("delay", "It should be a duration such as 10s or 1d10h30m")
        form = _form(values, {"delay": delay}, at_ms=at_ms)
        event_id = self._composer.create_event(owner, form)
        name = public_ids.event_id(owner, event_id)
        self._record(owner, "event.create", name)
        return to_page(url_for("dashboard.event", event_id=name))

    def _record(self, owner: Owner, action: str, name: str) -> None:
        created = change(owner, action, name)
        after = {"state": "active"}
        audit.write(self._services.cell, created, before=None, after=after)

    def _at_ms(self, text: str) -> int:
        try:
            at_ms = read_date(text)
        except ValueError as err:
            raise BadField("at", BAD_TIME) from err
        if at_ms <= self._services.cell.now_ms():
            raise BadField("at", PAST_TIME)
        return at_ms

    def _cron(self, values: dict[str, str]) -> Cron:
        """Raises: BadField."""
        zone = values["zone"]
        try:
            check_zone(zone)
        except CronError as err:
            raise BadField("zone", f"It is an {err}") from err
        try:
            return parse(values["expression"], tz=zone, grammar=self._dialect.grammar)
        except CronError as err:
            raise BadField("expression", str(err)) from err

    def _forecast(self, values: dict[str, str]) -> Forecast:
        faults: dict[str, str] = {}
        words, zone, runs, waits = "", values["zone"], Preview(()), list[int]()
        try:
            if values["when"] == CRON:
                cron = self._cron(values)
                words, zone = describe(cron), cron.tz
                now_ms = self._services.cell.now_ms()
                runs = preview(cron, after_ms=now_ms, count=RUNS)
        except BadField as err:
            faults[err.field] = str(err)
        except CronError as err:
            faults["expression"] = str(err)
        try:
            waits = [*self._composer.waits_ms(values["retries"])]
        except BadField as err:
            faults[err.field] = str(err)
        offsets = [sum(waits[: each + 1]) for each in range(len(waits[:MAX_ATTEMPTS]))]
        return Forecast(words, zone, runs, offsets, len(waits) - len(offsets), faults)

    def _form(
        self, values: dict[str, str], faults: dict[str, str] | None = None
    ) -> Response:
        return page(
            "create.html",
            400 if faults else 200,
            values=values,
            faults=faults or {},
            ways=WAYS,
            methods=self._composer.methods,
            forecast=self._forecast(values),
            # A field that is wrong is not empty.
            has_more=any(values[name] for name in MORE),
            receiver=self._receiver,
        )

    @property
    def _receiver(self) -> str:
        """The URL of the built-in receiver, '' if it is off."""
        settings = self._services.settings
        if not settings.receiver:
            return ""
        return f"http://127.0.0.1:{settings.port}/receiver/test"


def _values(defaults: dict[str, str]) -> dict[str, str]:
    """Return the values of the fields; browsers write line breaks as CR LF."""
    return {
        name: request.values.get(name, default)
        .replace("\r\n", "\n")
        .strip("" if name == "body" else None)
        for name, default in defaults.items()
    }


def _form(
    values: dict[str, str], more: dict[str, str], *, at_ms: int | None = None
) -> Form:
    """Raises: BadField."""
    _check_scheme("url", values["url"])
    if values["failure_callback"]:
        _check_scheme("failure_callback", values["failure_callback"])
    return Form(
        url=values["url"],
        method=values["method"],
        headers=[*_headers(values["headers"].split("\n"))],
        body=values["body"].encode("utf-8", "surrogatepass"),
        retries=values["retries"],
        at_ms=at_ms,
        **{name: values[name] for name in MORE},
        **more,
    )


def _check_scheme(field: str, url: str) -> None:
    """Raises: BadField."""
    if not url.lower().startswith(("http://", "https://")):
        raise BadField(field, NO_URL)


def _headers(lines: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield the headers in lines of `Name: value`. Raises: BadField."""
    for line in lines:
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not name.strip():
            raise BadField("headers", f"{line[:40]!r} should be Name: value")
        yield name.strip(), value.strip()
