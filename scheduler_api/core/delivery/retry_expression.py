"""Parses and evaluates retry-delay expressions, which give the delay before a retry.

Expressions consist of numbers, `retried`, `+ - * /`, parentheses, unary minus and nine
functions; `eval` is not used. All values are floats, because with integers a large
power, such as `pow(9999999, 9999999)`, would block a worker forever.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from scheduler_api.core.errors import SchedulerError

# The maximum number of characters. An evaluation has at most as many steps, because
# each step is written with at least one character.
MAX_LENGTH = 500
MAX_DEPTH = 32
# The maximum number of steps that `may_have_value` evaluates by default. A thousand
# retries of a short expression need fewer steps.
MAX_STEPS = 10_000
MAX_DELAY_MS = 86_400_000

_RETRIED = "retried"
_NEGATION = "negation"
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<symbol>[-+*/(),])"
)
_BLANKS = " \t"


class ExpressionError(SchedulerError, ValueError):
    """An expression is refused; the message is one sentence.

    `position` is the offset of the fault in the expression.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf


def _exponential(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _to_integer(function: Callable[[float], int]) -> Callable[[float], float]:
    """Return a rounding function that leaves infinity unchanged."""
    return lambda value: value if math.isinf(value) else float(function(value))


def _round(value: float) -> int:
    """Round halves away from zero; Python's `round` rounds them to even numbers."""
    truncated = math.trunc(value)
    is_up = abs(value - truncated) >= 0.5
    return truncated + int(math.copysign(1, value)) * is_up


_FUNCTIONS: dict[str, tuple[int, Callable[..., float]]] = {
    "pow": (2, _power),
    "sqrt": (1, math.sqrt),
    "abs": (1, abs),
    "exp": (1, _exponential),
    "floor": (1, _to_integer(math.floor)),
    "ceil": (1, _to_integer(math.ceil)),
    "round": (1, _to_integer(_round)),
    "min": (2, min),
    "max": (2, max),
}
_OPERATIONS: dict[str, tuple[int, Callable[..., float]]] = {
    **_FUNCTIONS,
    _NEGATION: (1, lambda value: -value),
    "+": (2, lambda left, right: left + right),
    "-": (2, lambda left, right: left - right),
    "*": (2, lambda left, right: left * right),
    "/": (2, lambda left, right: left / right),
}


@dataclass(frozen=True)
class Expression:
    """A parsed expression: its original text, and its steps in postfix order."""

    text: str
    steps: tuple[float | str, ...]

    def delay_ms(self, retried: int) -> int | None:
        """Return the delay before the next retry, from 0 to a day; None if undefined.

        Values that are too large for a float are infinite: `min(1000, exp(9999))` is
        1000, and the delay for `exp(9999)` is a day. If a part of the expression
        divides by zero or is the root of a negative number, the delay is undefined.

        Args:
            retried: the number of retries so far, 0 before the first.
        """
        stack: list[float] = []
        for step in self.steps:
            if isinstance(step, float):
                stack.append(step)
            elif step == _RETRIED:
                stack.append(float(retried))
            else:
                arity, operation = _OPERATIONS[step]
                operands = stack[-arity:]
                del stack[-arity:]
                try:
                    value = operation(*operands)
                except (ValueError, ZeroDivisionError):
                    return None
                if math.isnan(value):
                    return None
                stack.append(value)
        return round(max(0.0, min(stack[0], float(MAX_DELAY_MS))))

    def may_have_value(self, *, retries: int, max_steps: int = MAX_STEPS) -> bool:
        """Whether `delay_ms` may be defined for some `retried` from 0 to `retries`.

        Tries the values of `retried` from 0 on, but evaluates only about `max_steps`
        steps. If no tried value gives a delay, and some values were not tried, the
        result is True.
        """
        counts = retries + 1 if _RETRIED in self.steps else 1
        checked = min(counts, max(1, max_steps // len(self.steps)))
        found = any(self.delay_ms(retried) is not None for retried in range(checked))
        return found or checked < counts


@dataclass(frozen=True)
class _Token:
    """A token; `kind` is number, word or symbol, or empty at the end of the text."""

    kind: str
    text: str
    at: int


@lru_cache(maxsize=256)
def parse(text: str) -> Expression:
    """Parse an expression.

    Raises: ExpressionError.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"the expression is longer than {MAX_LENGTH} characters", MAX_LENGTH
        )
    return Expression(text, tuple(_Parser(_tokens(text)).steps()))


def _tokens(text: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(text):
        if text[at] in _BLANKS:
            at += 1
            continue
        found = _TOKEN.match(text, at)
        if found is None:
            raise ExpressionError(f"{text[at]!r} is not allowed in an expression", at)
        tokens.append(_Token(str(found.lastgroup), found[0], at))
        at = found.end()
    return [*tokens, _Token("", "", len(text))]


class _Parser:
    """A recursive-descent parser of one expression."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._steps: list[float | str] = []

    def steps(self) -> list[float | str]:
        """Parse the entire expression."""
        self._sum()
        if self._token.kind:
            raise self._unexpected("an operator")
        return self._steps

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _sum(self) -> None:
        self._chain("+-", self._product)

    def _product(self) -> None:
        self._chain("*/", self._value)

    def _chain(self, operators: str, operand: Callable[[], None]) -> None:
        operand()
        while self._token.kind == "symbol" and self._token.text in operators:
            operator = self._token.text
            self._next += 1
            operand()
            self._steps.append(operator)

    def _value(self) -> None:
        token = self._token
        if not token.kind or (token.kind == "symbol" and token.text not in "-("):
            raise self._unexpected("a number, 'retried', a function or '('")
        self._next += 1
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ExpressionError(
                f"the expression is nested deeper than {MAX_DEPTH} levels", token.at
            )
        if token.kind == "number":
            self._number(token)
        elif token.text == "-":
            self._value()
            self._steps.append(_NEGATION)
        elif token.text == "(":
            self._sum()
            self._expect(")")
        elif token.text == _RETRIED:
            self._steps.append(_RETRIED)
        else:
            self._call(token)
        self._depth -= 1

    def _number(self, token: _Token) -> None:
        number = float(token.text)
        if math.isinf(number):
            raise ExpressionError(f"{token.text[:20]} is too large", token.at)
        self._steps.append(number)

    def _call(self, name: _Token) -> None:
        if name.text not in _FUNCTIONS:
            functions = ", ".join(_FUNCTIONS)
            raise ExpressionError(
                f"{name.text[:20]!r} is neither 'retried' nor one of {functions}",
                name.at,
            )
        self._expect("(")
        arity, _ = _FUNCTIONS[name.text]
        for place in range(arity):
            if place:
                self._expect(",")
            self._sum()
        self._expect(")")
        self._steps.append(name.text)

    def _expect(self, symbol: str) -> None:
        if self._token.text != symbol:
            raise self._unexpected(f"'{symbol}'")
        self._next += 1

    def _unexpected(self, wanted: str) -> ExpressionError:
        found = repr(self._token.text[:20]) if self._token.kind else "the end"
        return ExpressionError(f"expected {wanted}, found {found}", self._token.at)
