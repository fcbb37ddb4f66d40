"""URL groups: named lists of destinations."""

import hashlib
import orjson
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from scheduler_api.core.errors import (
    Conflict,
    LimitReached,
    NotFound,
    SchedulerError,
    StoreFull,
    UnreadableRecord,
)
from scheduler_api.core.ids import to_id
from scheduler_api.core.model import Owner
from scheduler_api.core.settings.limits import (
    NO_LIMITS,
    LimitsByDialect,
    limits_of,
)
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.audit import Change
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.content_encryption import ContentCipher, plain
from typing import Any, cast

FORMAT = 1
# The maximum number of endpoints of a group. One call stores the events for all these
# endpoints, and the store serves no other client meanwhile.
MAX_ENDPOINTS = 500
DONE, LIMIT_REACHED, FULL = 1, 2, 3
# The message of `LimitReached` if the owner has too many groups.
GROUP = "group"
# How often a change is tried if other clients change the same group meanwhile.
TRIES = 50
KEY_BITS = 60
DIGEST_LENGTH = 12


@dataclass(frozen=True)
class Endpoint:
    """A destination of a group, identified by its URL; the name may be empty."""

    url: str
    name: str = ""

    @property
    def key(self) -> str:
        """The suffix of the ids of events for this endpoint."""
        digest = hashlib.sha256(self.url.encode("utf-8", "surrogatepass")).digest()
        return "e" + to_id(int.from_bytes(digest) >> (256 - KEY_BITS))


@dataclass(frozen=True)
class Group:
    """A stored group; `defaults` is JSON that only the owner's dialect reads."""

    name: str
    created_ms: int
    updated_ms: int
    endpoints: tuple[Endpoint, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)


class TooManyEndpoints(SchedulerError):
    """The group would have more than `MAX_ENDPOINTS` endpoints."""


Edit = Callable[[Group | None], Group | None]


