"""The grammar of cron expressions that Postbox accepts: seconds, `L` and `@daily`."""

from scheduler_api.core.cron.expression import Grammar

GRAMMAR = Grammar(
    aliases=frozenset(("@daily",)), special_characters=frozenset("L"), seconds=True
)
