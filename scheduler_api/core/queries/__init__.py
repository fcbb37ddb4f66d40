"""Reads for people: lists, filters, journals, logs of attempts."""
