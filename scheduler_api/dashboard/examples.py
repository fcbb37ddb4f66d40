"""Commands that create the first object of a kind, for empty lists."""

from flask import request
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings

EVENT, QUEUE, FLOW_KEY = "event", "queue", "flow_key"
ELSEWHERE = "https://receiver.example/hook"


def example(kind: str, settings: Settings) -> str:
    """Return a command that creates an object of this kind; '' if no dialect has one.

    The request is sent to the built-in receiver, if it is on.
    """
    base_url = request.host_url.rstrip("/")
    destination = f"{base_url}/receiver/hello" if settings.receiver else ELSEWHERE
    for dialect in outbound.DIALECTS:
        if kind in dialect.examples:
            command = dialect.examples[kind]
            return command.format(base_url=base_url, destination=destination)
    return ""