class Groups:
    """The groups of a cell."""

    def __init__(
        self, cell: Cell, *, owner_limits: LimitsByDialect = NO_LIMITS
    ) -> None:
        self._cell = cell
        self._owner_limits = owner_limits

    def get(self, owner: Owner, name: str) -> Group:
        """The group with that name. Redis: one read.

        Raises: NotFound, UnreadableRecord.
        """
        record = self._record(owner, name)
        if not record:
            raise NotFound
        return read_group(name, record)

    def all_of(self, owner: Owner) -> list[Group]:
        """All groups of an owner, oldest first. Redis: one read.

        Raises: UnreadableRecord.
        """
        key = keys.groups(self._cell.prefix, str(owner))
        found = cast(dict[bytes, bytes], self._cell.client.hgetall(key))
        groups = [read_group(name.decode(), record) for name, record in found.items()]
        return sorted(groups, key=lambda group: (group.created_ms, group.name))

    def add(
        self,
        owner: Owner,
        name: str,
        endpoints: Sequence[Endpoint],
        *,
        change: Change | None = None,
    ) -> None:
        """Add endpoints to a group, which is created if it does not exist.

        If the group already has an endpoint with the same URL, only the name of this
        endpoint is replaced.

        Redis: put_group, atomic.

        Raises: TooManyEndpoints, LimitReached, StoreFull, Conflict, UnreadableRecord.
        """
        now_ms = self._cell.now_ms()

        def edit(group: Group | None) -> Group:
            group = group or Group(name, now_ms, now_ms, ())
            by_url = {e.url: e for e in (*group.endpoints, *endpoints)}
            if len(by_url) > MAX_ENDPOINTS:
                raise TooManyEndpoints
            return replace(group, updated_ms=now_ms, endpoints=tuple(by_url.values()))

        self._change(owner, name, edit, change)

    def remove(
        self,
        owner: Owner,
        name: str,
        *,
        urls: Sequence[str],
        names: Sequence[str],
        change: Change | None = None,
    ) -> None:
        """Remove endpoints by URL or name; delete the group if no endpoint is left.

        URLs and names that the group does not have are ignored. Redis: put_group,
        atomic.

        Raises: NotFound (the group does not exist), Conflict, UnreadableRecord.
        """
        now_ms = self._cell.now_ms()

        def edit(group: Group | None) -> Group | None:
            if group is None:
                raise NotFound
            left = tuple(
                endpoint
                for endpoint in group.endpoints
                if endpoint.url not in urls
                and (not endpoint.name or endpoint.name not in names)
            )
            if left == group.endpoints:
                return group
            return replace(group, updated_ms=now_ms, endpoints=left) if left else None

        self._change(owner, name, edit, change)

    def set_defaults(
        self,
        owner: Owner,
        name: str,
        defaults: dict[str, Any],
        *,
        change: Change | None = None,
    ) -> None:
        """Replace the options that events for a group have by default.

        Redis: put_group, atomic.

        Raises: NotFound, Conflict, UnreadableRecord.
        """
        now_ms = self._cell.now_ms()

        def edit(group: Group | None) -> Group:
            if group is None:
                raise NotFound
            return replace(group, updated_ms=now_ms, defaults=defaults)

        self._change(owner, name, edit, change)

    def delete(self, owner: Owner, name: str, *, change: Change | None = None) -> None:
        """Delete a group, if it exists; events for its endpoints are still sent.

        Redis: put_group, atomic.

        Raises: Conflict.
        """
        for _ in range(TRIES):
            old = self._record(owner, name)
            if self._put(owner, name, old, b"", change) == DONE:
                return
        raise Conflict

    def encrypt_again(self, owner: Owner) -> int:
        """Encrypt groups that have no key or an older one; return how many.

        Unreadable groups stay as they are. Redis: one read, and put_group for each.

        Raises: Conflict, StoreFull.
        """
        key, cipher = keys.groups(self._cell.prefix, str(owner)), self._cell.cipher
        if cipher is None:
            return 0
        found = cast(dict[bytes, bytes], self._cell.client.hgetall(key))
        older = [name for name, each in found.items() if not cipher.has_encrypted(each)]
        changed = 0
        for name in older:
            with suppress(UnreadableRecord):
                self._change(owner, name.decode(), lambda group: group, None)
                changed += 1
        return changed

    def _change(
        self, owner: Owner, name: str, edit: Edit, change: Change | None
    ) -> None:
        for _ in range(TRIES):
            old = self._record(owner, name)
            edited = edit(read_group(name, old) if old else None)
            new = b"" if edited is None else _encode(edited, self._cell.cipher)
            code = self._put(owner, name, old, new, change)
            if code == LIMIT_REACHED:
                raise LimitReached(GROUP)
            if code == FULL:
                raise StoreFull
            if code == DONE:
                return
        raise Conflict

    def _put(
        self, owner: Owner, name: str, old: bytes, new: bytes, change: Change | None
    ) -> int:
        options = {
            "owner": str(owner),
            "name": name,
            "limit": limits_of(owner.dialect, self._owner_limits).url_groups,
            **audit.options(change),
        }
        described = [_describe(name, old), _describe(name, new)] if change else []
        reply = self._cell.call("put_group", options, [old, new, *described])
        return cast(int, reply)

    def _record(self, owner: Owner, name: str) -> bytes:
        key = keys.groups(self._cell.prefix, str(owner))
        return cast(bytes | None, self._cell.client.hget(key, name)) or b""


def read_group(name: str, record: bytes) -> Group:
    """Decode a group.

    Raises: UnreadableRecord.
    """
    record = plain(record)
    try:
        stored = orjson.loads(record)
        return Group(
            name=name,
            created_ms=int(stored["c"]),
            updated_ms=int(stored["u"]),
            endpoints=tuple(Endpoint(str(url), str(name)) for url, name in stored["e"]),
            defaults=dict(stored.get("d", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise UnreadableRecord(f"group {name}") from err


def _describe(name: str, record: bytes) -> bytes:
    """Return what the audit log shows of a group, as JSON.

    URLs and headers may be secret, so it shows only a digest of them.
    """
    if not record:
        return b"null"
    try:
        group = read_group(name, record)
    except UnreadableRecord:
        return b'"unreadable"'
    content = orjson.dumps([[(e.url, e.name) for e in group.endpoints], group.defaults])
    digest = hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
    return orjson.dumps({"endpoints": len(group.endpoints), "digest": digest})


def _encode(group: Group, cipher: ContentCipher | None) -> bytes:
    stored = {
        "f": FORMAT,
        "c": group.created_ms,
        "u": group.updated_ms,
        "e": [[endpoint.url, endpoint.name] for endpoint in group.endpoints],
    }
    encoded = orjson.dumps(stored | ({"d": group.defaults} if group.defaults else {}))
    return cipher.encrypt(encoded, b"") if cipher else encoded
