"""Parses the query parameters of lists: filters and pages. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from scheduler_api.core.queries.schedule_search import search_term
from scheduler_api.dialects.events_v1.context import (
    POST_FILTERED,
    Condition,
    Kind,
    comparable,
    read_number,
    search_terms,
)
from scheduler_api.dialects.events_v1.parsing import invalid
from scheduler_api.dialects.events_v1.query_string import read_query
from scheduler_api.web.refusal import Refusal
from scheduler_api.web.values import read_integer

DEFAULT_LIMIT, MAX_LIMIT = 100, 1_000
MAX_OFFSET = 10**12
# The maximum number of values of one filter.
MAX_VALUES = 100
TOO_MANY = f"must contain no more than {MAX_VALUES} elements"
KINDS: Mapping[object, Kind] = {kind.value: kind for kind in Kind}
# The valid values of `isArray`. They are texts in bracketed parameters, and booleans in
# JSON.
BOOLEANS: Mapping[object, bool] = {
    **{None: False, "": False, "false": False, "true": True},
    **{False: False, True: True},
}


@dataclass(frozen=True)
class Page:
    """The requested part of a list."""

    limit: int = DEFAULT_LIMIT
    offset: int = 0


@dataclass(frozen=True)
class FailureQuery:
    """A page of failed attempts.

    `owners` contains a search term for each `eventOwner` in the query. The page has the
    attempts of events with one of these terms. If `owners` is empty, it has the
    attempts of all events.
    """

    page: Page
    owners: tuple[str, ...]


@dataclass(frozen=True)
class EventQuery:
    """A page of the events that match all filters.

    Each item of `groups` contains search terms. An event must have at least one of
    these terms. For a condition on the context, the terms are the condition's search
    term and `POST_FILTERED`. An event with the term `POST_FILTERED` does not
    necessarily match, so its context must also be compared with `conditions`.
    """

    page: Page
    groups: tuple[tuple[str, ...], ...]
    conditions: tuple[Condition, ...]


def search_terms_of(
    event_owner: str, *, tags: Iterable[str], context: object
) -> list[str]:
    """Return the search terms of an event."""
    terms = [_owner_term(event_owner), *map(_tag_term, tags), *search_terms(context)]
    return list(dict.fromkeys(terms))


def read_event_query(pairs: list[tuple[str, str]]) -> EventQuery:
    """Parse the query of the list of events.

    Raises: Refusal, naming every fault.
    """
    page, faults = _page(pairs)
    try:
        query = read_query(pairs)
    except Refusal as err:
        raise invalid(*faults, *err.messages) from err
    owners = _texts(query, "eventOwner", faults)
    tags = _texts(query, "tags", faults)
    conditions = tuple(_conditions(query.get("context"), faults))
    if faults:
        raise invalid(*faults)
    groups = [
        tuple(map(_owner_term, owners)),
        tuple(map(_tag_term, tags)),
        *((condition.search_term, POST_FILTERED) for condition in conditions),
    ]
    return EventQuery(page, tuple(filter(None, groups)), conditions)


def read_page(pairs: list[tuple[str, str]]) -> Page:
    """Parse `limit` and `offset`.

    Raises: Refusal, naming every fault.
    """
    page, faults = _page(pairs)
    if faults:
        raise invalid(*faults)
    return page


def read_failure_query(pairs: list[tuple[str, str]]) -> FailureQuery:
    """Parse the query of the list of failures; `eventOwner` may be repeated.

    Raises: Refusal, naming every fault.
    """
    owners = [value for name, value in pairs if name == "eventOwner" and value]
    return FailureQuery(read_page(pairs), tuple(map(_owner_term, owners)))


def _page(pairs: Iterable[tuple[str, str]]) -> tuple[Page, list[str]]:
    """Return the page, and the faults in the parameters `limit` and `offset`."""
    parameters, faults, values = dict(pairs), [], {}
    for name, maximum in (("limit", MAX_LIMIT), ("offset", MAX_OFFSET)):
        text = parameters.get(name, "")
        if not text:
            continue
        number = read_integer(text)
        if number is None:
            faults.append(f"{name} must be a natural number")
        elif number > maximum:
            faults.append(f"{name} must not be greater than {maximum}")
        else:
            values[name] = number
    return Page(**values), faults


def _owner_term(event_owner: str) -> str:
    return search_term("owner", event_owner.lower())


def _tag_term(tag: str) -> str:
    return search_term("tag", tag)


def _texts(query: Mapping[str, object], name: str, faults: list[str]) -> list[str]:
    """Return the texts of a filter (one text or a list); append errors to `faults`."""
    value = query.get(name)
    values = value if isinstance(value, list) else [value]
    values = [value for value in values if value not in (None, "", {}, [])]
    if len(values) > MAX_VALUES:
        faults.append(f"query.{name} {TOO_MANY}")
        return []
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        faults.append(f"each value in query.{name} must be a string")
    return texts


def _conditions(value: object, faults: list[str]) -> Iterator[Condition]:
    """Yield the valid conditions on the context; append errors to `faults`."""
    if value in (None, "", {}, []):
        return
    conditions = value if isinstance(value, list) else [value]
    if len(conditions) > MAX_VALUES:
        faults.append(f"query.context {TOO_MANY}")
        return
    for index, condition in enumerate(conditions):
        name = f"query.context.{index}"
        if not isinstance(condition, dict):
            faults.append(f"{name} must be an object")
            continue
        found = list(_condition_faults(condition))
        faults += [f"{name}.{fault}" for fault in found]
        if not found:
            kind = KINDS[condition["type"]]
            compared = _compared_value(kind, condition["value"]) or ""
            in_array = BOOLEANS[condition.get("isArray")]
            yield Condition(tuple(condition["path"]), kind, compared, in_array)


def _condition_faults(condition: Mapping[str, object]) -> Iterator[str]:
    path, value, kind = (condition.get(name) for name in ("path", "value", "type"))
    if not isinstance(path, list) or not path:
        yield "path must be a list of at least one key"
    elif not all(isinstance(key, str) for key in path):
        yield "path must be a list of strings"
    is_kind = isinstance(kind, str) and kind in KINDS
    if not is_kind:
        yield f"type must be one of the following values: {', '.join(Kind)}"
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        yield "value must be a string or a number"
    elif is_kind and _compared_value(KINDS[kind], value) is None:
        yield "value must be a number"
    is_array = condition.get("isArray")
    if not isinstance(is_array, (str, bool, type(None))) or is_array not in BOOLEANS:
        yield "isArray must be a boolean value"


def _compared_value(kind: Kind, value: str | float) -> str | None:
    """Return the normalized value; None if `kind` is a number but the value is not."""
    if kind is Kind.NUMBER:
        return read_number(value) if isinstance(value, str) else comparable(value)[1]
    return value if isinstance(value, str) else f"{value}"
