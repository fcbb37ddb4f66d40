"""The parameters of a request's query string."""

from collections.abc import Mapping
from urllib.parse import parse_qsl


def read_parameters(environ: Mapping[str, object]) -> list[tuple[str, str]]:
    """The decoded parameters, in order; bytes that are not UTF-8 are replaced."""
    raw = str(environ.get("QUERY_STRING", "")).encode("latin-1", "replace")
    return parse_qsl(raw.decode(errors="replace"), keep_blank_values=True)
