"""The arithmetic in which a publisher says how long to wait before a retry.

A grammar of its own, and never `eval`: numbers, `retried`, `+ - * /`, parentheses, a
minus before a value, and nine functions. All values are floats, so no number can grow:
`pow(9999999,9999999)` of integers would hold up a worker for ever.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from scheduler_api.core.errors import SchedulerError

# Every step of an evaluation takes at least one character, so this bounds them too.
MAX_LENGTH = 500
MAX_DEPTH = 32
# In search of a value; enough for a short expression and a thousand retries.
STEPS_MOST = 10_000
LONGEST_MS = 86_400_000

_RETRIED = "retried"
_NEGATION = "negation"
_TOKEN = re.compile(
    r"(?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<word>[A-Za-z_][A-Za-z_0-9]*)"
    r"|(?P<mark>[-+*/(),])"
)
_BLANKS = " \t"


class ExpressionError(SchedulerError, ValueError):
    """Says in one sentence why an expression is refused, and at which offset."""

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


def _whole(function: Callable[[float], int]) -> Callable[[float], float]:
    """Keep infinity, which no integer stands for."""
    return lambda value: value if math.isinf(value) else float(function(value))


def _nearest(value: float) -> int:
    """Halves go away from zero; Python's own `round` takes them to even numbers."""
    whole = math.trunc(value)
    return whole + int(math.copysign(1, value)) * (abs(value - whole) >= 0.5)


_FUNCTIONS: dict[str, tuple[int, Callable[..., float]]] = {
    "pow": (2, _power),
    "sqrt": (1, math.sqrt),
    "abs": (1, abs),
    "exp": (1, _exponential),
    "floor": (1, _whole(math.floor)),
    "ceil": (1, _whole(math.ceil)),
    "round": (1, _whole(_nearest)),
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
    """A parsed expression: its text as given, and its steps in postfix order."""

    text: str
    steps: tuple[float | str, ...]

    def delay_ms(self, retried: int) -> int | None:
        """The wait before the next retry, from 0 to a day, None where it has no value.

        What is too large for a float is infinite, so `min(1000, exp(9999))` is 1000,
        and `exp(9999)` alone a day. Without a value are a division by zero, the root
        of a negative number, and what follows from either.

        Args:
            retried: retries made so far, 0 before the first.
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
        return round(max(0.0, min(stack[0], float(LONGEST_MS))))

    def may_have_value(self, *, retries: int) -> bool:
        """Whether it may have a value for some count of retries, from 0 to this one.

        True also where so many steps do not suffice to find none.
        """
        counts = retries + 1 if _RETRIED in self.steps else 1
        looked_at = min(counts, max(1, STEPS_MOST // len(self.steps)))
        found = any(self.delay_ms(retried) is not None for retried in range(looked_at))
        return found or looked_at < counts


@dataclass(frozen=True)
class _Token:
    """One word of an expression; `kind` is empty at its end."""

    kind: str
    text: str
    at: int


def parse(text: str) -> Expression:
    """Read an expression.

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
            raise ExpressionError(f"{text[at]!r} has no place in an expression", at)
        tokens.append(_Token(str(found.lastgroup), found[0], at))
        at = found.end()
    return [*tokens, _Token("", "", len(text))]


class _Parser:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0
        self._steps: list[float | str] = []

    def steps(self) -> list[float | str]:
        """Read all of it."""
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
        while self._token.kind == "mark" and self._token.text in operators:
            operator = self._token.text
            self._next += 1
            operand()
            self._steps.append(operator)

    def _value(self) -> None:
        token = self._token
        if not token.kind or (token.kind == "mark" and token.text not in "-("):
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
            known = ", ".join(_FUNCTIONS)
            raise ExpressionError(
                f"{name.text[:20]!r} is neither 'retried' nor one of {known}", name.at
            )
        self._expect("(")
        arity, _ = _FUNCTIONS[name.text]
        for place in range(arity):
            if place:
                self._expect(",")
            self._sum()
        self._expect(")")
        self._steps.append(name.text)

    def _expect(self, mark: str) -> None:
        if self._token.text != mark:
            raise self._unexpected(f"'{mark}'")
        self._next += 1

    def _unexpected(self, wanted: str) -> ExpressionError:
        found = repr(self._token.text[:20]) if self._token.kind else "the end"
        return ExpressionError(f"expected {wanted}, found {found}", self._token.at)
