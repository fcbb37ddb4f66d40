"""Tests of the functions that parse header values: accepted values and errors."""

import pytest
from collections.abc import Callable
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.dialects.qstash.parsing import header_values
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.message import FlowControl
from scheduler_api.dialects.qstash.parsing.redaction import Redaction
from typing import Any

NAME = "Upstash-Name"
UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def flow_control(value: str) -> FlowControl:
    return header_values.read_flow_control(
        "k", value, name="Upstash-Flow-Control-Value"
    )


@pytest.mark.parametrize(
    ("text", "expected_ms"),
    [
        ("10s", 10_000),
        ("3m", 180_000),
        ("10h", 36_000_000),
        ("1d", 86_400_000),
        ("1d10h30m", 124_200_000),
        ("1h30m3s", 5_403_000),
        ("1d1h30m", 91_800_000),
        ("0s", 0),
        ("60", 60_000),
        ("0", 0),
        ("0.5s", 500),
        ("1.5", 1_500),
        ("0.0001s", 1),
        ("007s", 7_000),
    ],
)
def test_a_duration_has_units_or_is_in_seconds(text: str, expected_ms: int) -> None:
    assert header_values.read_duration_ms(text, NAME) == expected_ms


MISSPELLED = ("-1", "-5s", "+5s", "s", "10S", "5ms", "1w", "1h30", "1e3s", ".5s", "5.s")


@pytest.mark.parametrize(
    "text",
    [
        *MISSPELLED,
        "",
        "ten",
        "1,5s",
        "1h-30m",
        "1 h",
        "1h 30m",
        "10s\n",
        "\u0663s",
        "9" * 19 + "s",
    ],
)
def test_other_texts_are_not_durations(text: str) -> None:
    with pytest.raises(BadValue, match=r"^Upstash-Name should be a duration"):
        header_values.read_duration_ms(text, NAME)


@given(
    st.lists(
        st.tuples(st.integers(0, 10**6), st.sampled_from("smhd")),
        min_size=1,
        max_size=8,
    )
)
def test_property_a_duration_is_the_sum_of_its_parts(
    parts: list[tuple[int, str]],
) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)

    expected_ms = sum(number * UNITS_MS[unit] for number, unit in parts)
    assert header_values.read_duration_ms(text, NAME) == expected_ms


def test_a_timeout_of_zero_is_refused() -> None:
    with pytest.raises(BadValue, match="longer than 0s"):
        header_values.read_timeout_ms("0", NAME)


def test_a_unix_time_is_in_seconds() -> None:
    assert header_values.read_unix_ms("1700000000", NAME) == 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1700000000.0", 1_700_000_000),
        ("1700000000.0000001", 1_700_000_001),
        ("1700000000.5", 1_700_000_001),
        ("1700000000.999999", 1_700_000_001),
        ("0.25", 1),
    ],
)
def test_a_fraction_of_a_unix_time_is_rounded_up(text: str, seconds: int) -> None:
    assert header_values.read_unix_ms(text, NAME) == seconds * 1000


@pytest.mark.parametrize(
    "text",
    ["", "-1", "1.", ".5", "1.-5", "1.5.5", "1700000000000", "soon", "1e9", "nan"],
)
def test_other_texts_and_milliseconds_are_not_unix_times(text: str) -> None:
    with pytest.raises(BadValue, match="unix time in seconds"):
        header_values.read_unix_ms(text, NAME)


@pytest.mark.parametrize("text", ["", "-1", "1.0", "three", "0x3", "\u0663"])
def test_retries_are_a_whole_number(text: str) -> None:
    assert header_values.read_retries("0", NAME) == 0
    with pytest.raises(BadValue, match=r"^Upstash-Name should be a whole number"):
        header_values.read_retries(text, NAME)


def test_an_error_in_an_expression_has_its_position() -> None:
    assert header_values.read_retry_delay("1000 * 2", NAME) == "1000 * 2"
    with pytest.raises(BadValue, match=r"^Upstash-Name .* \(at character 8\)"):
        header_values.read_retry_delay("1000 * x", NAME)


def test_a_method_is_one_of_five_in_any_case() -> None:
    methods = [
        header_values.read_method(m, NAME)
        for m in ("get", "Post", *header_values.METHODS)
    ]

    assert methods == ["GET", "POST", "GET", "POST", "PUT", "PATCH", "DELETE"]


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "CONNECT", "", "GET /"])
def test_other_methods_are_refused(method: str) -> None:
    with pytest.raises(BadValue, match=NAME):
        header_values.read_method(method, NAME)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("True", True), ("TRUE", True), ("False", False), ("1", False)],
)
def test_only_true_is_true(text: str, expected: bool) -> None:
    assert header_values.read_boolean(text) is expected


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:1/a%2Fb//?x=1&y=2", "HTTP://h/"]
)
def test_a_url_is_kept_as_written(url: str) -> None:
    assert header_values.read_url(url, NAME) == url


@pytest.mark.parametrize("url", ["", "h", "ftp://h", "//h/", "mailto:a@b", "httpx://h"])
def test_a_url_without_a_scheme_has_the_hosted_error(url: str) -> None:
    with pytest.raises(BadValue) as fault:
        header_values.read_url(url, "invalid destination url")

    assert str(fault.value) == (
        "invalid destination url: endpoint has invalid scheme, add http:// or https://"
    )
    assert fault.value.name == "invalid destination url"


@pytest.mark.parametrize(
    "url",
    ["http://", "http://u:p@h/", "http://h/a b", "http://h:0/", "http://h/\r\nX:1"],
)
def test_s06_an_ambiguous_url_is_refused(url: str) -> None:
    with pytest.raises(BadValue, match=r"^Upstash-Name: "):
        header_values.read_url(url, NAME)


