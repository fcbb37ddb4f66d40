"""Checks that the records and sets of a store agree."""
