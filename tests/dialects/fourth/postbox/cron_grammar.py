"""The cron grammar of Postbox, which has a field for seconds, `L` and `@daily`."""

from scheduler_api.core.cron.expression import Grammar

GRAMMAR = Grammar(
    aliases=frozenset(("@daily",)), special_characters=frozenset("L"), seconds=True
)
