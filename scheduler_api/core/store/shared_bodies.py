"""Large bodies that several new events share, such as the messages of a URL group."""

import secrets
from collections import Counter
from collections.abc import Sequence
from redis.client import Pipeline
from scheduler_api.core.model import Draft, Owner
from scheduler_api.core.store import codec, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.large_content import EXPIRES_S, INLINE_BYTES


class SharedBodies:
    """The large bodies that occur more than once in the events of one round trip.

    They are written before the call that creates the events, with a TTL that the call
    removes. The call that deletes the last of the events deletes its body.
    """

    def __init__(self, cell: Cell, owner: Owner, drafts: Sequence[Draft]) -> None:
        self._cell = cell
        self._owner = str(owner)
        self._names: dict[bytes, str] = {}
        if len(drafts) > 1:
            bodies = (draft.content.body for draft in drafts)
            counts = Counter(body for body in bodies if len(body) > INLINE_BYTES)
            for body, count in counts.items():
                if count > 1:
                    self._names[body] = secrets.token_urlsafe(12)

    def name_of(self, body: bytes) -> str | None:
        """Return the name under which a body is shared, None if it is not."""
        return self._names.get(body) if self._names else None

    def write(self, pipe: Pipeline) -> None:
        """Write the bodies. A late repeat of a write does not restore the TTL."""
        for body, name in self._names.items():
            stored = codec.encode_shared_body(body, self._cell.cipher)
            pipe.set(self._key(name), stored, ex=EXPIRES_S, nx=True)
            pipe.execute()

    def discard(self, pipe: Pipeline) -> None:
        """Delete the bodies, because all events were refused."""
        for name in self._names.values():
            pipe.unlink(self._key(name))

    def _key(self, name: str) -> str:
        return keys.shared_body(self._cell.prefix, self._owner, name)
