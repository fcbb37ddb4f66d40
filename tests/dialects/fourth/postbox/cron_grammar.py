"""The cron expressions that Postbox accepts: those with seconds and an `L`."""

from scheduler_api.core.cron.expression import Grammar

GRAMMAR = Grammar(
    aliases=frozenset(("@daily",)), special_characters=frozenset("L"), seconds=True
)
