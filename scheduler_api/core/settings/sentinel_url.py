"""Reads URLs of stores whose address a process asks Redis Sentinels for. Pure."""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

FORM = "redis+sentinel://[[user]:password@]host[:port][,host[:port]…]/service[/db]"
PORT = 26379

_SCHEMES = {"redis+sentinel": "redis", "rediss+sentinel": "rediss"}
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_PATH = re.compile(r"/([^/]+)(?:/([0-9]*))?")
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
    return url.partition("://")[0] in _SCHEMES


def read(url: str) -> SentinelUrl:
    """Read a Sentinel URL.

    Raises: ValueError, with the form of such a URL.
    """
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    sentinels = tuple(_address(host) for host in hosts.split(","))
    path = _PATH.fullmatch(parts.path)
    if parts.scheme not in _SCHEMES or path is None or parts.fragment:
        raise ValueError(FORM)
    service, database = path.groups()
    query = dict(parse_qsl(parts.query))
    credentials = {
        name.removeprefix("sentinel_"): query.pop(name)
        for name in _OF_SENTINELS
        if name in query
    }
    (host, port), scheme = sentinels[0], _SCHEMES[parts.scheme]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    options = f"?{urlencode(query)}" if query else ""
    store_url = f"{scheme}://{user}{at}{address}/{database or 0}{options}"
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
