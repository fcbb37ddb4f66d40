"""The decorator that documents a view for OpenAPI.

    @documented(body=NewEvent, response=Event, errors=(400, 413))
    def create(self, owner: Owner) -> Response:
        "Create an event; it is stored before the response is sent."

Every view of a dialect needs the decorator; `tests/web/test_openapi.py` fails if a view
lacks the decorator. The module `scheduler_api.web.openapi` creates the documents
`/openapi/<name>.json`. It takes path, method and path variables from the route, and the
summary from the first line of the view's docstring. It takes all else from the
decorator and the dialect's `DOCUMENT`.

In tests, the HTTP clients compare every response with the document
(`tests/documents.py`). A field or status that is not documented fails the test.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from marshmallow import Schema, fields
from marshmallow.validate import Length
from scheduler_api.web.idempotency import HEADER, MAX_LENGTH
from typing import Any, TypeVar

JSON = "application/json"
# The name of the attribute in which `documented` stores the `Route` of a view.
ATTRIBUTE = "documented_route"

# The schema of the header that makes a request safe to repeat.
IdempotencyKey = Schema.from_dict(
    {HEADER: fields.String(validate=Length(1, MAX_LENGTH))}, name="IdempotencyKey"
)

# A marshmallow schema, or JSON Schema that may contain marshmallow schemas, such as
# `{"type": "array", "items": Event}`.
Shape = type[Schema] | Mapping[str, object]
View = TypeVar("View", bound=Callable[..., object])


@dataclass(frozen=True)
class Route:
    """The documentation of a view.

    `statuses` are the statuses of successful responses. `response` is the body of these
    responses; None means an empty body. `success` says what they mean: a text, or one
    for each status; '' means the first line of the docstring of `response`. `errors`
    are the error statuses of this view; `Document.errors` has the error statuses of all
    views. `read_only` is whether a read-only token may use the route; None means that
    it may if the method is GET.
    """

    response: Shape | None = None
    statuses: tuple[int, ...] = (200,)
    success: str | Mapping[int, str] = ""
    body: Shape | None = None
    needs_body: bool = True
    content_type: str = JSON
    query: type[Schema] | None = None
    headers: type[Schema] | None = None
    errors: tuple[int, ...] = ()
    needs_token: bool = True
    read_only: bool | None = None


@dataclass(frozen=True)
class Document:
    """The parts of a dialect's OpenAPI document that do not come from its routes.

    `blueprint` is the name of the blueprint with the routes. `security` maps names to
    security schemes; a request needs only one of the schemes. `errors` are statuses
    that every route can return; `error` is the body of these responses. `in_path` maps
    path variables to their descriptions, `path_examples` maps some of them to a value
    for example requests.
    """

    name: str
    blueprint: str
    title: str
    version: str
    security: Mapping[str, Mapping[str, str]]
    error: type[Schema]
    errors: tuple[int, ...] = (401, 403, 429, 500, 503)
    in_path: Mapping[str, str] = field(default_factory=dict)
    path_examples: Mapping[str, str] = field(default_factory=dict)


def documented(**fields: Any) -> Callable[[View], View]:
    """Return a decorator that documents a view; `fields` are the fields of `Route`."""
    route = Route(**fields)

    def add(view: View) -> View:
        setattr(view, ATTRIBUTE, route)
        return view

    return add


def array_of(items: Shape) -> Shape:
    """Return the shape of an array of items."""
    return {"type": "array", "items": items}
