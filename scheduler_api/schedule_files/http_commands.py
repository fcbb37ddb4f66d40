"""Reads a command with curl or wget as a webhook of QStash. Pure."""

import base64
import re
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from scheduler_api.core.headers import comparable, is_reserved
from scheduler_api.schedule_files.command_words import (
    NotAWebhook,
    check_output,
    options_of,
    words_of,
)
from scheduler_api.schedule_files.entries import Fields
from scheduler_api.schedule_files.qstash import USER_AGENT
from scheduler_api.schedule_files.wrappers import unwrap
from urllib.parse import quote_plus

PROGRAMS = ("curl", "wget")
FORM = "application/x-www-form-urlencoded"
NO_HEAD = "it sends HEAD, which has no counterpart here"
_PROGRAM = re.compile(r"\b(curl|wget)\b")
_SCHEME = re.compile(r"[a-z]+://", re.IGNORECASE)

CURL_SHORT = "X:H:d:u:A:e:b:m:Go:sSfvigL#4610I"
CURL_LONG = [
    *("request=", "header=", "data=", "data-ascii=", "data-binary=", "data-raw="),
    *(
        "data-urlencode=",
        "head",
        "json=",
        "user=",
        "user-agent=",
        "referer=",
        "cookie=",
        "max-time=",
        "get",
    ),
    *("output=", "url=", "retry=", "silent", "show-error", "fail", "verbose"),
    *("include", "globoff", "location", "compressed", "connect-timeout="),
    *("retry-delay=", "retry-max-time=", "fail-with-body", "no-progress-meter"),
    *("ipv4", "ipv6", "http1.1", "http1.0", "http2", "tlsv1.2", "tlsv1.3"),
]
WGET_SHORT = "O:qT:t:U:v46"
WGET_LONG = [
    *("output-document=", "post-data=", "body-data=", "method=", "header=", "quiet"),
    *("timeout=", "tries=", "user=", "password=", "user-agent=", "referer="),
    *("delete-after", "no-verbose", "no-cache", "no-cookies", "spider", "wait="),
]


def read_command(command: str, *, stdin: str = "") -> Fields:
    """Return the fields of a schedule, without its cron expression.

    Raises: NotAWebhook.
    """
    found = _PROGRAM.search(command)
    if found is None:
        raise NotAWebhook("it is not a curl or wget command")
    wrapped = unwrap(words_of(command))
    name = PurePosixPath(wrapped.words[0]).name
    if name not in PROGRAMS:
        raise NotAWebhook(f"it starts {found[1]} through {name}")
    read = _curl if name == "curl" else _wget
    return wrapped.complete(read(wrapped.words[1:], stdin))


def _curl(words: list[str], stdin: str) -> Fields:
    options, urls = options_of(words, CURL_SHORT, CURL_LONG)
    headers, data, fields = _Headers(), list[str](), Fields()
    actions: dict[str, Callable[[str], object]] = {
        "-X": lambda value: fields.update(method=value.upper()),
        "-H": headers.add,
        "-u": headers.authorize,
        "-A": lambda value: headers.set("User-Agent", value),
        "-e": lambda value: headers.set("Referer", value),
        "-b": headers.cookie,
        "-m": lambda value: fields.update(timeout=_seconds(value)),
        "-o": check_output,
        "--url": urls.append,
        "--retry": lambda value: fields.update(retries=_count(value)),
        "--json": lambda _: headers.json(),
        "--data-urlencode": lambda value: data.append(_encoded(value)),
        "--data-raw": data.append,
    }
    text, binary = ("-d", "--data", "--data-ascii"), ("--data-binary", "--json")
    same = {
        "--request": "-X",
        "--header": "-H",
        "--user": "-u",
        "--user-agent": "-A",
        "--referer": "-e",
        "--cookie": "-b",
        "--max-time": "-m",
        "--output": "-o",
    }
    for name, value in options:
        if name in text:
            data.append(_content(value, _without_breaks(stdin)))
        elif name in binary:
            data.append(_content(value, stdin))
        actions.get(same.get(name, name), _ignore)(value)
    url = _one_url(urls)
    if {"-I", "--head"} & {name for name, _ in options}:
        raise NotAWebhook(NO_HEAD)
    if not data:
        return _finish(fields, url, headers, method="GET")
    if {"-G", "--get"} & {name for name, _ in options}:
        separator = "&" if "?" in url else "?"
        return _finish(fields, url + separator + "&".join(data), headers, method="GET")
    fields["body"] = "&".join(data)
    headers.set_default("Content-Type", FORM)
    return _finish(fields, url, headers, method="POST")


