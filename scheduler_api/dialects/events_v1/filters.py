"""What a list of events is asked for: its filters, and which part of it."""

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

LIMIT, MOST = 100, 1_000
LARGEST_OFFSET = 10**12
# Values of one filter.
MOST_VALUES = 100
TOO_MANY = f"must contain no more than {MOST_VALUES} elements"
KINDS: Mapping[object, Kind] = {kind.value: kind for kind in Kind}
# In brackets every value is a text.
BOOLEANS: Mapping[object, bool] = {
    **{None: False, "": False, "false": False, "true": True},
    **{False: False, True: True},
}


@dataclass(frozen=True)
class Part:
    """Which part of a list is asked for."""

    limit: int = LIMIT
    offset: int = 0


@dataclass(frozen=True)
class Failures:
    """A part of what failed; the terms of the owners that are meant, if not all."""

    part: Part
    owners: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """A part of the events that have a term of each group and fulfil all conditions.

    Contexts with too many leaves are found by every group of a condition.
    """

    part: Part
    groups: tuple[tuple[str, ...], ...]
    conditions: tuple[Condition, ...]


def search_terms_of(
    event_owner: str, *, tags: Iterable[str], context: object
) -> list[str]:
    """What an event is found by."""
    found = [_owner_term(event_owner), *map(_tag_term, tags), *search_terms(context)]
    return list(dict.fromkeys(found))


def read_listing(pairs: list[tuple[str, str]]) -> Listing:
    """The list that a query asks for.

    Raises: Refusal, naming every fault.
    """
    part, faults = _part(pairs)
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
    return Listing(part, tuple(filter(None, groups)), conditions)


def read_part(pairs: list[tuple[str, str]]) -> Part:
    """The part that `limit` and `offset` ask for.

    Raises: Refusal, naming every fault.
    """
    part, faults = _part(pairs)
    if faults:
        raise invalid(*faults)
    return part


def read_failures(pairs: list[tuple[str, str]]) -> Failures:
    """Which failures are asked for; `eventOwner` may be repeated.

    Raises: Refusal, naming every fault.
    """
    owners = [value for name, value in pairs if name == "eventOwner" and value]
    return Failures(read_part(pairs), tuple(map(_owner_term, owners)))


def _part(pairs: Iterable[tuple[str, str]]) -> tuple[Part, list[str]]:
    """A part, and what is wrong with it."""
    given, faults, parts = dict(pairs), [], {}
    for name, most in (("limit", MOST), ("offset", LARGEST_OFFSET)):
        text = given.get(name, "")
        if not text:
            continue
        number = read_integer(text)
        if number is None:
            faults.append(f"{name} must be a natural number")
        elif number > most:
            faults.append(f"{name} must not be greater than {most}")
        else:
            parts[name] = number
    return Part(**parts), faults


def _owner_term(event_owner: str) -> str:
    return search_term("owner", event_owner.lower())


def _tag_term(tag: str) -> str:
    return search_term("tag", tag)


def _texts(query: Mapping[str, object], name: str, faults: list[str]) -> list[str]:
    """A list of texts; one text is a list of it, nothing is no filter."""
    given = query.get(name)
    values = given if isinstance(given, list) else [given]
    values = [value for value in values if value not in (None, "", {}, [])]
    if len(values) > MOST_VALUES:
        faults.append(f"query.{name} {TOO_MANY}")
        return []
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < len(values):
        faults.append(f"each value in query.{name} must be a string")
    return texts


def _conditions(given: object, faults: list[str]) -> Iterator[Condition]:
    if given in (None, "", {}, []):
        return
    conditions = given if isinstance(given, list) else [given]
    if len(conditions) > MOST_VALUES:
        faults.append(f"query.context {TOO_MANY}")
        return
    for index, each in enumerate(conditions):
        where = f"query.context.{index}"
        if not isinstance(each, dict):
            faults.append(f"{where} must be an object")
            continue
        found = list(_faults_of(each))
        faults += [f"{where}.{fault}" for fault in found]
        if not found:
            kind = KINDS[each["type"]]
            value = _value(kind, each["value"])
            path, in_array = tuple(each["path"]), BOOLEANS[each.get("isArray")]
            yield Condition(path, kind, value or "", in_array)


def _faults_of(given: Mapping[str, object]) -> Iterator[str]:
    """What is wrong with a filter on the context."""
    path, value, kind = (given.get(name) for name in ("path", "value", "type"))
    if not isinstance(path, list) or not path:
        yield "path must be a list of at least one key"
    elif not all(isinstance(key, str) for key in path):
        yield "path must be a list of strings"
    known = isinstance(kind, str) and kind in KINDS
    if not known:
        yield f"type must be one of the following values: {', '.join(Kind)}"
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        yield "value must be a string or a number"
    elif known and _value(KINDS[kind], value) is None:
        yield "value must be a number"
    is_array = given.get("isArray")
    if not isinstance(is_array, (str, bool, type(None))) or is_array not in BOOLEANS:
        yield "isArray must be a boolean value"


def _value(kind: Kind, given: str | float) -> str | None:
    """What is compared, None for what is no number."""
    if kind is Kind.NUMBER:
        return read_number(given) if isinstance(given, str) else comparable(given)[1]
    return given if isinstance(given, str) else f"{given}"
