"""API tokens: creates, finds, lists, rotates and revokes them.

A token belongs to a tenant or to the operator, and has a name. Only a hash of a token
is stored, and tokens are found by their hash, so response times do not reveal parts of
stored tokens.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from redis.client import Pipeline
from redis.exceptions import WatchError
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.owned_keys import holder_of
from scheduler_api.core.tenants import removal
from scheduler_api.core.tenants.token_forms import digest, new_token
from scheduler_api.core.timestamps import to_iso
from typing import cast

FORMAT = "1"
# The name of a tenant's first token. Tokens of earlier versions have no name.
FIRST = "first"
# How long a token stays valid after it was rotated.
GRACE_MS = 86_400_000
# For how long a web process remembers a valid token. So a revoked token is accepted for
# at most this long.
CACHED_S = 5.0
SCAN_COUNT = 1_000
# The fields of a token's record that `_access` reads.
FIELDS = ("tn", "ro", "op", "name", "c")
FULL = b"full"
Value = bytes | bytearray | memoryview | str | int | float
Record = dict[Value, Value]
# The values of `FIELDS`.
Values = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Access:
    """What a token allows.

    Attributes:
        tenant: the id of the tenant; None for an operator's token.
        token: the name of the token.
    """

    tenant: str | None
    token: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as an operator sees it. `ends_ms` is set after a rotation."""

    digest: str
    access: Access
    created_ms: int | None
    ends_ms: int | None


# Adds commands to a pipeline, according to the tokens that exist.
Change = Callable[[Pipeline, Sequence[StoredToken]], None]


