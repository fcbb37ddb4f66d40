"""Protects people who are signed in from what other web pages make a browser send.

Browsers send `Sec-Fetch-Site` to servers that they reach through TLS or on loopback.
Without it, `Origin` says which page sent a form.
"""

from collections.abc import Sequence
from flask import Request, Response
from scheduler_api.web.allowed_hosts import is_allowed
from urllib.parse import urlsplit

SAME_ORIGIN = "same-origin"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none';"
        " frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
NOT_STORED = "no-store"


def is_from_own_page(request: Request, allowed_hosts: Sequence[str]) -> bool:
    """Return whether a page of this server sent the request.

    Args:
        allowed_hosts: further names of this server, behind a proxy.
    """
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == SAME_ORIGIN
    origin = urlsplit(request.headers.get("Origin", ""))
    if origin.scheme not in ("http", "https") or not origin.netloc:
        return False
    if origin.netloc.lower() == request.headers.get("Host", "").lower():
        return True
    return bool(allowed_hosts) and is_allowed(origin.netloc, allowed_hosts)


def is_secure(request: Request) -> bool:
    """Return whether the browser reaches this server through TLS."""
    if request.is_secure:
        return True
    origin = request.headers.get("Origin", "")
    return origin.startswith("https://")


def protect(response: Response) -> Response:
    """Add the headers that forbid inline scripts, frames and other hosts."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if response.mimetype == "text/html":
        response.headers.setdefault("Cache-Control", NOT_STORED)
    return response
