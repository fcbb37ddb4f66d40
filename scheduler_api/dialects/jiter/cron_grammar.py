"""The cron expressions that Jiter accepts."""

from scheduler_api.core.cron.expression import Grammar

GRAMMAR = Grammar(
    aliases=frozenset(
        ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@hourly")
    )
)
