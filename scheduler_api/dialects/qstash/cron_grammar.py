"""The grammar of the cron expressions that QStash accepts."""

from scheduler_api.core.cron.expression import Grammar

GRAMMAR = Grammar(
    aliases=frozenset(
        (
            "@yearly",
            "@annually",
            "@monthly",
            "@weekly",
            "@daily",
            "@midnight",
            "@hourly",
            "@every",
        )
    ),
    zone_prefix=True,
)
