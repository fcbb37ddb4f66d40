"""Cron expressions: parsed, turned into fire times, described and previewed."""