class Tokens:
    """The tokens of one cell.

    In all methods, `tenant` is the id of the tenant, or None for operator's tokens, and
    `by` is who makes the change, for the audit log; None: not a person.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._prefix = cell.prefix

    def find(self, token: str) -> Access | None:
        """Return what a token allows, None for an unknown token. One round trip."""
        return self.find_digest(digest(token))

    def find_digest(self, hashed: str) -> Access | None:
        """Return what the token with a digest allows, None if there is none."""
        return _access(self._read_record(keys.token(self._prefix, hashed)))

    def create(
        self,
        tenant: str | None,
        name: str,
        *,
        read_only: bool = False,
        by: str | None = None,
    ) -> str:
        """Create a token and return it. Atomic: WATCH and one MULTI.

        Raises: Conflict (a token has this name), NotFound (the tenant is removed).
        """
        token, access = new_token(), Access(tenant, name, read_only)

        def change(pipe: Pipeline, existing: Sequence[StoredToken]) -> None:
            if any(each.access.token == name for each in existing):
                raise Conflict(name)
            self.write(pipe, token, access)
            created = audit.change(by, tenant, "token.create", name)
            after = {"read_only": read_only}
            audit.add(pipe, self._prefix, created, before=None, after=after)

        self._change(tenant, change)
        return token

    def rotate(
        self,
        tenant: str | None,
        name: str,
        *,
        grace_ms: int = GRACE_MS,
        by: str | None = None,
    ) -> str:
        """Replace a token by a new one; the old one stays valid for `grace_ms`.

        If `grace_ms` is 0, tokens replaced by earlier rotations end at once too.
        Atomic: WATCH and one MULTI.

        Raises: NotFound (no token has this name).
        """
        token, now_ms = new_token(), self._cell.now_ms()

        def change(pipe: Pipeline, existing: Sequence[StoredToken]) -> None:
            named = _named(existing, name)
            old = [each for each in named if each.ends_ms is None]
            if not old:
                raise NotFound(name)
            for each in old if grace_ms else named:
                pipe.pexpire(keys.token(self._prefix, each.digest), grace_ms)
            self.write(pipe, token, old[0].access)
            rotated = audit.change(by, tenant, "token.rotate", name)
            after = {"old_until": to_iso(now_ms + grace_ms)}
            before = {"old_until": None}
            audit.add(pipe, self._prefix, rotated, before=before, after=after)

        self._change(tenant, change)
        return token

    def revoke(self, tenant: str | None, name: str, *, by: str | None = None) -> None:
        """Delete a token, and those that it has replaced in a rotation.

        Processes that have cached a token accept it a few seconds longer. Works in a
        full store, too. Atomic: WATCH and one MULTI.

        Raises: NotFound (no token has this name).
        """

        def change(pipe: Pipeline, existing: Sequence[StoredToken]) -> None:
            revoked = _named(existing, name)
            if not revoked:
                raise NotFound(name)
            digests = [each.digest for each in revoked]
            pipe.delete(*(keys.token(self._prefix, each) for each in digests))
            pipe.zrem(keys.tokens(self._prefix, holder_of(tenant)), *digests)
            record = audit.change(by, tenant, "token.revoke", name)
            before = {"read_only": revoked[0].access.read_only}
            self._cell.add_small_writes(
                pipe, *audit.commands(self._prefix, record, before=before, after=None)
            )

        self._cell.load_functions()
        self._change(tenant, change)

    def revoke_all(self, pipe: Pipeline, tenant: str) -> None:
        """Add the commands that delete all tokens of a tenant to a pipeline."""
        digests = self._read(tenant)
        for each in digests:
            pipe.delete(keys.token(self._prefix, each))
        pipe.delete(keys.tokens(self._prefix, tenant))

    def all_of(self, tenant: str | None) -> list[StoredToken]:
        """Return the valid tokens, oldest first. Redis: several reads, not atomic."""
        self.index_older(tenant)
        found = [each for each in self._read(tenant).values() if each is not None]
        return sorted(found, key=lambda each: (each.created_ms or 0, not each.ends_ms))

    def write(self, pipe: Pipeline, token: str, access: Access) -> None:
        """Add the commands that store a new token to a pipeline."""
        now_ms, hashed = self._cell.now_ms(), digest(token)
        kind = {"op": "read" if access.read_only else "full"}
        if access.tenant is not None:
            kind = {"ro" if access.read_only else "tn": access.tenant}
        record = {"f": FORMAT, "name": access.token, "c": str(now_ms), **kind}
        pipe.hset(keys.token(self._prefix, hashed), mapping=cast(Record, record))
        pipe.zadd(keys.tokens(self._prefix, holder_of(access.tenant)), {hashed: now_ms})

    def _change(self, tenant: str | None, change: Change) -> None:
        """Call `change` with the valid tokens, repeatedly if they change meanwhile."""
        self.index_older(tenant)
        index = keys.tokens(self._prefix, holder_of(tenant))
        with self._cell.client.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(index)  # type: ignore[no-untyped-call]
                    removal.watch(pipe, self._prefix, tenant)
                    found = self._read(tenant)
                    expired = [each for each, token in found.items() if token is None]
                    pipe.multi()
                    change(pipe, [token for token in found.values() if token])
                    if expired:
                        pipe.zrem(index, *expired)
                    pipe.execute()
                    return
                except WatchError:
                    continue

    def _read(self, tenant: str | None) -> dict[str, StoredToken | None]:
        """Return tokens by digest, oldest first; None for a token that has expired."""
        index = keys.tokens(self._prefix, holder_of(tenant))
        members = cast(list[bytes], self._cell.client.zrange(index, 0, -1))
        digests = [member.decode() for member in members]
        with self._cell.client.pipeline(transaction=False) as pipe:
            for each in digests:
                pipe.hmget(keys.token(self._prefix, each), FIELDS)
                pipe.pexpiretime(keys.token(self._prefix, each))
            replies = pipe.execute()
        found = zip(digests, replies[::2], replies[1::2], strict=True)
        return {each: _stored(each, *reply) for each, *reply in found}

    def _read_record(self, key: str) -> Values:
        return cast(Values, self._cell.client.hmget(key, FIELDS))

    def index_older(self, tenant: str | None) -> None:
        """Index the token of a tenant that an earlier version has created.

        Earlier versions store one token per tenant, and no index. Redis: a scan of all
        keys if the tenant has no index.
        """
        if tenant is None or self._cell.client.exists(
            index := keys.tokens(self._prefix, tenant)
        ):
            return
        start = keys.token(self._prefix, "")
        scanned = self._cell.client.scan_iter(match=f"{start}*", count=SCAN_COUNT)
        for key in (name.decode() for name in scanned):
            found = _access(self._read_record(key))
            if found is not None and found.tenant == tenant:
                self._cell.client.zadd(index, {key.removeprefix(start): 0})


def _access(values: Values) -> Access | None:
    tenant, read_only_tenant, operator, name, _ = values
    token = FIRST if name is None else name.decode()
    if tenant is not None:
        return Access(tenant.decode(), token, read_only=False)
    if read_only_tenant is not None:
        return Access(read_only_tenant.decode(), token, read_only=True)
    if operator is not None:
        return Access(None, token, read_only=operator != FULL)
    return None


def _stored(digest: str, values: Values, ends_ms: int) -> StoredToken | None:
    access, created_ms = _access(values), values[-1]
    if access is None:
        return None
    created = None if created_ms is None else int(created_ms)
    return StoredToken(digest, access, created, ends_ms if ends_ms > 0 else None)


def _named(tokens: Sequence[StoredToken], name: str) -> list[StoredToken]:
    return [each for each in tokens if each.access.token == name]
