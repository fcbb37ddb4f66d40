"""Tests of the expressions with which users set delays before retries."""

import math
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scheduler_api.core.delivery.retry_expression import (
    MAX_DELAY_MS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_STEPS,
    ExpressionError,
    parse,
)

NAMES = ("pow", "sqrt", "abs", "exp", "floor", "ceil", "round", "min", "max")
PARTS = [*"+-*/(),. \teE0123456789", "retried", *(f"{name}(" for name in NAMES)]


def delays_ms(text: str, retries: int = 3) -> list[int | None]:
    expression = parse(text)
    return [expression.delay_ms(retried) for retried in range(retries)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1000", [1000, 1000, 1000]),
        ("1000 * (1 + retried)", [1000, 2000, 3000]),
        ("1000*(1+retried)", [1000, 2000, 3000]),
        ("pow(2, retried) * 1000", [1000, 2000, 4000]),
        ("max(1000, pow(2, retried) * 100)", [1000, 1000, 1000]),
        ("max(10, pow(2, retried))", [10, 10, 10]),
        ("exp(2.5 * (retried + 1)) * 1000", [12_182, 148_413, 1_808_042]),
    ],
)
def test_the_examples_of_the_documentation_have_the_documented_values(
    text: str, expected: list[int]
) -> None:
    assert delays_ms(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1.5", 2),
        (".5e3", 500),
        ("2.", 2),
        ("1E+2", 100),
        ("10 - 4 - 3", 3),
        ("100 / 5 / 2", 10),
        ("2 + 3 * 4", 14),
        ("(2 + 3) * 4", 20),
        ("-3 + 10", 7),
        ("10 - -3", 13),
        ("2 * -3 + 10", 4),
        ("--7", 7),
        ("\t( ( 8 ) ) ", 8),
        ("sqrt(16)", 4),
        ("abs(-5)", 5),
        ("floor(2.9)", 2),
        ("floor(-2.1) + 10", 7),
        ("ceil(2.1)", 3),
        ("round(2.5)", 3),
        ("round(3.5)", 4),
        ("round(-2.5) + 10", 7),
        ("round(2.4)", 2),
        ("min(3, 4)", 3),
        ("max(min(9, 7), pow(2, 2))", 7),
        ("pow(4, 0.5)", 2),
    ],
)
def test_values_follow_the_rules_of_arithmetic(text: str, expected: int) -> None:
    assert parse(text).delay_ms(0) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-1", 0),
        ("-pow(10, 300)", 0),
        ("86400001", MAX_DELAY_MS),
        ("1e308 * 10", MAX_DELAY_MS),
        ("exp(9999)", MAX_DELAY_MS),
        ("pow(9999999, 9999999)", MAX_DELAY_MS),
        ("pow(-10, 9999)", 0),
        ("pow(-10, 9998)", MAX_DELAY_MS),
        ("min(1000, exp(9999))", 1000),
        ("floor(exp(9999))", MAX_DELAY_MS),
        ("1 / exp(9999)", 0),
        ("round(1e300)", MAX_DELAY_MS),
    ],
)
def test_s18_delays_are_limited_to_between_zero_and_a_day(
    text: str, expected: int
) -> None:
    assert parse(text).delay_ms(0) == expected


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0",
        "0 / 0",
        "sqrt(-1)",
        "pow(-8, 0.5)",
        "pow(0, -1)",
        "exp(9999) - exp(9999)",
        "0 * exp(9999)",
        "max(1000, 1 / 0)",
        "pow(sqrt(-1), 0)",
    ],
)
def test_an_expression_without_a_value_has_no_delay(text: str) -> None:
    assert parse(text).delay_ms(0) is None


