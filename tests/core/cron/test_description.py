"""Tests of cron rules in words."""

import pytest
from scheduler_api.core.cron.description import describe
from scheduler_api.core.cron.expression import parse


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("* * * * *", "Every minute"),
        ("* * * * * *", "Every second"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("*/20 * * * * *", "Every 20 seconds"),
        ("0 * * * *", "Every hour"),
        ("0 */2 * * *", "Every 2 hours"),
        ("@every 90s", "Every 90 seconds"),
        ("@every 1h", "Every hour"),
        ("@every 48h", "Every 2 days"),
        ("@daily", "At 00:00 every day"),
        ("30 2 * * *", "At 02:30 every day"),
        ("15 30 2 * * *", "At 02:30:15 every day"),
        ("5,10 1,2 * * *", "At 01:05, 01:10, 02:05 and 02:10 every day"),
        ("5 * * * *", "At minute 5 of every hour"),
        ("30 * * * * *", "At second 30 of every minute"),
        ("30 9-17 * * *", "At minute 30 of hours 9 to 17"),
        ("0 9-17 * * *", "Every hour from 09:00 to 17:00"),
        ("* 9 * * *", "Every minute of hour 9"),
        (
            "0,30 9-17 * * 1-5",
            "Every 30 minutes of hours 9 to 17 from Monday to Friday",
        ),
        ("0 9 * * 0,6", "At 09:00 on Saturday and Sunday"),
        ("0 9 * * 7", "At 09:00 on Sunday"),
        ("0 9 1 * *", "At 09:00 on day 1 of the month"),
        ("0 9 L * *", "At 09:00 on the last day of the month"),
        ("0 9 15W * *", "At 09:00 on the workday nearest to day 15 of the month"),
        ("0 9 LW * *", "At 09:00 on the last workday of the month"),
        ("0 9 * * 1#2", "At 09:00 on the second Monday of the month"),
        ("0 9 * * 5L", "At 09:00 on the last Friday of the month"),
        ("0 9 * 3-5 *", "At 09:00 every day from March to May"),
        ("0 9 29 2 *", "At 09:00 on day 29 of the month in February"),
    ],
)
def test_the_words_say_when_the_rule_fires(expression: str, words: str) -> None:
    assert describe(parse(expression)) == words


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        # These begin anew in each hour or day.
        ("*/7 * * * *", "Every 7 minutes from minute 0 to minute 56 of every hour"),
        ("5/15 * * * *", "Every 15 minutes from minute 5 to minute 50 of every hour"),
        ("0 */5 * * *", "At 00:00, 05:00, 10:00, 15:00 and 20:00 every day"),
        ("0 1/3 * * *", "Every 3 hours from 01:00 to 22:00"),
        # Either day matches.
        ("0 0 1 * 1", "At 00:00 on day 1 of the month or on Monday"),
        # Both must match, because a field begins with a star.
        (
            "0 0 */2 * 1",
            "At 00:00 on days 1 to 31 in steps of 2 of the month, but only on Monday",
        ),
        # Either matches every day.
        ("0 0 1-31 * 1", "At 00:00 every day"),
    ],
)
def test_the_words_are_exact_where_a_cron_line_misleads(
    expression: str, words: str
) -> None:
    assert describe(parse(expression)) == words


def test_a_hashed_value_is_that_of_the_schedule() -> None:
    first, second = (describe(parse("H 9 * * *", seed=each)) for each in "ab")

    assert first != second
    assert first.startswith("At 09:")
