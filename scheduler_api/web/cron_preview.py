"""`GET /cron/preview`: when a cron expression would run, without making a schedule."""

import orjson
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from flask import Blueprint, Response, request
from scheduler_api.auth import Auth, Unauthorized, bearer_token
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
from scheduler_api.core.tenants.accounts import Tenant
from scheduler_api.services import Services
from scheduler_api.web.query_string import read_parameters
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.values import read_integer

PREFIXES: tuple[str, ...] = ("/cron",)
NAMES = ("expression", "tz", "after", "count", "dialect", "gap", "fold")
KEY_HEADER = "X-API-Key"
INTERNAL_ERROR = "Internal server error"


@dataclass(frozen=True)
class Asked:
    """A rule, and which of its runs are to be shown: from now on without an instant."""

    rule: Cron
    after_ms: int | None
    count: int


def blueprint(services: Services) -> Blueprint:
    """The route; a token opens it whatever dialect its owner uses."""
    routes = Blueprint("preview", __name__, url_prefix="/cron")

    @routes.get("/preview")
    def show() -> Response:
        _tenant(services.auth)
        pairs = read_parameters(request.environ)
        asked = read(pairs, grammars=services.grammars)
        after_ms = asked.after_ms
        if after_ms is None:
            after_ms = services.cell.now_ms()
        return _respond(_answer(asked, after_ms))

    routes.register_error_handler(Refusal, _refusal)
    routes.register_error_handler(CronError, _cron_error)
    return routes


def error(status: int, message: str) -> Response:
    """An error of this endpoint."""
    return _respond({"error": message}, status)


def internal_error(_endpoint: str | None) -> str:
    """The message for a fault of ours."""
    return INTERNAL_ERROR


def read(pairs: Iterable[tuple[str, str]], *, grammars: Mapping[str, Grammar]) -> Asked:
    """Parse the parameters of a query.

    Args:
        grammars: by the names that `dialect` accepts.

    Raises: Refusal, CronError.
    """
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in NAMES:
            known = ", ".join(NAMES)
            raise Refusal(400, f"{name[:40]!r} is no parameter here: use {known}")
        if name in given:
            raise Refusal(400, f"{name!r} is given twice")
        given[name] = value
    if "expression" not in given:
        raise Refusal(
            400, "'expression' is missing: it takes five cron fields, or more"
        )
    return Asked(_rule(given, grammars), _after(given), _count(given))


def read_instant(text: str) -> int:
    """The epoch ms of an ISO 8601 text, within the years that previews take.

    A blank before an offset was a plus until a query was decoded.

    Raises: ValueError.
    """
    at_ms = timestamps.from_iso(text.replace(" ", "+") if "T" in text else text)
    if not FIRST_YEAR <= int(timestamps.to_iso(at_ms)[:4]) <= LAST_YEAR:
        raise ValueError(f"out of range: {text!r}")
    return at_ms


def _tenant(auth: Auth) -> Tenant:
    """Raises: Unauthorized, redis.RedisError."""
    try:
        return auth.tenant(bearer_token(request.headers.get("Authorization", "")))
    except Unauthorized:
        return auth.tenant(request.headers.get(KEY_HEADER))


def _rule(given: Mapping[str, str], grammars: Mapping[str, Grammar]) -> Cron:
    tz = given.get("tz", "UTC")
    dialect = _word(given, "dialect", grammars)
    gap, fold = _word(given, "gap", Gap), _word(given, "fold", Fold)
    expression.check_zone(tz)
    return expression.parse(
        given["expression"],
        tz=tz,
        grammar=grammars[dialect] if dialect else expression.FULL,
        policy=ClockChange(Gap(gap or Gap.AFTER), Fold(fold or Fold.FIRST)),
    )


def _after(given: Mapping[str, str]) -> int | None:
    if "after" not in given:
        return None
    try:
        return read_instant(given["after"])
    except ValueError as err:
        raise Refusal(
            400,
            f"'after' takes an ISO 8601 time of the years {FIRST_YEAR} to {LAST_YEAR},"
            f" as in 2026-03-29T00:00:00Z, not {given['after'][:40]!r}",
        ) from err


def _count(given: Mapping[str, str]) -> int:
    text = given.get("count", str(DEFAULT_RUNS))
    count = read_integer(text)
    if count is not None and 1 <= count <= MAX_RUNS:
        return count
    raise Refusal(
        400, f"'count' takes a number from 1 to {MAX_RUNS}, not {text[:40]!r}"
    )


def _word(given: Mapping[str, str], name: str, known: Iterable[str]) -> str | None:
    text = given.get(name)
    if text is None or text in [*known]:
        return text
    listed = ", ".join(known)
    raise Refusal(400, f"{name!r} takes one of {listed}, not {text[:40]!r}")


def _answer(asked: Asked, after_ms: int) -> dict[str, object]:
    found = preview.preview(asked.rule, after_ms=after_ms, count=asked.count)
    return {
        "expression": asked.rule.expression,
        "tz": asked.rule.tz,
        "runs": [
            {
                "at": timestamps.to_iso(run.at_ms).replace(".000Z", "Z"),
                "local": run.local.isoformat(),
                **({"note": run.note} if run.note else {}),
            }
            for run in found.runs
        ],
        "skipped": [
            {"local": each.local.isoformat(), "why": each.reason}
            for each in found.skipped
        ],
    }


def _refusal(refusal: Refusal) -> Response:
    return _respond({"error": str(refusal), "position": None}, refusal.status)


def _cron_error(err: CronError) -> Response:
    return _respond({"error": str(err), "position": err.position}, 400)


def _respond(body: object, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status=status, mimetype="application/json")
