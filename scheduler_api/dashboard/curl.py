"""The request of an event as a curl command, without secrets."""

import base64
import shlex
from collections.abc import Mapping
from scheduler_api.core.delivery.request import Outgoing
from scheduler_api.core.model import Event
from scheduler_api.dialects.dialect import Outbound
from scheduler_api.web.next_request import next_request

# A command line with a longer body cannot be pasted.
MAX_BODY_BYTES = 65_536


def curl_of(
    event: Event, outbound: Mapping[str, Outbound], *, now_ms: int
) -> str | None:
    """Return the command that sends the request of an event's next attempt.

    None if there is no such request: the event names a group, or cannot be read.
    """
    outgoing = next_request(event, outbound, now_ms=now_ms)
    return None if outgoing is None else _command(outgoing)


def _command(outgoing: Outgoing) -> str:
    # Without -g, curl takes brackets and braces in the URL for patterns.
    words = ["curl", "-sgS", "-X", outgoing.method, shlex.quote(outgoing.url)]
    lines = [" ".join(words)]
    headers = outgoing.headers
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in headers]
    if outgoing.body and "content-type" not in {name.lower() for name, _ in headers}:
        # Otherwise curl adds one.
        lines.append("-H 'Content-Type:'")
    before, body = _body(outgoing.body)
    return before + " \\\n  ".join(lines + body)


def _body(body: bytes) -> tuple[str, list[str]]:
    """Return what comes before the command, and the options for the body."""
    if not body:
        return "", []
    if len(body) > MAX_BODY_BYTES:
        return "", ["--data-binary @body-of-the-event"]
    try:
        text = body.decode()
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        encoded = base64.b64encode(body).decode()
        return f"echo {encoded} | base64 -d | ", ["--data-binary @-"]
    return "", [f"--data-raw {shlex.quote(text)}"]