@pytest.mark.parametrize("text", ["a\nb", "a\x00", "\x7f", "\ud800", "a" * 1025])
def test_control_characters_and_long_texts_are_refused(text: str) -> None:
    with pytest.raises(BadValue, match=NAME):
        header_values.read_text(text, NAME)


@pytest.mark.parametrize("name", ["a", "A-b_c.9", "...", "a" * 256])
def test_a_name_has_letters_digits_and_three_punctuation_marks(name: str) -> None:
    assert header_values.read_name(name, NAME) == name


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a b", "a/b", "é", "a" * 257, "a\n", "a%20"]
)
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(BadValue, match=NAME):
        header_values.read_name(name, NAME)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a", ("a",)),
        ("a,b", ("a", "b")),
        (" a , b c ,", ("a", "b c")),
        ("b,a,b", ("b", "a")),
        (",", ()),
    ],
)
def test_labels_are_separated_by_commas(text: str, labels: tuple[str, ...]) -> None:
    assert header_values.read_labels(text, NAME) == labels


def test_s18_the_number_of_labels_is_limited() -> None:
    with pytest.raises(BadValue, match="at most 32 labels"):
        header_values.read_labels(",".join(map(str, range(33))), NAME)


@pytest.mark.parametrize("text", ["*/10 * * * *", "CRON_TZ=Asia/Tokyo 0 4 * * SUN"])
def test_a_cron_expression_is_kept_as_written(text: str) -> None:
    assert header_values.read_cron(text, NAME).expression == text


@pytest.mark.parametrize(
    "text", ["* * * *", "* * * * * *", "CRON_TZ=Nowhere 0 4 * * *"]
)
def test_an_error_in_a_cron_expression_names_the_header(text: str) -> None:
    with pytest.raises(BadValue, match=r"^Upstash-Name should be a cron expression: "):
        header_values.read_cron(text, NAME)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("body", Redaction(body=True)),
        ("header", Redaction(all_headers=True)),
        ("headers", Redaction(all_headers=True)),
        ("body, headers", Redaction(body=True, all_headers=True)),
        ("header[Authorization]", Redaction(headers=("authorization",))),
        (
            "body,header[X-B],headers[ x-a ],header[x-b]",
            Redaction(body=True, headers=("x-a", "x-b")),
        ),
    ],
)
def test_redaction_accepts_the_spellings_of_docs_and_sdks(
    text: str, expected: Redaction
) -> None:
    assert header_values.read_redaction(text, NAME) == expected


@pytest.mark.parametrize(
    "text", ["all", "header[]", "header[a", "body;header", "heade"]
)
def test_s25_an_unknown_field_to_redact_is_refused(text: str) -> None:
    with pytest.raises(BadValue, match=r"^Upstash-Name should list body"):
        header_values.read_redaction(text, NAME)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("parallelism=3", FlowControl("k", parallelism=3)),
        ("rate=10", FlowControl("k", rate=10)),
        ("rate=10,period=60", FlowControl("k", rate=10, period_s=60)),
        (
            "parallelism=3, rate=10, period=1m",
            FlowControl("k", parallelism=3, rate=10, period_s=60),
        ),
        ("period=7d, rate = 1", FlowControl("k", rate=1, period_s=604_800)),
        ("parallelism=1,period=5s", FlowControl("k", parallelism=1, period_s=5)),
    ],
)
def test_flow_control_has_a_limit_and_optionally_a_period(
    value: str, expected: FlowControl
) -> None:
    assert flow_control(value) == expected


@pytest.mark.parametrize(
    "value", ["", "period=1s", "rate:1", "rates=1", "rate=1,rate=2", "Rate=1", "3"]
)
def test_flow_control_without_a_limit_has_the_hosted_error(
    value: str,
) -> None:
    with pytest.raises(BadValue) as fault:
        flow_control(value)

    assert str(fault.value) == (
        "Upstash-Flow-Control-Value should be either rate=X or parallelism=Y, "
        "or both as comma-separated values"
    )


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("rate", "rate"),
        ("rate=0", "rate"),
        ("rate=-1", "rate"),
        ("rate=1.5", "rate"),
        ("parallelism=0", "parallelism"),
        ("parallelism=", "parallelism"),
        ("parallelism=1000000001", "parallelism"),
        ("rate=1,period=0", "period"),
        ("rate=1,period=8d", "period"),
        ("rate=1,period=1.5s", "period"),
        ("rate=1,period=soon", "period"),
    ],
)
def test_an_error_in_flow_control_names_the_wrong_part(value: str, named: str) -> None:
    with pytest.raises(BadValue) as fault:
        flow_control(value)

    assert str(fault.value).startswith(f"Upstash-Flow-Control-Value: {named} should")
    assert fault.value.name == "Upstash-Flow-Control-Value"


@pytest.mark.parametrize(
    "read",
    [
        header_values.read_duration_ms,
        header_values.read_timeout_ms,
        header_values.read_unix_ms,
        header_values.read_retries,
        header_values.read_retry_delay,
        header_values.read_method,
        header_values.read_url,
        header_values.read_text,
        header_values.read_name,
        header_values.read_labels,
        header_values.read_cron,
        header_values.read_redaction,
        lambda value, name: header_values.read_flow_control("k", value, name=name),
    ],
)
@given(text=st.text(st.characters(exclude_categories=[]), max_size=20))
def test_property_every_reader_returns_or_names_the_header(
    read: Callable[[str, str], Any], text: str
) -> None:
    try:
        read(text, NAME)
    except BadValue as fault:
        assert str(fault).startswith(NAME)
        assert fault.name == NAME
