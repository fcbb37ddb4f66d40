"""Tests of lists of events: notations of the query, filters and pages."""

import json
import pytest
from itertools import product
from scheduler_api.dialects.events_v1.context import Kind, matches, search_terms
from scheduler_api.dialects.events_v1.filters import read_event_query
from tests.dialects.events_v1.conftest import Api
from typing import Any
from urllib.parse import parse_qsl

# The example query of the documentation, as encoded by three versions of the HTTP
# client axios.
JSON_NOTATION = (
    "query=%7B%22eventOwner%22:[%22user%40example.com%22],%22tags%22:[%22prod%22],"
    "%22context%22:[%7B%22path%22:[%22user%22],%22value%22:%2212345%22,"
    "%22type%22:%22Number%22,%22isArray%22:false%7D]%7D&limit=10&offset=0"
)
BRACKETS = (
    "query[eventOwner][0]=user%40example.com&query[tags][0]=prod"
    "&query[context][0][path][0]=user&query[context][0][value]=12345"
    "&query[context][0][type]=Number&query[context][0][isArray]=false"
    "&limit=10&offset=0"
)
NOTATIONS = [JSON_NOTATION, BRACKETS, BRACKETS.replace("[", "%5B").replace("]", "%5D")]


def condition(
    *path: str, value: object, kind: str = "String", is_array: object = False
) -> dict[str, Any]:
    return {"path": list(path), "value": value, "type": kind, "isArray": is_array}


def select(api: Api, **query: Any) -> list[str]:
    return api.list_events(query=json.dumps(query))[0]


@pytest.fixture
def three(api: Api) -> list[str]:
    made = [
        api.create(),
        api.create(eventOwner="User@Example.com", tags=["test", "prod"]),
        api.create(
            eventOwner="other@example.com", tags=["test"], context={"user": "x"}
        ),
    ]
    return [event["eventId"] for event in made]


@pytest.mark.parametrize("notation", NOTATIONS)
def test_the_documented_example_works_in_each_notation(
    api: Api, three: list[str], notation: str
):
    status, response = api.call("GET", f"/v1/events?{notation}")

    assert status == 200
    assert [event["eventId"] for event in response["data"]] == three[:2]
    assert response["meta"] == {"total": 2}


def test_all_notations_of_a_query_are_equal():
    first, *others = [read_event_query(parse_qsl(notation)) for notation in NOTATIONS]

    assert others == [first, first]
    assert (first.page.limit, first.page.offset) == (10, 0)
    assert [c.path for c in first.conditions] == [("user",)]


@pytest.mark.parametrize(
    ("query", "tags"),
    [
        ("query[tags][]=a&query[tags][]=b", ["a", "b"]),
        ("query[tags]=a&query[tags]=b", ["a", "b"]),
        ("query[tags]=a", ["a"]),
        ("query[tags][10]=b&query[tags][9]=a", ["a", "b"]),
        ("query[tags][999999]=a", ["a"]),
        ("query[tags][0]=a+b&query[tags][1]=c%2Bd,e", ["a b", "c+d,e"]),
        ("query[tags][0]=x[0]", ["x[0]"]),
        ("query={%22tags%22:[%22a+b%22,%22c%2Bd,e%22]}", ["a b", "c+d,e"]),
        ("query={%22tags%22:%22a%22}", ["a"]),
        ("query[tags]=&query[eventOwner]=", []),
        ("query={%22tags%22:[],%22context%22:{},%22eventOwner%22:null}", []),
        ("query=", []),
        ("query={}", []),
        ("query[__proto__][x]=1&query[other]=2&query=", []),
        ("", []),
    ],
)
def test_tags_are_read_from_every_notation(query: str, tags: list[str]):
    parsed = read_event_query(parse_qsl(query, keep_blank_values=True))
    expected = read_event_query([("query", json.dumps({"tags": tags}))])

    assert parsed.groups == expected.groups
    assert bool(parsed.groups) == bool(tags)


def test_a_condition_without_indices_is_one_condition():
    names = {"[path][]": "a", "[value]": "1", "[type]": "Number"}
    query = "&".join(f"query[context][]{name}={v}" for name, v in names.items())
    without_brackets = query.replace("[]", "")

    for notation in (query, without_brackets + "&query[context][path][]=b"):
        [parsed] = read_event_query(parse_qsl(notation)).conditions
        assert (parsed.kind, parsed.value) == (Kind.NUMBER, "1.0")


