"""Groups: a name of an owner's that stands for several destinations."""

import hashlib
import orjson
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from scheduler_api.core.errors import (
    Conflict,
    LimitReached,
    NotFound,
    SchedulerError,
    UnreadableRecord,
)
from scheduler_api.core.ids import to_id
from scheduler_api.core.model import Owner
from scheduler_api.core.settings.limits import (
    NO_LIMITS,
    NO_OWNER_LIMITS,
    LimitsByDialect,
)
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from typing import Any, cast

FORMAT = 1
# What is published to a group is stored by one call: all of it or nothing.
MOST_ENDPOINTS = 500
DONE, LIMIT_REACHED = 1, 2
# What `LimitReached` names.
GROUP = "group"
# How often a change may meet others to the same group.
TRIES = 50
KEY_BITS = 60


@dataclass(frozen=True)
class Endpoint:
    """One destination of a group, known by its URL; its name is '' if it has none."""

    url: str
    name: str = ""

    @property
    def key(self) -> str:
        """What the id of an event ends in that is made for this endpoint."""
        digest = hashlib.sha256(self.url.encode("utf-8", "surrogatepass")).digest()
        return "e" + to_id(int.from_bytes(digest) >> (256 - KEY_BITS))


@dataclass(frozen=True)
class Group:
    """A group as it stands in the store.

    `defaults` is the dialect's own: plain JSON that only its folder reads.
    """

    name: str
    created_ms: int
    updated_ms: int
    endpoints: tuple[Endpoint, ...]
    defaults: Mapping[str, Any] = field(default_factory=dict)


class TooManyEndpoints(SchedulerError):
    """The group would have more endpoints than one may have."""


Edit = Callable[[Group | None], Group | None]


class Groups:
    """The groups of a cell."""

    def __init__(
        self, cell: Cell, *, owner_limits: LimitsByDialect = NO_LIMITS
    ) -> None:
        self._cell = cell
        self._owner_limits = owner_limits

    def _limit(self, owner: Owner) -> int:
        return self._owner_limits.get(owner.dialect, NO_OWNER_LIMITS).url_groups

    def get(self, owner: Owner, name: str) -> Group:
        """The group of that name. Redis: one read.

        Raises: NotFound, UnreadableRecord, redis.RedisError.
        """
        record = self._record(owner, name)
        if not record:
            raise NotFound
        return read_group(name, record)

    def all_of(self, owner: Owner) -> list[Group]:
        """All groups of an owner, oldest first. Redis: one read.

        Raises: UnreadableRecord, redis.RedisError.
        """
        key = keys.groups(self._cell.prefix, str(owner))
        found = cast(dict[bytes, bytes], self._cell.client.hgetall(key))
        groups = [read_group(name.decode(), record) for name, record in found.items()]
        return sorted(groups, key=lambda group: (group.created_ms, group.name))

    def add(self, owner: Owner, name: str, endpoints: Sequence[Endpoint]) -> None:
        """Puts endpoints into a group, which is made if it is missing.

        One whose URL is there already gets the name that is given now. Redis:
        put_group, atomic.

        Raises: TooManyEndpoints, LimitReached, Conflict, UnreadableRecord.
        """
        now_ms = self._cell.now_ms()

        def edit(group: Group | None) -> Group:
            group = group or Group(name, now_ms, now_ms, ())
            by_url = {each.url: each for each in (*group.endpoints, *endpoints)}
            if len(by_url) > MOST_ENDPOINTS:
                raise TooManyEndpoints
            return replace(group, updated_ms=now_ms, endpoints=tuple(by_url.values()))

        self._change(owner, name, edit)

    def remove(
        self, owner: Owner, name: str, *, urls: Sequence[str], names: Sequence[str]
    ) -> None:
        """Takes endpoints out of a group; without any it is gone. Unknown ones count
        as taken out.

        Redis: put_group, atomic.

        Raises: NotFound (there is no such group), Conflict, UnreadableRecord,
            redis.RedisError.
        """
        now_ms = self._cell.now_ms()

        def edit(group: Group | None) -> Group | None:
            if group is None:
                raise NotFound
            left = tuple(
                each
                for each in group.endpoints
                if each.url not in urls and (not each.name or each.name not in names)
            )
            if left == group.endpoints:
                return group
            return replace(group, updated_ms=now_ms, endpoints=left) if left else None

        self._change(owner, name, edit)

    def set_defaults(self, owner: Owner, name: str, defaults: dict[str, Any]) -> None:
        """Replaces what publishing to a group goes by where nothing else is said.

        Redis: put_group, atomic.

        Raises: NotFound, Conflict, UnreadableRecord, redis.RedisError.
        """
        now_ms = self._cell.now_ms()

        def edit(group: Group | None) -> Group:
            if group is None:
                raise NotFound
            return replace(group, updated_ms=now_ms, defaults=defaults)

        self._change(owner, name, edit)

    def delete(self, owner: Owner, name: str) -> None:
        """Removes a group; what was published to it goes out all the same.

        Redis: one HDEL; of a group that is not there nothing is left to do.

        Raises: redis.RedisError.
        """
        key = keys.groups(self._cell.prefix, str(owner))
        self._cell.client.hdel(key, name)

    def _change(self, owner: Owner, name: str, edit: Edit) -> None:
        for _ in range(TRIES):
            was = self._record(owner, name)
            becomes = edit(read_group(name, was) if was else None)
            record = b"" if becomes is None else _written(becomes)
            options = {"owner": str(owner), "name": name, "most": self._limit(owner)}
            code = self._cell.call("put_group", options, [was, record])
            if code == LIMIT_REACHED:
                raise LimitReached(GROUP)
            if code == DONE:
                return
        raise Conflict

    def _record(self, owner: Owner, name: str) -> bytes:
        key = keys.groups(self._cell.prefix, str(owner))
        return cast(bytes | None, self._cell.client.hget(key, name)) or b""


def read_group(name: str, record: bytes) -> Group:
    """A group from its record.

    Raises: UnreadableRecord.
    """
    try:
        stored = orjson.loads(record)
        return Group(
            name=name,
            created_ms=int(stored["c"]),
            updated_ms=int(stored["u"]),
            endpoints=tuple(Endpoint(str(url), str(of)) for url, of in stored["e"]),
            defaults=dict(stored.get("d", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise UnreadableRecord(f"group {name}: {record[:80]!r}") from err


def _written(group: Group) -> bytes:
    stored = {
        "f": FORMAT,
        "c": group.created_ms,
        "u": group.updated_ms,
        "e": [[each.url, each.name] for each in group.endpoints],
    }
    return orjson.dumps(stored | ({"d": group.defaults} if group.defaults else {}))
