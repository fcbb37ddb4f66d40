"""Describes cron rules in words. Pure.

The words follow from the parsed rule, so they say what the engine does: a step that
does not divide its range begins anew in each hour or day, and of two restricted fields
of days either may match, unless one of them begins with a star.
"""

from collections.abc import Iterable, Sequence
from scheduler_api.core.cron.expression import Cron, Every
from scheduler_api.core.cron.fields import LAST, Field, Rule

MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
WEEKDAYS = (
    *("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
)
ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth", LAST: "last"}
UNITS_S = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))
# Up to this many times of a day are listed as such.
MAX_TIMES = 6
# Fewer values are listed, even if they are equally far apart.
SHORTEST_SERIES = 4
SHORTEST_RANGE = 3


def describe(cron: Cron) -> str:
    """Return when a rule fires, by the clock of its zone: `At 09:00 every day`."""
    if isinstance(cron.rule, Every):
        words = _interval(cron.rule.seconds)
    else:
        words = _rule(cron.rule)
    return f"{words[0].upper()}{words[1:]}"


def _interval(seconds: int) -> str:
    unit_s, unit = next(each for each in UNITS_S if seconds % each[0] == 0)
    return _every(seconds // unit_s, unit)


def _every(count: int, unit: str) -> str:
    return f"every {unit}" if count == 1 else f"every {count} {unit}s"


def _rule(rule: Rule) -> str:
    time, days, months = _times(rule), _days(rule), _months(rule)
    if time.startswith("at ") and ":" in time and not days:
        days = "every day"
    return " ".join(filter(None, (time, days, months)))


def _times(rule: Rule) -> str:
    """Describe the times of a day."""
    hours, minutes = sorted(rule.hour.values), sorted(rule.minute.values)
    seconds = sorted(rule.second.values)
    if len(seconds) == 1 and len(hours) * len(minutes) <= MAX_TIMES:
        ending = f":{seconds[0]:02}" if seconds[0] else ""
        clock = [
            f"{hour:02}:{minute:02}{ending}" for hour in hours for minute in minutes
        ]
        return f"at {_listed(clock)}"
    if (seconds, minutes) == ([0], [0]):
        step = _step(hours)
        if len(hours) == 24 or (step and _fills(hours, step, 24)):
            return _every(step, "hour")
        if step:
            return f"{_every(step, 'hour')} from {hours[0]:02}:00 to {hours[-1]:02}:00"
    units = [("second", seconds, 60), ("minute", minutes, 60), ("hour", hours, 24)]
    if seconds == [0]:
        units.pop(0)
    (unit, values, count), *larger = units
    words = _smallest(unit, values, count)
    # `every 5 minutes` goes on in the next hour, `every 7 minutes` begins anew.
    goes_on = words.startswith("every ") and " from " not in words
    for unit, values, count in larger:
        is_all = len(values) == count
        if not (is_all and goes_on):
            words += f" of every {unit}" if is_all else f" of {_values(unit, values)}"
        goes_on = is_all
    return words


def _smallest(unit: str, values: Sequence[int], count: int) -> str:
    """Describe the field with the smallest unit that matters."""
    step = _step(values)
    if not step:
        return f"at {_values(unit, values)}"
    if _fills(values, step, count):
        return _every(step, unit)
    return f"{_every(step, unit)} from {unit} {values[0]} to {unit} {values[-1]}"


def _step(values: Sequence[int]) -> int:
    """Return how far apart the values of a series are; 0 if they are no series."""
    step = values[1] - values[0] if len(values) > 1 else 0
    is_short = len(values) < (SHORTEST_RANGE if step == 1 else SHORTEST_SERIES)
    is_regular = step and [*values] == [*range(values[0], values[-1] + 1, step)]
    fills_range = is_regular and values[0] == 0 and values[-1] + step in (24, 60)
    return step if is_regular and (fills_range or not is_short) else 0


def _fills(values: Sequence[int], step: int, count: int) -> bool:
    """Return whether a series goes on, in equal steps, in the next minute or hour."""
    return values[0] == 0 and values[-1] + step == count


def _values(unit: str, values: Sequence[int]) -> str:
    """Describe numbers: `minute 5`, `days 1 to 31 in steps of 2`."""
    if len(values) == 1:
        return f"{unit} {values[0]}"
    step = _step(values)
    if not step:
        return f"{unit}s {_listed(map(str, values))}"
    ends = f"{unit}s {values[0]} to {values[-1]}"
    return ends if step == 1 else f"{ends} in steps of {step}"


def _days(rule: Rule) -> str:
    """Describe the days; '' for every day."""
    is_any_monthday = rule.monthday.values.issuperset(range(1, 32))
    is_any_weekday = rule.weekday.values.issuperset(range(7))
    if is_any_monthday and is_any_weekday:
        return ""
    if rule.either_day:
        if is_any_monthday or is_any_weekday:
            return ""
        return f"{_monthdays(rule.monthday)} or {_weekdays(rule.weekday)}"
    if is_any_monthday:
        return _weekdays(rule.weekday)
    if is_any_weekday:
        return _monthdays(rule.monthday)
    return f"{_monthdays(rule.monthday)}, but only {_weekdays(rule.weekday)}"


def _monthdays(field: Field) -> str:
    numbers = sorted(field.values - {LAST})
    days = [_values("day", numbers)] if numbers else []
    days += ["the last day"] if LAST in field.values else []
    days += [
        "the last workday" if day == LAST else f"the workday nearest to day {day}"
        for day in sorted(field.nearest)
    ]
    return f"on {_listed(days)} of the month"


def _weekdays(field: Field) -> str:
    numbers = sorted((day - 1) % 7 for day in field.values)
    nths = sorted((nth, (day - 1) % 7) for day, nth in field.nths)
    days = [f"the {ORDINALS[nth]} {WEEKDAYS[day]} of the month" for nth, day in nths]
    if not days and _step(numbers) == 1:
        return f"from {WEEKDAYS[numbers[0]]} to {WEEKDAYS[numbers[-1]]}"
    return f"on {_listed([*(WEEKDAYS[day] for day in numbers), *days])}"


def _months(rule: Rule) -> str:
    """Describe the months; '' for every month."""
    numbers = sorted(rule.month.values)
    if len(numbers) == len(MONTHS):
        return ""
    if _step(numbers) == 1:
        return f"from {MONTHS[numbers[0] - 1]} to {MONTHS[numbers[-1] - 1]}"
    return f"in {_listed(MONTHS[number - 1] for number in numbers)}"


def _listed(words: Iterable[str]) -> str:
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
