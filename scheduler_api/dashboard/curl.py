"""The request of an event as a curl command, without secrets."""

import base64
import re
import shlex
from collections.abc import Mapping
from scheduler_api.core.delivery.request import Outgoing
from scheduler_api.core.errors import UnreadableRecord
from scheduler_api.core.model import Begun, Event
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.dialect import Outbound
from scheduler_api.dialects.outbound import SECRETS

MASKED = "(masked)"
# Names of headers whose values nobody should copy.
CREDENTIALS = re.compile(
    r"authorization|cookie|password|secret|signature|token|api-?key", re.IGNORECASE
)
# A command line with a longer body cannot be pasted.
MAX_BODY_BYTES = 65_536


def curl_of(
    event: Event, outbound: Mapping[str, Outbound], *, now_ms: int
) -> str | None:
    """Return the command that sends the request of an event's next attempt.

    None if there is no such request: the event names a group, or cannot be read.
    """
    outgoing, other = (
        _render(outbound[event.owner.dialect], event, now_ms) for _ in range(2)
    )
    if outgoing is None or other is None or outgoing.group:
        return None
    # The two requests were signed with different secrets.
    headers = [
        (name, MASKED if value != again or CREDENTIALS.search(name) else value)
        for (name, value), (_, again) in zip(
            outgoing.headers, other.headers, strict=True
        )
    ]
    return _command(outgoing, headers)


def _render(outbound: Outbound, event: Event, now_ms: int) -> Outgoing | None:
    secrets = Secrets({name: make() for name, make in SECRETS.items()})
    begun = Begun(
        id=event.id,
        token="",
        attempt=event.attempts + 1,
        failures=event.attempts,
        interruptions=0,
        wanted_ms=event.wanted_ms,
        created_ms=event.created_ms,
        deadline_ms=event.deadline_ms,
        owner=event.owner,
        content_key="",
        content=event.content,
        schedule=event.schedule,
    )
    try:
        return outbound.render(begun, secrets=secrets, now_ms=now_ms)
    except UnreadableRecord:
        return None


def _command(outgoing: Outgoing, headers: list[tuple[str, str]]) -> str:
    # Without -g, curl takes brackets and braces in the URL for patterns.
    words = ["curl", "-sgS", "-X", outgoing.method, shlex.quote(outgoing.url)]
    lines = [" ".join(words)]
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
