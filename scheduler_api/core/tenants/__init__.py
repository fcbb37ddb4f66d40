"""Manages accounts, their secrets, quotas and URL groups."""
