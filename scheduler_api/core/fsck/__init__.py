"""Checks that the records and the sets of a store are consistent."""
