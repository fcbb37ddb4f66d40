"""Tests that no value in any documented place is a server error.

The operations, parameters and fields are those of the OpenAPI documents.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from scheduler_api.dialects.inbound import DIALECTS
from tests.dialects.engine import Web
from tests.dialects.furnished import NAME, Furnished, furnish
from tests.fuzzing import FACTOR
from typing import Any
from urllib.parse import quote, urlencode

Json = Any

# Each place gets a few of the values, and other ones than the place before it.
STEP = 1 if FACTOR else 53
TEXTS = (
    *("", " ", "\0", "\r\n", "\x7f", "\x85", "\u2028", "\ufeff", "\U0001f600", "é"),
    *(
        "null",
        "true",
        "[]",
        "{}",
        "NaN",
        "-0",
        "-1",
        "0",
        "1e400",
        "0x10",
        "\uff11\uff12",
    ),
    *(
        "9" * 30,
        "99999999999999",
        "1.5",
        "1-1",
        "-1-0",
        "9" * 20 + "-0",
        "1725323658779-x",
    ),
    *("..", "../..", "%00", "%ff", "%", "*", "?", "[a", "a:b", "{s1}:e:1", "s:1", "~1"),
    *("x" * 300, "x" * 5_000, "a,b,,", ",", "=", "a=b&c", "'; --", "${7*7}", "{{7*7}}"),
    *(
        "2399-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "0000-01-01",
        "-1s",
        "1e9h",
        "P1D",
    ),
    *(
        "* * * * *",
        "@every 1ns",
        "0 0 30 2 *",
        "CRON_TZ=X/Y * * * * *",
        "Europe/Berlin",
    ),
)
VALUES: tuple[Json, ...] = (
    *TEXTS,
    *(None, True, False, 0, -1, 1.5, 1e308, 2**31, 2**53 + 1, 2**63, 10**30),
    *([], {}, [None], [[]], [{}], {"": ""}, {"a": None}, ["x"] * 200, [1, "a", None]),
    {"a": {"a": {"a": {"a": {"a": []}}}}},
)


def operations(furnished: Furnished) -> Iterator[tuple[str, str, str, Json, Json]]:
    for dialect in DIALECTS:
        path = f"/openapi/{dialect.DOCUMENT.name}.json"
        document = furnished.web.app.test_client().get(path).get_json()
        for path, item in document["paths"].items():
            for method, operation in item.items():
                kind = dialect.DOCUMENT.blueprint
                yield kind, method.upper(), path, operation, document


def resolved(schema: Json, document: Json) -> Json:
    if "$ref" in schema:
        return document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def body_of(schema: Json, document: Json, name: str, value: Json) -> Json:
    """A body with one hostile field, whose other fields have plausible values."""
    plain = {
        "destination": "https://a.example/",
        "callbackUrl": "https://a.example/",
        "scheduledTime": "2399-01-01T00:00:00Z",
        "endDate": "2399-01-01T00:00:00Z",
        "expression": "0 0 1 1 *",
        "interval": "0 0 1 1 *",
        "eventOwner": "ada@a.example",
        "payload": "",
        "queueName": NAME,
    }
    known = schema.get("properties", {})
    return {n: v for n, v in plain.items() if n in known} | {name: value}


def requests(furnished: Furnished) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield method, path, and more arguments; each request has one hostile value."""
    place = 0
    for kind, method, path, operation, document in operations(furnished):
        ids = {name: quote(v, safe="") for name, v in furnished.ids[kind].items()}
        usual = path.format(**ids)
        for parameter in operation["parameters"]:
            name, where = parameter["name"], parameter["in"]
            place += 1
            for text in TEXTS[place % STEP :: STEP]:
                if where == "path":
                    yield method, path.format(**ids | {name: quote(text, safe="")}), {}
                elif where == "query":
                    yield method, f"{usual}?{urlencode({name: text})}", {}
                elif "\r" not in text:
                    sent = text.encode().decode("latin-1")
                    yield method, usual, {"headers": {name.replace("*", "X"): sent}}
        for content in operation.get("requestBody", {}).get("content", {}).values():
            schema = resolved(content.get("schema", {}), document)
            items = resolved(schema.get("items", {}), document)
            for name in (schema | items).get("properties", {}):
                place += 1
                for value in VALUES[place % STEP :: STEP]:
                    body = body_of(schema | items, document, name, value)
                    yield method, usual, {"json": [body] if items else body}
            for value in VALUES[place % STEP :: STEP]:
                yield method, usual, {"json": value}


def test_s18_no_value_in_any_documented_place_is_a_server_error(
    make_web: Callable[..., Web],
) -> None:
    furnished = furnish(make_web())
    statuses = Counter[int]()

    for method, path, more in requests(furnished):
        token = furnished.web.tenant.token
        headers = {"x-api-key": token, "Authorization": f"Bearer {token}"}
        headers |= more.pop("headers", {})
        with furnished.web.app.test_client() as client:
            answer = client.open(path, method=method, headers=headers, **more)
        assert answer.status_code < 500, (method, path, more, answer.data)
        assert not answer.data or answer.is_json, (method, path, more, answer.data)
        statuses[answer.status_code] += 1

    assert statuses.total() > 500
    assert statuses[400] > 50 < statuses[200], statuses
