"""Requests of QStash clients: destinations, headers, bodies and filters."""
