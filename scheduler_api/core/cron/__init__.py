"""Cron expressions: parsing, fire times and previews; and durations."""
