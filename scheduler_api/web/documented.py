"""How routes are documented: beside each view, by one decorator.

The rule: a view that a dialect's blueprint routes is `@documented(...)`. The route
itself tells path, method and what stands in the path; the view's docstring tells what
it does; the decorator adds what goes in and what comes out. From these and the
dialect's `DOCUMENT` the module `scheduler_api.web.openapi` writes
`/openapi/<name>.json`. A route without it fails `tests/web/test_openapi.py`:

    @documented(body=NewEvent, response=Event, errors=(400, 413))
    def create(self, owner: Owner) -> Response:
        "Accepts an event; when it answers, the event is stored."

Tests hold every answer they get to the document (`tests/documents.py`): a field or a
status that it lacks fails them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from marshmallow import Schema, fields
from marshmallow.validate import Length
from scheduler_api.web.idempotency import HEADER, LONGEST
from typing import Any, TypeVar

JSON = "application/json"
# Where a view keeps its documentation.
ATTRIBUTE = "documented_route"

# The header by which a request is carried out once.
IdempotencyKey = Schema.from_dict(
    {HEADER: fields.String(validate=Length(1, LONGEST))}, name="IdempotencyKey"
)

# A schema, or JSON Schema in which schemas may stand: `{"type": "array", "items": …}`.
Shape = type[Schema] | Mapping[str, object]
View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True)
class Route:
    """What a route's document has beyond what the route itself tells.

    `response` is the body for all of `statuses`, None is empty; `errors` are statuses
    beyond those that any route may answer with.
    """

    response: Shape | None = None
    statuses: tuple[int, ...] = (200,)
    body: Shape | None = None
    needs_body: bool = True
    content_type: str = JSON
    query: type[Schema] | None = None
    headers: type[Schema] | None = None
    errors: tuple[int, ...] = ()
    needs_token: bool = True


@dataclass(frozen=True)
class Document:
    """What a dialect's document has beside its routes, those of `blueprint`.

    `security` has schemes by name, any of which is enough; `errors` are the statuses
    that any route may answer with; `in_path` says what stands in paths.
    """

    name: str
    blueprint: str
    title: str
    version: str
    security: Mapping[str, Mapping[str, str]]
    error: type[Schema]
    errors: tuple[int, ...] = (401, 500, 503)
    in_path: Mapping[str, str] = field(default_factory=dict)


def documented(**fields: Any) -> Callable[[View], View]:
    """Documents a view; takes the fields of `Route`."""
    route = Route(**fields)

    def add(view: View) -> View:
        setattr(view, ATTRIBUTE, route)
        return view

    return add


def array_of(items: Shape) -> Shape:
    """A list."""
    return {"type": "array", "items": items}
