"""The fields of a cron expression: from their text to what they want."""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

# Stands for the last one of a month, where otherwise a number would stand.
LAST = -1

_MONTHS = (
    *("JAN", "FEB", "MAR", "APR", "MAY", "JUN"),
    *("JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
)
_WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

_HASHED = re.compile(r"H(?:\((\w+)-(\w+)\))?(?:/(\w+))?", re.IGNORECASE)
_NEAREST = re.compile(r"(\w+)W", re.IGNORECASE)
_NTH = re.compile(r"(\w+)#(\w+)")
_LAST_WEEKDAY = re.compile(r"(\w+)L|L(\w+)", re.IGNORECASE)


class CronError(ValueError):
    """Says in one sentence why a cron expression is refused.

    `position` is the offset of the fault in the expression, None where it is the
    expression as a whole.
    """

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True)
class Kind:
    """What a field counts, from and to where, and the largest number for it."""

    word: str
    low: int
    high: int
    # Above `high`, it means `low` again.
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
    """The values a field wants."""

    values: frozenset[int]
    # Written with a star in front, which Debian's rules look at.
    starred: bool = False
    # Days of the month whose nearest workday is wanted (`15W`, `LW`).
    nearest: frozenset[int] = frozenset()
    # Weekdays wanted by their place in the month: (weekday, 1 to 5 or LAST).
    nths: frozenset[tuple[int, int]] = frozenset()

    @property
    def plain(self) -> bool:
        """Whether every value that is wanted stands as a number in `values`."""
        return not (self.nearest or self.nths or LAST in self.values)

    def wants_monthday(self, day: date) -> bool:
        """Whether this field, being one of days of the month, wants the day."""
        if day.day in self.values:
            return True
        if self.plain:
            return False
        last = monthrange(day.year, day.month)[1]
        if day.day == last and LAST in self.values:
            return True
        wanted = (last if number == LAST else number for number in self.nearest)
        return any(_nearest_workday(day, n, last) == day.day for n in wanted)

    def wants_weekday(self, day: date) -> bool:
        """Whether this field, being one of days of the week, wants the day."""
        weekday = day.isoweekday() % 7
        if weekday in self.values:
            return True
        if (weekday, (day.day + 6) // 7) in self.nths:
            return True
        if (weekday, LAST) not in self.nths:
            return False
        return day.day + 7 > monthrange(day.year, day.month)[1]


def _nearest_workday(day: date, number: int, last: int) -> int | None:
    """The day of the same month, Monday to Friday, that is nearest to a number."""
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
    """Reads the text of one field, which begins at `position` of its expression."""

    kind: Kind
    position: int
    # The marks beyond numbers, names, stars, ranges and steps that are taken.
    marks: frozenset[str]
    seed: str

    def read(self, text: str) -> Field:
        """Return the values the text names.

        Raises:
            CronError: the text is no such field, or has a mark that is not taken.
        """
        if text == "?" and self.kind in (MONTHDAY, WEEKDAY):
            self._need("?", self.position)
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
            raise CronError(f"a {self.kind.word} is missing beside a comma", at)
        marked = self._marked(item, at)
        if marked is not None:
            return marked
        hashed = _HASHED.fullmatch(item)
        if hashed:
            self._need("H", at)
            values = self._hashed(hashed, at)
        else:
            values = self._stepped(item, at)
        # Only a weekday can be written above its highest value: 7 is Sunday.
        kind = self.kind
        return Field(frozenset(v if v <= kind.high else kind.low for v in values))

    def _stepped(self, item: str, at: int) -> range:
        """Read `*`, `5`, `1-5`, and each of them with a step."""
        body, slash, step_text = item.partition("/")
        start, dash, end = body.partition("-")
        if start == "*" and not dash:
            low, high = self.kind.low, self.kind.high
        else:
            low = self._value(start, at, item=item)
            high = low
            if dash:
                high = self._value(end, at + len(start) + 1, item=item)
            elif slash:
                high = max(low, self.kind.high)
        if low > high:
            raise CronError(self._wraps(start, end), at)
        step = self._step(step_text, at + len(body) + 1) if slash else 1
        return range(low, high + 1, step)

    def _hashed(self, found: re.Match[str], at: int) -> range:
        """Choose by hash: the same seed gives the same value, for ever."""
        # Left to itself it chooses a day that every month has.
        low, high = self.kind.low, 28 if self.kind == MONTHDAY else self.kind.high
        if found[1]:
            low = self._value(found[1], at + found.start(1), item=found[0])
            high = self._value(found[2], at + found.start(2), item=found[0])
        if low > high:
            raise CronError(self._wraps(found[1], found[2]), at)
        digest = sha256(f"{self.seed} {self.kind.word}".encode()).digest()
        chance = int.from_bytes(digest[:8], "big")
        span = high - low + 1
        if not found[3]:
            low += chance % span
            return range(low, low + 1)
        step = self._step(found[3], at + found.start(3))
        return range(low + chance % min(step, span), high + 1, step)

    def _marked(self, item: str, at: int) -> Field | None:
        if self.kind == MONTHDAY:
            return self._monthday(item, at)
        if self.kind == WEEKDAY:
            return self._weekday(item, at)
        return None

    def _monthday(self, item: str, at: int) -> Field | None:
        """Read `L`, `LW` and `15W`."""
        if item.upper() == "L":
            self._need("L", at)
            return Field(frozenset({LAST}))
        if item.upper().startswith("L-"):
            raise CronError("days counted back from 'L' are not supported here", at)
        near = _NEAREST.fullmatch(item)
        if not near:
            return None
        self._need("W", at)
        if near[1].upper() == "L":
            self._need("L", at)
            return Field(frozenset(), nearest=frozenset({LAST}))
        day = self._value(near[1], at, item=item)
        return Field(frozenset(), nearest=frozenset({day}))

    def _weekday(self, item: str, at: int) -> Field | None:
        """Read `5L`, `L5` and `1#2`."""
        if item.upper() == "L":
            raise CronError("'L' needs a day of week here, as in '5L'", at)
        last = _LAST_WEEKDAY.fullmatch(item)
        if last:
            self._need("L", at)
            day_text, nth = last[1] or last[2], LAST
        else:
            found = _NTH.fullmatch(item)
            if not found:
                return None
            self._need("#", at)
            day_text = found[1]
            if found[2] not in ("1", "2", "3", "4", "5"):
                raise CronError(
                    f"{_shown(found[2])} after '#' is out of range: a month has a"
                    " weekday 1 to 5 times",
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
                f"{_shown(text)} is out of range: the {kind.word} goes from"
                f" {kind.low} to {kind.largest}",
                at,
            )
        if text.upper() in kind.names:
            return kind.low + kind.names.index(text.upper())
        names = f" or a name like {kind.names[1]}" if kind.names else ""
        raise CronError(
            f"{_shown(text or item)} is no {kind.word}: it takes a number from"
            f" {kind.low} to {kind.largest}{names}",
            at,
        )

    def _step(self, text: str, at: int) -> int:
        if text.isdigit() and int(text) > 0:
            return int(text)
        raise CronError(f"{_shown(text)} is no step: it takes 1 or more", at)

    def _wraps(self, start: str, end: str) -> str:
        kind = self.kind
        return (
            f"the range '{start}-{end}' runs backwards: write two, as in"
            f" '{start}-{kind.largest},{kind.low}-{end}'"
        )

    def _need(self, mark: str, at: int) -> None:
        if mark not in self.marks:
            raise CronError(f"'{mark}' is not supported here", at)


@dataclass(frozen=True)
class Rule:
    """The six fields of an expression."""

    second: Field
    minute: Field
    hour: Field
    monthday: Field
    month: Field
    weekday: Field

    @property
    def follows_clock(self) -> bool:
        """Whether it means "whenever the clock shows", not "once at a fixed time".

        Debian's rule: one of the fields of the time of day begins with a star.
        """
        return self.second.starred or self.minute.starred or self.hour.starred

    @property
    def either_day(self) -> bool:
        """Whether one of the two day fields is enough: neither begins with a star."""
        return not (self.monthday.starred or self.weekday.starred)

    def wants(self, day: date) -> bool:
        """Whether the two day fields want the day."""
        if self.either_day:
            return self.monthday.wants_monthday(day) or self.weekday.wants_weekday(day)
        return self.monthday.wants_monthday(day) and self.weekday.wants_weekday(day)


def read_rule(
    words: list[tuple[str, int]], *, marks: frozenset[str], seed: str
) -> Rule:
    """Return the rule of six fields, each given as its text and its position.

    Raises:
        CronError: a field is none, or no day of any year has them all.
    """
    kinds = (SECOND, MINUTE, HOUR, MONTHDAY, MONTH, WEEKDAY)
    rule = Rule(
        *(
            FieldReader(kind, at, marks, seed).read(text)
            for kind, (text, at) in zip(kinds, words, strict=True)
        )
    )
    if not any(map(rule.wants, _days_of_all_sorts(rule.month))):
        raise CronError("the expression would never fire: no year has such a day")
    return rule


def _days_of_all_sorts(month: Field) -> Iterator[date]:
    """Yield the days of the months, over years of every length and first weekday."""
    for year in range(2000, 2028):
        for number in sorted(month.values):
            for day in range(1, monthrange(year, number)[1] + 1):
                yield date(year, number, day)


def _shown(text: str) -> str:
    """Quote a piece of an expression, cut to what fits a sentence."""
    return repr(text if len(text) <= 20 else f"{text[:20]}…")
