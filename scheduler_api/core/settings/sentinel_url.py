"""Reads URLs of stores whose address a process asks Redis Sentinels for. Pure."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode

FORM = "redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/service[/db]"
PORT = 26379

# `urlsplit` of some releases of Python refuses such a list of hosts.
_URL = re.compile(
    r"(rediss?)\+sentinel://([^/?#]*@)?([^/?#@]+)/([^/?#]+)(?:/([0-9]*))?"
    r"(?:\?([^#]*))?"
)
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_OF_SENTINELS = ("sentinel_username", "sentinel_password")


class SentinelUrl(NamedTuple):
    """The parts of a Sentinel URL.

    Attributes:
        sentinels: host and port of each Sentinel.
        service: the name of the store that the Sentinels watch.
        credentials: the user name and password of the Sentinels, as arguments of a
            `redis.Redis`.
        store_url: the URL of the store with all its options, but without its address.
            The host and the port are those of the first Sentinel.
    """

    sentinels: tuple[tuple[str, int], ...]
    service: str
    credentials: dict[str, str]
    store_url: str


def is_sentinel(url: str) -> bool:
    """Return whether the scheme of a URL is that of a Sentinel URL."""
    return url.startswith(("redis+sentinel://", "rediss+sentinel://"))


def read(url: str) -> SentinelUrl:
    """Read a Sentinel URL.

    Raises: ValueError, with the form of such a URL.
    """
    found = _URL.fullmatch(url)
    if found is None:
        raise ValueError(FORM)
    kind, user, hosts, service, database, options = found.groups(default="")
    sentinels = tuple(_address(host) for host in hosts.split(","))
    query = dict(parse_qsl(options))
    credentials = {
        name.removeprefix("sentinel_"): query.pop(name)
        for name in _OF_SENTINELS
        if name in query
    }
    host, port = sentinels[0]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    rest = f"{database or 0}?{urlencode(query)}" if query else f"{database or 0}"
    store_url = f"{kind}://{user}{address}/{rest}"
    return SentinelUrl(sentinels, unquote(service), credentials, store_url)


def _address(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None:
        raise ValueError(FORM)
    in_brackets, plain, port = found.groups()
    number = int(port or PORT)
    if not 0 < number < 65_536:
        raise ValueError(FORM)
    return in_brackets or plain, number
