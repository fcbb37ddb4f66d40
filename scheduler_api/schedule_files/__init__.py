"""Schedules as code: a YAML or JSON file with schedules of all dialects.

The file is compared with what the APIs of a web process list, and applied through them.
"""
