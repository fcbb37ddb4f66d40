"""Modules shared by the HTTP front ends of all dialects."""
