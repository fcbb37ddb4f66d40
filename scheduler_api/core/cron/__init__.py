"""Parses cron expressions and durations; calculates and previews fire times."""