def _wget(words: list[str], _stdin: str) -> Fields:
    options, urls = options_of(words, WGET_SHORT, WGET_LONG)
    headers, fields, method = _Headers(), Fields(), "GET"
    values = dict(options)
    if "--spider" in values:
        raise NotAWebhook(NO_HEAD)
    output = values.get("-O", values.get("--output-document"))
    if output is None and "--delete-after" not in values:
        raise NotAWebhook("it saves the response in a file")
    check_output(output or "-")
    for name, value in options:
        if name == "--header":
            headers.add(value)
    if "--post-data" in values or "--body-data" in values:
        fields["body"] = values.get("--post-data", values.get("--body-data"))
        headers.set_default("Content-Type", FORM)
        method = "POST"
    method = values.get("--method", method).upper()
    if "--user" in values:
        headers.authorize(f"{values['--user']}:{values.get('--password', '')}")
    for name in ("-U", "--user-agent"):
        if name in values:
            headers.set("User-Agent", values[name])
    for name in ("-T", "--timeout"):
        if name in values:
            fields["timeout"] = _seconds(values[name])
    for name in ("-t", "--tries"):
        if name in values:
            fields["retries"] = max(_count(values[name]) - 1, 0)
    return _finish(fields, _one_url(urls), headers, method=method)


class _Headers:
    """The headers of a request, in the order of the command."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def add(self, text: str) -> None:
        """Add `Name: value`."""
        name, colon, value = text.partition(":")
        if not colon or not value.strip():
            raise NotAWebhook(f"it removes or empties the header {name.rstrip(';')}")
        self.set(name.strip(), value.strip())

    def set(self, name: str, value: str) -> None:
        """Set a header, unless it is the one that deliveries have of their own.

        Raises: NotAWebhook.
        """
        if is_reserved(name):
            raise NotAWebhook(f"it sets the header {name}, which deliveries set")
        if comparable(name) != USER_AGENT:
            self.values[name] = value

    def set_default(self, name: str, value: str) -> None:
        """Set a header that the command does not set."""
        if name.lower() not in map(str.lower, self.values):
            self.set(name, value)

    def authorize(self, user: str) -> None:
        """Set the user and the password."""
        encoded = base64.b64encode(user.encode()).decode()
        self.set("Authorization", f"Basic {encoded}")

    def cookie(self, value: str) -> None:
        """Set cookies."""
        if "=" not in value:
            raise NotAWebhook("it reads cookies from a file")
        self.set("Cookie", value)

    def json(self) -> None:
        """Set the headers that `--json` sets."""
        self.set_default("Content-Type", "application/json")
        self.set_default("Accept", "application/json")


def _finish(fields: Fields, url: str, headers: _Headers, *, method: str) -> Fields:
    fields.setdefault("method", method)
    made = {"destination": url, **fields}
    return made | {"headers": headers.values} if headers.values else made


def _content(value: str, stdin: str) -> str:
    if value == "@-":
        return stdin
    if value.startswith("@"):
        raise NotAWebhook(f"it reads the file {value[1:]}")
    return value


def _without_breaks(stdin: str) -> str:
    """Return what curl sends of a text that it reads with `-d @-`."""
    return stdin.translate({ord(letter): None for letter in "\r\n\0"})


def _encoded(value: str) -> str:
    """Return what curl sends for `content`, `=content` or `name=content`."""
    name, equals, content = value.partition("=")
    if "@" in name:
        raise NotAWebhook(f"it reads the file {name.partition('@')[2]}")
    text = content if equals else name
    return f"{name}={quote_plus(text)}" if equals and name else quote_plus(text)


def _one_url(urls: Iterable[str]) -> str:
    found = list(urls)
    if len(found) != 1:
        raise NotAWebhook(f"it has {len(found)} URLs")
    return found[0] if _SCHEME.match(found[0]) else f"http://{found[0]}"


def _seconds(value: str) -> str:
    return f"{value}s" if value.replace(".", "", 1).isdecimal() else value


def _count(value: str) -> int:
    if not value.isdecimal():
        raise NotAWebhook(f"{value!r} is not a number")
    return int(value)


def _ignore(_value: str) -> None:
    """What changes nothing about the request."""
