"""The cron expressions that Scheduler v1 accepts."""

from scheduler_api.core.cron.expression import Grammar

GRAMMAR = Grammar(
    aliases=frozenset(
        (
            "@yearly",
            "@annually",
            "@monthly",
            "@weekly",
            "@weekdays",
            "@weekends",
            "@daily",
            "@hourly",
            "@minutely",
            "@secondly",
        )
    ),
    special_characters=frozenset("?L#"),
    seconds=True,
)
