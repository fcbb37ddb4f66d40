"""The decorator that documents a view for OpenAPI.

    @documented(body=NewEvent, response=Event, errors=(400, 413))
    def create(self, owner: Owner) -> Response:
        "Create an event; it is stored before the response is sent."

Every view of a dialect needs it; `tests/web/test_openapi.py` fails otherwise. Path,
method and path variables come from the route, the summary from the first line of the
docstring, the rest from the decorator and the dialect's `DOCUMENT`. The module
`scheduler_api.web.openapi` writes `/openapi/<name>.json` from them.

The test clients compare every response with the document (`tests/documents.py`). They
fail on an undocumented field or status.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from marshmallow import Schema, fields
from marshmallow.validate import Length
from scheduler_api.web.idempotency import HEADER, MAX_LENGTH
from typing import Any, TypeVar

JSON = "application/json"
# The attribute of a view that contains its documentation.
ATTRIBUTE = "documented_route"

# The header that makes a request safe to repeat.
IdempotencyKey = Schema.from_dict(
    {HEADER: fields.String(validate=Length(1, MAX_LENGTH))}, name="IdempotencyKey"
)

# A schema, or JSON Schema that may contain schemas: `{"type": "array", "items": …}`.
Shape = type[Schema] | Mapping[str, object]
View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True)
class Route:
    """The documentation of a view.

    `statuses` are the successful ones; all have the body `response`, None for an empty
    one. `errors` are added to those of the dialect.
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
    """What a dialect's document contains besides the routes of `blueprint`.

    `security` contains security schemes by name; one of them is enough. `errors` are
    the error statuses of all routes, `error` the body of each. `in_path` describes
    path variables.
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
    """Document a view; accepts the fields of `Route`."""
    route = Route(**fields)

    def add(view: View) -> View:
        setattr(view, ATTRIBUTE, route)
        return view

    return add


def array_of(items: Shape) -> Shape:
    """The shape of an array."""
    return {"type": "array", "items": items}
