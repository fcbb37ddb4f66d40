"""What operators were told of the state of the cell, and what is still to be sent.

An alert has a subject, such as a destination. Its messages say that something is wrong
with the subject, or no longer. All processes share this state, so that each change has
one message. A message is handed out again until it is settled, with the same id.
"""

import base64
import orjson
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from scheduler_api.core.delivery.signing import WEBHOOK_SECRET
from scheduler_api.core.ids import nonce
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.content_encryption import derive

# A subject has at most one message in this time, and the cell so many in a minute.
INTERVAL_MS = 30_000
PER_MINUTE = 20
# When a message that was not accepted is sent again, counted from each try.
RETRY_AFTER_MS = (30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000)
SETTLED = b"-"


@dataclass(frozen=True)
class Notice:
    """What a message says.

    Attributes:
        what: the URL of a destination, the role of a process, or a fixed word.
        since_ms: since when something is wrong, or was.
        text: a sentence for people.
        command: what helps, or ''.
        expected: of a role, how many processes ran before; else 0.
    """

    type: str
    what: str
    since_ms: int
    text: str
    command: str = ""
    expected: int = 0


@dataclass(frozen=True)
class LastMessage:
    """The last message about a subject.

    Attributes:
        at_ms: when it was made.
        next_ms: when it is to be sent next; None: it is settled.
    """

    is_wrong: bool
    at_ms: int
    next_ms: int | None
    notice: Notice

    def has_work(self, now_ms: int) -> bool:
        """Whether the message is to be sent, or the subject to be forgotten."""
        if self.next_ms is None:
            return not self.is_wrong and now_ms - self.at_ms >= INTERVAL_MS
        return self.next_ms <= now_ms


@dataclass(frozen=True)
class Change:
    """A subject with which something is wrong now, or no longer."""

    subject: str
    is_wrong: bool
    notice: Notice


@dataclass(frozen=True)
class Message:
    """A message that is to be sent now, for the time number `tries`."""

    subject: str
    id: str
    tries: int
    at_ms: int
    notice: Notice

    @property
    def is_last_try(self) -> bool:
        """Whether the message is not sent again if this try fails."""
        return self.tries >= len(RETRY_AFTER_MS)


def read_last(stored: Mapping[bytes, bytes]) -> dict[str, LastMessage]:
    """Return the last messages in the hash `keys.alerts`, by subject."""
    return {
        subject.decode(): _last_message(value)
        for subject, value in stored.items()
        if subject
    }


def _last_message(value: bytes) -> LastMessage:
    is_wrong, at_ms, message_id, _, next_ms, notice = value.split(b" ", 5)
    return LastMessage(
        is_wrong=is_wrong == b"1",
        at_ms=int(at_ms),
        next_ms=None if message_id == SETTLED else int(next_ms),
        notice=Notice(**orjson.loads(notice)),
    )


def report(
    cell: Cell, changes: Iterable[Change] = (), *, settled: Iterable[Message] = ()
) -> list[Message]:
    """Record changes; return the messages to send now.

    Nobody else gets these messages before the first of `RETRY_AFTER_MS` has passed.
    Works in a full store, too. Redis: report_alerts, atomic.

    Args:
        settled: messages that were sent, or that cannot be sent.
    """
    options = {
        "changes": [*map(_encode, changes)],
        "settled": [(each.subject, each.id) for each in settled],
        "interval_ms": INTERVAL_MS,
        "per_minute": PER_MINUTE,
        "retry_after_ms": RETRY_AFTER_MS,
    }
    return [*map(_message, cell.call("report_alerts", options))]


def _encode(change: Change) -> tuple[str, str, str, str]:
    notice = orjson.dumps(asdict(change.notice)).decode()
    return change.subject, str(int(change.is_wrong)), f"alert_{nonce()}", notice


def _message(reply: Sequence[bytes | int]) -> Message:
    subject, message_id, tries, at_ms, notice = reply
    assert isinstance(subject, bytes) and isinstance(message_id, bytes)
    assert isinstance(notice, bytes)
    return Message(
        *(subject.decode(), message_id.decode(), int(tries), int(at_ms)),
        Notice(**orjson.loads(notice)),
    )


def signing_secrets(settings: EngineSettings) -> list[str]:
    """Return the secrets that sign alerts, in the form of Standard Webhooks.

    They are derived from SECRET_KEY, whose secret comes first, and the older keys.
    """
    return [
        WEBHOOK_SECRET + base64.b64encode(derive(key, info)).decode()
        for info in [f"scheduler_api alerts 1 {settings.cell}".encode()]
        for key in (settings.secret_key, *settings.older_secret_keys)
    ]
