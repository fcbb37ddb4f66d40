"""Keeps the names of headers with underscores apart from those with hyphens.

WSGI has the same variable for `X_Y` and `X-Y`, so gunicorn drops headers with
underscores. This project's gunicorn worker puts a character in place of each underscore
that no name of a header contains.
"""

_PLACEHOLDER = "="


def hide(name: str) -> str:
    """Return a name without underscores, for the WSGI environment."""
    return name.replace("_", _PLACEHOLDER)


def reveal(name: str) -> str:
    """Return the name that the client sent, for a name with hyphens."""
    return name.replace(_PLACEHOLDER, "_")
