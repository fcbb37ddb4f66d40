"""Queries for users: lists, searches, journals and attempt logs."""
