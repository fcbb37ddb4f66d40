"""`GET /cron/preview`: lists the next runs of a cron expression."""

import orjson
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from flask import Blueprint, Response, request
from scheduler_api.core import timestamps
from scheduler_api.core.cron import expression, preview
from scheduler_api.core.cron.clock_changes import ClockChange, Fold, Gap
from scheduler_api.core.cron.expression import Cron, CronError, Grammar
from scheduler_api.core.cron.preview import (
    DEFAULT_RUNS,
    FIRST_YEAR,
    LAST_YEAR,
    MAX_RUNS,
)
from scheduler_api.core.cron.zones import check_zone
from scheduler_api.services import Services
from scheduler_api.web.access import any_access
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.values import read_integer

# This module renders the errors of all requests at these paths and below.
PREFIXES: tuple[str, ...] = ("/cron",)
NAMES = ("expression", "tz", "after", "count", "dialect", "gap", "fold")
INTERNAL_ERROR = "Internal server error"


@dataclass(frozen=True)
class PreviewRequest:
    """A cron rule, and which runs of the rule to list.

    If `after_ms` is None, the list begins with the next run after now.
    """

    rule: Cron
    after_ms: int | None
    count: int


def blueprint(services: Services) -> Blueprint:
    """Return a blueprint with the endpoint, which accepts any token."""
    routes = Blueprint("preview", __name__, url_prefix="/cron")

    @routes.get("/preview")
    def get() -> Response:
        access = any_access(services)
        if access.tenant is not None:
            services.limits.count_request(access.tenant)
        pairs = read_parameters(request.environ)
        wanted = parse_parameters(pairs, grammars=services.grammars)
        after_ms = wanted.after_ms
        if after_ms is None:
            after_ms = services.cell.now_ms()
        return _respond(render(wanted, after_ms))

    routes.register_error_handler(Refusal, _refusal)
    routes.register_error_handler(CronError, _cron_error)
    return routes


def error(status: int, message: str) -> Response:
    """Return an error response in the format of this endpoint."""
    return _respond({"error": message}, status)


def internal_error(_endpoint: str | None) -> str:
    """Return the message of an internal error."""
    return INTERNAL_ERROR


def parse_parameters(
    pairs: Iterable[tuple[str, str]], *, grammars: Mapping[str, Grammar]
) -> PreviewRequest:
    """Parse the parameters of a query.

    Args:
        grammars: maps the values of the parameter `dialect` to grammars.

    Raises: Refusal, CronError.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if name not in NAMES:
            names = ", ".join(NAMES)
            raise Refusal(400, f"{name[:40]!r} is no parameter here: use {names}")
        if name in values:
            raise Refusal(400, f"{name!r} is given twice")
        values[name] = value
    if "expression" not in values:
        raise Refusal(
            400, "'expression' is missing: it takes five cron fields, or more"
        )
    rule = _rule(values, grammars)
    return PreviewRequest(rule, _after_ms(values), _count(values))


def read_instant(text: str) -> int:
    """Parse an ISO 8601 time from `FIRST_YEAR` to `LAST_YEAR`; return epoch ms.

    A blank before the offset from UTC is read as `+`, because the decoding of a query
    replaces `+` by a blank.

    Raises: ValueError.
    """
    at_ms = timestamps.from_iso(text.replace(" ", "+") if "T" in text else text)
    if not FIRST_YEAR <= int(timestamps.to_iso(at_ms)[:4]) <= LAST_YEAR:
        raise ValueError(f"out of range: {text!r}")
    return at_ms


def _rule(values: Mapping[str, str], grammars: Mapping[str, Grammar]) -> Cron:
    tz = values.get("tz", "UTC")
    dialect = _choice(values, "dialect", grammars)
    gap, fold = _choice(values, "gap", Gap), _choice(values, "fold", Fold)
    check_zone(tz)
    return expression.parse(
        values["expression"],
        tz=tz,
        grammar=grammars[dialect] if dialect else expression.FULL,
        policy=ClockChange(Gap(gap or Gap.AFTER), Fold(fold or Fold.FIRST)),
    )


def _after_ms(values: Mapping[str, str]) -> int | None:
    if "after" not in values:
        return None
    try:
        return read_instant(values["after"])
    except ValueError as err:
        raise Refusal(
            400,
            f"'after' takes an ISO 8601 time of the years {FIRST_YEAR} to {LAST_YEAR},"
            f" as in 2026-03-29T00:00:00Z, not {values['after'][:40]!r}",
        ) from err


def _count(values: Mapping[str, str]) -> int:
    text = values.get("count", str(DEFAULT_RUNS))
    count = read_integer(text)
    if count is not None and 1 <= count <= MAX_RUNS:
        return count
    raise Refusal(
        400, f"'count' takes a number from 1 to {MAX_RUNS}, not {text[:40]!r}"
    )


def _choice(values: Mapping[str, str], name: str, choices: Iterable[str]) -> str | None:
    text = values.get(name)
    if text is None or text in [*choices]:
        return text
    listed = ", ".join(choices)
    raise Refusal(400, f"{name!r} takes one of {listed}, not {text[:40]!r}")


def render(wanted: PreviewRequest, after_ms: int) -> dict[str, object]:
    """Return the next runs as JSON.

    Raises: CronError.
    """
    found = preview.preview(wanted.rule, after_ms=after_ms, count=wanted.count)
    return {
        "expression": wanted.rule.expression,
        "tz": wanted.rule.tz,
        "runs": [
            {
                "at": timestamps.to_iso(run.at_ms).replace(".000Z", "Z"),
                "local": run.local.isoformat(),
                **({"note": run.note} if run.note else {}),
            }
            for run in found.runs
        ],
        "skipped": [
            {"local": skipped.local.isoformat(), "why": skipped.reason}
            for skipped in found.skipped
        ],
    }


def _refusal(refusal: Refusal) -> Response:
    return _respond({"error": str(refusal), "position": None}, refusal.status)


def _cron_error(err: CronError) -> Response:
    return _respond({"error": str(err), "position": err.position}, 400)


def _respond(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status=status, mimetype="application/json")
