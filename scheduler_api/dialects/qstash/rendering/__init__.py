"""Responses to QStash clients: messages, schedules, errors and API description."""
