"""Schedules: their storage, planning, runs by hand and run history."""
