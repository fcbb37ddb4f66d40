"""Writes the options for TLS into the URL of a store. Pure."""

from urllib.parse import urlencode


def add_options(url: str, *, ca: str, verify: bool) -> str:
    """Return the URL with redis-py's options for TLS; without TLS, return it as it is.

    Args:
        ca: the path of a file with certificates of authorities; may be empty.
        verify: whether to check the store's certificate.
    """
    options = {"ssl_ca_certs": ca} if ca else {}
    if not verify:
        options["ssl_cert_reqs"] = "none"
    if not options or not uses_tls(url):
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(options)}"


def uses_tls(url: str) -> bool:
    """Return whether connections to the store, or its Sentinels, use TLS."""
    return url.startswith(("rediss://", "rediss+sentinel://"))