def test_one_value_of_each_filter_must_match(api: Api, three: list[str]):
    assert select(api, eventOwner=["user@example.com"]) == three[:2]
    assert select(api, eventOwner=["x@y.zz", "other@example.com"]) == three[2:]
    assert select(api, tags=["test"]) == three[1:]
    assert select(api, tags=["test", "prod"]) == three
    assert select(api, tags=["Prod"]) == []
    assert select(api, tags=["test"], eventOwner=["USER@example.com"]) == [three[1]]
    number = condition("user", value="12345", kind="Number")
    assert select(api, tags=["test"], context=[number]) == [three[1]]
    assert select(api, context=[number, condition("user", value="x")]) == []


CONTEXT = {
    "n": 12345,
    "s": "12345",
    "t": True,
    "z": None,
    "a.b": {"c": "deep"},
    "list": [1, "two", {"three": 3.0}, [4]],
    "": "empty",
    "big": 2**53,
    "zero": -0.0,
}
MATCHING = [
    condition("n", value="12345", kind="Number"),
    condition("n", value=12345, kind="Number"),
    condition("n", value=" 12345.0 ", kind="Number"),
    condition("n", value="1.2345e4", kind="Number"),
    condition("s", value="12345"),
    condition("s", value=12345),
    condition("a.b", "c", value="deep"),
    condition("list", value="1", kind="Number", is_array=True),
    condition("list", value="two", is_array="true"),
    condition("list", "1", value="two"),
    condition("list", "2", "three", value="3", kind="Number"),
    condition("list", "3", value="4", kind="Number", is_array=True),
    condition("", value="empty"),
    condition("big", value=str(2**53 + 1), kind="Number"),
    condition("zero", value="0", kind="Number"),
]
NOT_MATCHING = [
    condition("n", value="12345"),
    condition("s", value="12345", kind="Number"),
    condition("t", value="1", kind="Number"),
    condition("t", value="true"),
    condition("z", value="null"),
    condition("a", "b", "c", value="deep"),
    condition("a.b", value="deep"),
    condition("missing", value="x"),
    condition("n", "0", value="1", kind="Number"),
    condition("list", value="1", kind="Number"),
    condition("list", value="1", is_array=True),
    condition("list", "01", value="two"),
    condition("list", "9", value="two"),
    condition("list", value="3", kind="Number", is_array=True),
    condition("n", value="12345", kind="Number", is_array=True),
    condition("list", "1", value="two", is_array=True),
]


@pytest.mark.parametrize(
    "post_filtered", [False, True], ids=["few leaves", "many leaves"]
)
def test_conditions_on_the_context(api: Api, post_filtered: bool):
    other = {f"other{n}": n for n in range(40)} if post_filtered else {}
    made = api.create(context=CONTEXT | other)["eventId"]
    api.create(context={"n": 1} | other)

    for filter_ in MATCHING:
        assert select(api, context=[filter_]) == [made], filter_
    for filter_ in NOT_MATCHING:
        assert select(api, context=[filter_]) == [], filter_
    assert select(api, tags=["prod"], context=MATCHING) == [made]


def test_a_context_has_the_search_terms_of_the_conditions_that_it_matches():
    values = [1, 1.5, "1", "x", True, None, [1, "x"], {"a": 1}, {"0": "x"}, []]
    contexts = [{"a": one, "b": two} for one, two in product(values, values)]
    conditions = [
        read_event_query([("query", json.dumps({"context": [filter_]}))]).conditions[0]
        for filter_ in (
            condition(*path, value=value, kind=kind, is_array=is_array)
            for path in (["a"], ["b"], ["a", "a"], ["a", "0"], ["b", "1"])
            for value, kind in [("1", "Number"), ("1", "String"), ("x", "String")]
            for is_array in (False, True)
        )
    ]

    for context in contexts:
        terms = set(search_terms(context))
        for parsed in conditions:
            has_term = parsed.search_term in terms
            assert has_term == matches(context, [parsed]), (context, parsed)


def test_a_context_has_a_limited_number_of_search_terms():
    small, large = ({f"key{n}": n for n in range(count)} for count in (32, 33))

    assert len(search_terms(small)) == 32
    assert len(search_terms(large)) == 1
    assert len(search_terms({"list": [[[1] * 50_000] * 3]})) <= 32


