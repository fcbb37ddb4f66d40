"""Declares, parses and formats environment variables."""

import re
import ssl
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from scheduler_api.core.settings import sentinel_url
from typing import Any
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
Parse = Callable[[str], Any]
Mask = Callable[[str], str]

DAY_MS = 86_400_000
MIB = 1_048_576


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable; the dataclass `settings` has a field for its value."""

    name: str
    default: str
    doc: str
    settings: type
    field: str
    parse: Parse
    mask: Mask | None
    required: bool
    # Whether the processes of a cell may have different values.
    local: bool

    def show(self, value: Any) -> str:
        """Format `value` for a log, with secrets masked."""
        return self.mask(value) if self.mask else write(value)


def declared(settings: type) -> tuple[Variable, ...]:
    """Return the variables of a dataclass, in the order of its fields."""
    return tuple(
        Variable(
            name=f.metadata["name"],
            default="" if f.default is MISSING else write(f.default),
            doc=f.metadata["doc"],
            settings=settings,
            field=f.name,
            parse=f.metadata["parse"],
            mask=f.metadata["mask"],
            required=f.default is MISSING,
            local=f.metadata["local"],
        )
        for f in fields(settings)
        if f.metadata
    )


def variable(
    name: str,
    parse: Parse,
    *,
    doc: str,
    default: Any = MISSING,
    mask: Mask | None = None,
    local: bool = False,
) -> Any:
    """Declare a dataclass field whose value comes from an environment variable.

    Args:
        parse: converts the text to a value. If the text is invalid, it raises a
            ValueError, whose message completes the sentence "expected …".
        mask: hides the secret part of a value in logs.
        local: whether the processes of a cell may have different values.
    """
    metadata = {"name": name, "parse": parse, "doc": doc, "mask": mask}
    return field(default=default, metadata=metadata | {"local": local})


def read_integer(low: int, high: int) -> Parse:
    def parse(text: str) -> int:
        if not re.fullmatch(r"-?[0-9]{1,18}", text) or not low <= int(text) <= high:
            raise ValueError(f"an integer from {low} to {high}")
        return int(text)

    return parse


def read_yes_or_no(text: str) -> bool:
    words = {"true": True, "false": False}
    if text.lower() not in words:
        raise ValueError("true or false")
    return words[text.lower()]


def read_choice(*choices: str) -> Parse:
    def parse(text: str) -> str:
        if text.lower() not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return text.lower()

    return parse


def read_networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(
            ip_network(part.strip()) for part in text.split(",") if part.strip()
        )
    except ValueError as err:
        raise ValueError(
            f"networks such as 10.0.0.0/8,fd00::/8, separated by commas ({err})"
        ) from err


def read_ports(text: str) -> tuple[int, ...]:
    port = read_integer(1, 65_535)
    try:
        return tuple(port(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as err:
        raise ValueError("ports such as 443,8443, separated by commas") from err


def read_cell(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,32}", text):
        raise ValueError("1 to 32 letters, digits, '-' or '_'")
    return text


ENVIRONMENT_COLOURS = ("grey", "green", "blue", "amber", "red")


def read_environment(text: str) -> str:
    """Read a name, or a name and a colour: `production:red`."""
    name, _, colour = text.rpartition(":") if ":" in text else (text, "", "grey")
    if not re.fullmatch(r"[\w .-]{1,32}", name) or colour not in ENVIRONMENT_COLOURS:
        colours = ", ".join(ENVIRONMENT_COLOURS)
        raise ValueError(f"a name, or name:colour with one of {colours}")
    return text


def read_folder(text: str) -> str:
    if not Path(text).is_dir():
        raise ValueError("an existing folder")
    return text


def read_certificates(text: str) -> str:
    """Read the path of a PEM file with at least one certificate."""
    try:
        ssl.create_default_context(cafile=text)
    except OSError as err:
        raise ValueError("a PEM file with certificates") from err
    return text


def read_host(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9.:_-]+", text):
        raise ValueError("an address or host name to listen on")
    return text


def read_address(text: str) -> str:
    """Read an address and a port, `[address]:port` for IPv6."""
    host, _, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    try:
        read_integer(1, 65_535)(port)
        read_host(host[1:-1] if is_bracketed else host)
    except ValueError as err:
        raise ValueError("an address and port, such as 127.0.0.1:9180") from err
    if ":" in host and not is_bracketed:
        raise ValueError("brackets around the address, such as [::1]:9180")
    return text


def read_names(text: str) -> tuple[str, ...]:
    names = [part.strip().lower() for part in text.split(",") if part.strip()]
    if not all(re.fullmatch(r"[a-z0-9.:_-]+", name) for name in names):
        raise ValueError("host names or addresses without ports, separated by commas")
    return tuple(names)


def read_redis_url(text: str) -> str:
    if sentinel_url.is_sentinel(text):
        sentinel_url.read(text)
        return text
    expected = (
        "redis://[:password@]host[:port][/db], rediss://…, unix://…"
        " or redis+sentinel://…"
    )
    try:
        url = urlsplit(text)
        named = bool(
            url.path if url.scheme == "unix" else url.hostname and url.port != 0
        )
    except ValueError as err:
        raise ValueError(expected) from err
    if url.scheme not in ("redis", "rediss", "unix") or not named:
        raise ValueError(expected)
    return text


def read_http_url(text: str) -> str:
    """Read an http or https URL with a host."""
    url = urlsplit(text)
    if url.scheme not in ("http", "https") or not url.hostname:
        raise ValueError("an http or https URL")
    return text


def read_secret_key(text: str) -> str:
    if len(text) < 16:
        raise ValueError(
            "at least 16 random characters, as `openssl rand -hex 32` gives"
        )
    return text


def read_secret_keys(text: str) -> tuple[str, ...]:
    return tuple(
        read_secret_key(part.strip()) for part in text.split(",") if part.strip()
    )


def write(value: Any) -> str:
    """Format `value` as in an environment variable."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def mask_all(_text: str) -> str:
    return "***"


def mask_path(url: str) -> str:
    """Hide all of a URL but its origin: path, query and user may be secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/***" if url else url


def mask_password(url: str) -> str:
    masked = re.sub(r"(?<=://).*@", "***@", url)
    return re.sub(r"(?<=password=)[^&]*", "***", masked)
