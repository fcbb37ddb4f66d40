"""The engine: no web framework and no HTTP client in here."""
