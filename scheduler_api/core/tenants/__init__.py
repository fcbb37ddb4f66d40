"""Accounts, their secrets, quotas and URL groups."""
