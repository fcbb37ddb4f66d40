"""Parses the fields of cron expressions and decides which days they match."""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

# Stands for the last day of a month (`L`), or the last such weekday of a month (`5L`:
# the last Friday).
LAST = -1

_MONTHS = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_HASHED = re.compile(r"H(?:\((\w+)-(\w+)\))?(?:/(\w+))?", re.IGNORECASE)
_NEAREST = re.compile(r"([0-9]+|L)W", re.IGNORECASE)
_NTH = re.compile(r"(\w+)#(\w+)")
# A name in another language may start or end with an L too.
_DAY = rf"([0-9]+|{'|'.join(_WEEKDAYS)})"
_LAST_WEEKDAY = re.compile(rf"{_DAY}L|L{_DAY}", re.IGNORECASE)


class CronError(ValueError):
    """A cron expression is refused; the message is one sentence.

    `position` is the offset of the fault in the expression, None if the whole
    expression is at fault.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class Kind:
    """The unit of a field, such as minutes, and the range of its values."""

    word: str
    low: int
    high: int
    # The largest number that is accepted in an expression. It equals `high`, except for
    # weekdays: 7 is accepted for Sunday and stored as 0.
    largest: int
    names: tuple[str, ...] = ()


SECOND = Kind("second", 0, 59, 59)
MINUTE = Kind("minute", 0, 59, 59)
HOUR = Kind("hour", 0, 23, 23)
MONTHDAY = Kind("day of month", 1, 31, 31)
MONTH = Kind("month", 1, 12, 12, _MONTHS)
WEEKDAY = Kind("day of week", 0, 6, 7, _WEEKDAYS)


@dataclass(frozen=True)
class Field:
    """The values that a field matches."""

    values: frozenset[int]
    # Whether the text starts with a star; `Rule.follows_clock` and `Rule.either_day`
    # depend on the star.
    starred: bool = False
    # `15W` adds 15 and `LW` adds LAST: the workday nearest to this day matches.
    nearest: frozenset[int] = frozenset()
    # `1#2` adds the pair (1, 2), the second Monday of the month. The second number is
    # 1 to 5, or LAST for the last such weekday.
    nths: frozenset[tuple[int, int]] = frozenset()

    @property
    def plain(self) -> bool:
        """Whether `values` lists everything that the field matches."""
        return not (self.nearest or self.nths or LAST in self.values)

    def matches_monthday(self, day: date) -> bool:
        """Whether this day-of-month field matches the day."""
        if day.day in self.values:
            return True
        if self.plain:
            return False
        last = monthrange(day.year, day.month)[1]
        if day.day == last and LAST in self.values:
            return True
        numbers = (last if number == LAST else number for number in self.nearest)
        return any(_nearest_workday(day, n, last) == day.day for n in numbers)

    def matches_weekday(self, day: date) -> bool:
        """Whether this day-of-week field matches the day."""
        weekday = day.isoweekday() % 7
        if weekday in self.values:
            return True
        if (weekday, (day.day + 6) // 7) in self.nths:
            return True
        if (weekday, LAST) not in self.nths:
            return False
        return day.day + 7 > monthrange(day.year, day.month)[1]


def _nearest_workday(day: date, number: int, last: int) -> int | None:
    """The workday (Monday to Friday) nearest to day `number` of the month of `day`.

    The result is always a day of this month. None if the month has no day `number`.

    Args:
        last: the last day of the month.
    """
    if number > last:
        return None
    weekday = day.replace(day=number).isoweekday()
    if weekday == 6:
        return number - 1 if number > 1 else number + 2
    if weekday == 7:
        return number + 1 if number < last else number - 2
    return number


@dataclass(frozen=True)
class FieldReader:
    """Parses the text of one field, which starts at `position` of the expression."""

    kind: Kind
    position: int
    # Accepted special characters, as in `Grammar`.
    special_characters: frozenset[str]
    seed: str

    def read(self, text: str) -> Field:
        """Parse a field.

        Raises:
            CronError: the text is invalid, or has a special character that is not
                accepted.
        """
        if text == "?" and self.kind in (MONTHDAY, WEEKDAY):
            self._require("?", self.position)
            text = "*"
        parts = [self._item(item, at) for item, at in self._items(text)]
        return Field(
            values=frozenset().union(*(part.values for part in parts)),
            starred=text.startswith("*"),
            nearest=frozenset().union(*(part.nearest for part in parts)),
            nths=frozenset().union(*(part.nths for part in parts)),
        )

    def _items(self, text: str) -> Iterator[tuple[str, int]]:
        at = self.position
        for item in text.split(","):
            yield item, at
            at += len(item) + 1

    def _item(self, item: str, at: int) -> Field:
        if not item:
            raise CronError(
                f"a value of the {self.kind.word} is missing next to a comma:"
                f" {self._allowed}",
                at,
            )
        special = self._special(item, at)
        if special is not None:
            return special
        hashed = _HASHED.fullmatch(item)
        if hashed:
            self._require("H", at)
            values = self._hashed(hashed, at)
        else:
            values = self._stepped(item, at)
        # Only weekdays have values above `high`: 7 is Sunday.
        kind = self.kind
        return Field(frozenset(v if v <= kind.high else kind.low for v in values))

    def _stepped(self, item: str, at: int) -> range:
        """Parse `*`, `5` or `1-5`, each with or without a step."""
        body, slash, step_text = item.partition("/")
        start, dash, end = body.partition("-")
        if dash:
            positions = at, at + len(start) + 1
            low, high = self._range((start, end), positions, item=item)
        elif start == "*":
            low, high = self.kind.low, self.kind.high
        else:
            low = high = self._value(start, at, item=item)
            if slash:
                high = max(low, self.kind.high)
        step = self._step(step_text, at + len(body) + 1) if slash else 1
        return range(low, high + 1, step)

    def _range(
        self, ends: tuple[str, str], positions: tuple[int, int], *, item: str
    ) -> tuple[int, int]:
        low, high = (
            self._value(end, at, item=item)
            for end, at in zip(ends, positions, strict=True)
        )
        # As the end of a range, SUN is the day after SAT.
        if low > high and ends[1].upper() == _WEEKDAYS[0]:
            high = self.kind.largest
        if low > high:
            raise CronError(self._wraps(*ends), positions[0])
        return low, high

    def _hashed(self, found: re.Match[str], at: int) -> range:
        """Choose values by a hash of the seed; equal seeds give equal values."""
        # If the item has no range, choose a day up to the 28th: every month has it.
        low, high = self.kind.low, 28 if self.kind == MONTHDAY else self.kind.high
        if found[1]:
            positions = at + found.start(1), at + found.start(2)
            low, high = self._range((found[1], found[2]), positions, item=found[0])
        digest = sha256(f"{self.seed} {self.kind.word}".encode()).digest()
        chance = int.from_bytes(digest[:8], "big")
        span = high - low + 1
        if not found[3]:
            low += chance % span
            return range(low, low + 1)
        step = self._step(found[3], at + found.start(3))
        return range(low + chance % min(step, span), high + 1, step)

    def _special(self, item: str, at: int) -> Field | None:
        """Parse an item with `L`, `W` or `#`; return None for any other item."""
        if self.kind == MONTHDAY:
            return self._monthday(item, at)
        if self.kind == WEEKDAY:
            return self._weekday(item, at)
        return None

    def _monthday(self, item: str, at: int) -> Field | None:
        """Parse `L`, `LW` or `15W`."""
        if item.upper() == "L":
            self._require("L", at)
            return Field(frozenset({LAST}))
        if item.upper().startswith("L-"):
            self._require("L", at)
            raise CronError(
                "days counted back from 'L' are not supported in the day of month:"
                " use 'L' or a number from 1 to 31",
                at,
            )
        near = _NEAREST.fullmatch(item)
        if not near:
            return None
        self._require("W", at)
        if near[1].upper() == "L":
            self._require("L", at)
            return Field(frozenset(), nearest=frozenset({LAST}))
        day = self._value(near[1], at, item=item)
        return Field(frozenset(), nearest=frozenset({day}))

    def _weekday(self, item: str, at: int) -> Field | None:
        """Parse `5L`, `L5` or `1#2`."""
        if item.upper() == "L":
            self._require("L", at)
            raise CronError(
                "'L' needs a day in the field day of week, such as '5L'", at
            )
        last = _LAST_WEEKDAY.fullmatch(item)
        if last:
            self._require("L", at)
            day_text, nth = last[1] or last[2], LAST
        else:
            found = _NTH.fullmatch(item)
            if not found:
                return None
            self._require("#", at)
            day_text = found[1]
            if found[2] not in ("1", "2", "3", "4", "5"):
                raise CronError(
                    f"{_quoted(found[2])} after '#' in the day of week is out of"
                    " range: it goes from 1 to 5",
                    at + found.start(2),
                )
            nth = int(found[2])
        day = self._value(day_text, at, item=item) % 7
        return Field(frozenset(), nths=frozenset({(day, nth)}))

    def _value(self, text: str, at: int, *, item: str) -> int:
        kind = self.kind
        if text.isdigit():
            number = int(text)
            if kind.low <= number <= kind.largest:
                return number
            raise CronError(
                f"{_quoted(text)} is out of range: the {kind.word} goes from"
                f" {kind.low} to {kind.largest}",
                at,
            )
        if text.upper() in kind.names:
            return kind.low + kind.names.index(text.upper())
        raise CronError(
            f"{_quoted(text or item)} is not a valid {kind.word}: {self._allowed}", at
        )

    def _step(self, text: str, at: int) -> int:
        if text.isdigit() and int(text) > 0:
            return int(text)
        fault = f"{_quoted(text)} is not a valid step" if text else "'/' has no step"
        raise CronError(
            f"{fault} in the {self.kind.word}: use a whole number of 1 or more", at
        )

    def _wraps(self, start: str, end: str) -> str:
        kind = self.kind
        return (
            f"the range '{start}-{end}' of the {kind.word} runs backwards: write two"
            f" ranges, such as '{start}-{kind.largest},{kind.low}-{end}'"
        )

    @property
    def _allowed(self) -> str:
        """What to use instead of an invalid value."""
        kind = self.kind
        names = f" or a name such as {kind.names[1]}" if kind.names else ""
        return f"use a number from {kind.low} to {kind.largest}{names}"

    def _require(self, character: str, at: int) -> None:
        if character not in self.special_characters:
            allowed = "use '*'" if character == "?" else self._allowed
            raise CronError(
                f"'{character}' is not supported in the {self.kind.word}: {allowed}", at
            )


@dataclass(frozen=True)
class Rule:
    """The six fields of a cron expression."""

    second: Field
    minute: Field
    hour: Field
    monthday: Field
    month: Field
    weekday: Field

    @property
    def follows_clock(self) -> bool:
        """Whether the rule follows the clock, as described in `clock_changes`.

        True if the second, minute or hour field starts with a star, as in Debian's
        cron.
        """
        return self.second.starred or self.minute.starred or self.hour.starred

    @property
    def either_day(self) -> bool:
        """Whether a day that matches only one of the two day fields matches the rule.

        True if neither day field starts with a star, as in Debian's cron.
        """
        return not (self.monthday.starred or self.weekday.starred)

    def matches(self, day: date) -> bool:
        """Whether the two day fields match the day; the month is not compared."""
        by_monthday = self.monthday.matches_monthday(day)
        if self.either_day:
            return by_monthday or self.weekday.matches_weekday(day)
        return by_monthday and self.weekday.matches_weekday(day)


def read_rule(
    words: list[tuple[str, int]], *, special_characters: frozenset[str], seed: str
) -> Rule:
    """Parse six fields, each given as its text and position.

    Raises:
        CronError: a field is invalid, or the rule matches no day of any year.
    """
    kinds = (SECOND, MINUTE, HOUR, MONTHDAY, MONTH, WEEKDAY)
    rule = Rule(
        *(
            FieldReader(kind, at, special_characters, seed).read(text)
            for kind, (text, at) in zip(kinds, words, strict=True)
        )
    )
    if not any(map(rule.matches, _sample_days(rule.month))):
        days = ", ".join(
            f"{kind.word} {_quoted(text)}"
            for kind, (text, _) in zip(kinds[3:], words[3:], strict=True)
            if text not in ("*", "?")
        )
        raise CronError(
            f"the expression would never fire: no year has a day with {days}; use a day"
            " that occurs in the month"
        )
    return rule


def _sample_days(month: Field) -> Iterator[date]:
    """Yield all days in the months of the field `month`, for 28 years.

    In 28 years, at least one common year and one leap year start on each weekday.
    """
    for year in range(2000, 2028):
        for number in sorted(month.values):
            for day in range(1, monthrange(year, number)[1] + 1):
                yield date(year, number, day)


def _quoted(text: str) -> str:
    """Quote a part of an expression, cut to 20 characters."""
    return repr(text if len(text) <= 20 else f"{text[:20]}…")
