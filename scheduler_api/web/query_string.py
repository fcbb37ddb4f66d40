"""Reads the parameters in the query string of a request."""

from collections.abc import Mapping
from urllib.parse import parse_qsl


def read_parameters(environ: Mapping[str, object]) -> list[tuple[str, str]]:
    """Return the decoded parameters, in order; replace bytes that are not UTF-8."""
    raw = str(environ.get("QUERY_STRING", "")).encode("latin-1", "replace")
    return parse_qsl(raw.decode(errors="replace"), keep_blank_values=True)