def test_a_value_may_be_missing_for_one_retry_only() -> None:
    assert delays_ms("1000 / retried") == [None, 1000, 500]


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 0),
        ("   ", 3),
        ("1 +", 3),
        ("* 2", 0),
        ("1 2", 2),
        ("+1", 0),
        ("(1", 2),
        ("1)", 1),
        ("()", 1),
        ("pow(2)", 5),
        ("pow(2, 3, 4)", 8),
        ("sqrt()", 5),
        ("sqrt", 4),
        ("retries", 0),
        ("1 + Retried", 4),
        ("retried(1)", 7),
        ("__import__(1)", 0),
        ("2 ** 3", 3),
        ("1 % 2", 2),
        ("1_000", 1),
        ("0x10", 1),
        ("1e", 1),
        ("1\n", 1),
        ("2 * 1e999", 4),
        ("\u0663", 0),
        ("\uff11", 0),
        ("1,2", 1),
        ("retried.real", 7),
        ("lambda: 0", 6),
    ],
)
def test_an_error_has_the_position_of_the_fault(text: str, position: int) -> None:
    with pytest.raises(ExpressionError) as fault:
        parse(text)

    assert fault.value.position == position


def test_the_error_for_an_unknown_name_lists_the_functions() -> None:
    with pytest.raises(ExpressionError, match=r"'log' is neither .* sqrt"):
        parse("log(2)")


def test_a_parsed_expression_keeps_its_text() -> None:
    assert parse(" 1000*  2 ").text == " 1000*  2 "


def test_s18_the_length_is_limited() -> None:
    longest = "1" + "+1" * ((MAX_LENGTH - 1) // 2)

    assert parse(longest).delay_ms(0) == (MAX_LENGTH + 1) // 2
    with pytest.raises(ExpressionError):
        parse(longest.ljust(MAX_LENGTH + 1))


@pytest.mark.parametrize(("opening", "closing"), [("(", ")"), ("-", ""), ("abs(", ")")])
def test_s18_the_nesting_is_limited(opening: str, closing: str) -> None:
    def nested(depth: int) -> str:
        return opening * depth + "1" + closing * depth

    assert parse(nested(MAX_DEPTH - 1)).delay_ms(0) in (0, 1)
    with pytest.raises(ExpressionError):
        parse(nested(MAX_DEPTH))


@given(st.lists(st.sampled_from(PARTS), max_size=40), st.integers(0, 1000))
def test_s18_any_text_is_refused_or_has_a_delay_within_a_day(
    parts: list[str], retried: int
) -> None:
    text = "".join(parts)
    try:
        expression = parse(text)
    except ExpressionError as fault:
        assert 0 <= fault.position <= len(text)
        return

    delay_ms = expression.delay_ms(retried)

    assert delay_ms is None or 0 <= delay_ms <= MAX_DELAY_MS


@given(st.text(max_size=30))
def test_s18_no_text_breaks_the_parser(text: str) -> None:
    try:
        parse(text)
    except ExpressionError as fault:
        assert 0 <= fault.position <= len(text)


def _sums(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def call(parts: tuple[str, str, str]) -> str:
        return f"{parts[0]}({parts[1]}, {parts[2]})"

    operators = st.sampled_from(["+", "-", "*", "/"])
    binary = st.tuples(inner, operators, inner).map(" ".join)
    calls = st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(call)
    return binary | calls | inner.map("({})".format) | inner.map("-({})".format)


@given(
    st.recursive(
        st.just("retried") | st.integers(0, 10**6).map("{}.0".format),
        _sums,
        max_leaves=8,
    ),
    st.integers(0, 100),
)
def test_values_are_the_ones_that_python_computes(text: str, retried: int) -> None:
    """Compare values with the results of `eval`.

    The call of `eval` is safe, because this test generates the text.
    """
    if len(text) > MAX_LENGTH:
        return
    names = {"retried": float(retried), "min": min, "max": max}

    try:
        value = eval(text, {"__builtins__": {}}, names)
    except ZeroDivisionError:
        assert parse(text).delay_ms(retried) is None
        return
    delay_ms = parse(text).delay_ms(retried)

    if math.isfinite(value):
        assert delay_ms == round(max(0, min(value, MAX_DELAY_MS)))


def test_the_search_for_a_value_is_limited() -> None:
    expression = parse("sqrt(0 - 1 - retried)")
    checked = MAX_STEPS // len(expression.steps)

    assert not expression.may_have_value(retries=checked - 1)
    assert expression.may_have_value(retries=10**18)
    assert expression.may_have_value(retries=checked - 1, max_steps=MAX_STEPS // 2)