BAD_CONTEXT = [
    ({"value": "x", "type": "String"}, "path must be a list of at least one key"),
    (condition(value="x"), "path must be a list of at least one key"),
    ({"path": [1], "value": "x", "type": "String"}, "path must be a list of strings"),
    ({"path": ["a"], "type": "String"}, "value must be a string or a number"),
    (condition("a", value=True), "value must be a string or a number"),
    (condition("a", value="x", kind="Number"), "value must be a number"),
    (condition("a", value="1e999", kind="Number"), "value must be a number"),
    (
        condition("a", value="x", kind="Date"),
        "type must be one of the following values: Number, String",
    ),
    (condition("a", value="x", is_array="yes"), "isArray must be a boolean value"),
    (condition("a", value="x", is_array=1), "isArray must be a boolean value"),
]


@pytest.mark.parametrize(("filter_", "message"), BAD_CONTEXT)
def test_a_wrong_condition_is_refused(api: Api, filter_: object, message: str):
    query = {"query": json.dumps({"context": [filter_]})}

    refused = api.error("GET", "/v1/events", query_string=query)

    assert refused == (400, [f"query.context.0.{message}"])


MANY = "&".join(f"query[tags][{n}]=x" for n in range(201))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("query={", "query must be a JSON object"),
        ("query=[]", "query must be a JSON object"),
        ("query=1", "query must be a JSON object"),
        ("query[0]=x", "query must be a JSON object"),
        ("query={}&query={}", "query must be given once"),
        (
            "query={}&query[tags]=x",
            "query must be either JSON or bracketed parameters, not both",
        ),
        ("query[a][b][c][d][e][f]=x", "query must be no more than 5 levels deep"),
        (MANY, "there must be no more than 200 parameters"),
        ("query={%22tags%22:[1]}", "each value in query.tags must be a string"),
        ("query[tags][x]=1", "each value in query.tags must be a string"),
        ("query[context]=x", "query.context.0 must be an object"),
        ("limit=-1", "limit must be a natural number"),
        ("limit=1.5", "limit must be a natural number"),
        ("limit=all", "limit must be a natural number"),
        ("limit=1001", "limit must not be greater than 1000"),
        ("offset=-1", "offset must be a natural number"),
    ],
)
def test_a_wrong_query_is_refused(api: Api, query: str, message: str):
    assert api.error("GET", f"/v1/events?{query}") == (400, [message])


def test_all_faults_of_a_query_are_in_one_response(api: Api):
    status, messages = api.error("GET", "/v1/events?limit=x&offset=y&query=z")

    assert status == 400
    assert messages == [
        "limit must be a natural number",
        "offset must be a natural number",
        "query must be a JSON object",
    ]


def test_the_pages_of_a_list_contain_each_event_once(api: Api):
    made = [api.create(tags=[f"t{n % 2}"])["eventId"] for n in range(7)]

    pages = [api.list_events(limit=3, offset=offset) for offset in (0, 3, 6, 9)]

    assert [total for _, total in pages] == [7] * 4
    assert [event_id for ids, _ in pages for event_id in ids] == made
    assert api.list_events(limit=0) == ([], 7)
    assert api.list_events(limit="", offset="") == (made, 7)
    odd = api.list_events(limit=2, offset=1, query='{"tags":["t1"]}')
    assert odd == (made[3::2], 3)


def test_an_edited_event_is_found_by_its_new_fields(api: Api):
    made = api.create(tags=["old"], context={"user": 1})
    path = f"/v1/events/{made['eventId']}"

    api.data("PATCH", path, {"tags": ["new"]})

    assert select(api, tags=["old"]) == []
    assert select(api, tags=["new"]) == [made["eventId"]]
    number = condition("user", value="1", kind="Number")
    assert select(api, context=[number]) == [made["eventId"]]
    api.data("PATCH", path, {"context": None})
    assert select(api, context=[number]) == []
    api.data("DELETE", path)
    assert select(api, tags=["new"]) == []


def test_a_filter_has_a_limited_number_of_values(api: Api):
    for name, value in [("tags", "x"), ("eventOwner", "a@b.cc"), ("context", {})]:
        query = {"query": json.dumps({name: [value] * 101})}
        message = f"query.{name} must contain no more than 100 elements"

        refused = api.error("GET", "/v1/events", query_string=query)

        assert refused == (400, [message])


def test_a_list_of_several_batches_is_complete(api: Api):
    made = [api.create()["eventId"] for _ in range(101)]

    assert api.list_events(limit=1000) == (made, 101)
