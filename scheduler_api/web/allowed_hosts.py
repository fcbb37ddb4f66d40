"""Refuses requests that a web page elsewhere makes a browser send.

A page can give its own name the address of this machine (DNS rebinding), and then send
requests to a server on loopback and read the responses. The browser sends the page's
name in `Host`.
"""

import re
from collections.abc import Sequence
from flask import Request
from ipaddress import ip_address

UNKNOWN_HOST = "This host is not served: name it in SCHED_ALLOWED_HOSTS"
FROM_ELSEWHERE = "Requests from other web pages are refused"

# What browsers say of requests by a page of this server, or by the user.
_OWN_SITES = ("same-origin", "none")
_HOST = re.compile(
    r"(?:\[([0-9a-f:.]+)\]|([^\[\]:@/\\\s]+))(?::[0-9]*)?", re.IGNORECASE
)


def refusal(request: Request, allowed: Sequence[str]) -> str | None:
    """Return why a request is refused, None if it is not.

    `Host` must be loopback or allowed. A browser must have sent the request for a page
    of this server, or for the user.
    """
    host = request.headers.get("Host", "")
    if not is_allowed(host, allowed):
        return UNKNOWN_HOST
    site = request.headers.get("Sec-Fetch-Site", "none").lower()
    origin = request.headers.get("Origin", f"http://{host}").lower()
    own_origins = (f"http://{host}".lower(), f"https://{host}".lower())
    if site not in _OWN_SITES or origin not in own_origins:
        return FROM_ELSEWHERE
    return None


def is_allowed(host: str, allowed: Sequence[str]) -> bool:
    """Return whether the value of a `Host` header is loopback or one of the names."""
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = (found[1] or found[2]).lower().removesuffix(".")
    return name in allowed or _is_loopback(name)


def _is_loopback(name: str) -> bool:
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
