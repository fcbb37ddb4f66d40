"""Manages accounts; stores their secrets encrypted."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from redis.client import Pipeline
from redis.exceptions import WatchError
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.ids import nonce
from scheduler_api.core.store import audit, keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants import removal
from scheduler_api.core.tenants.encryption import Cipher
from scheduler_api.core.tenants.secrets import (
    Replace,
    Rotation,
    Secrets,
    field_names,
    read_fields,
)
from scheduler_api.core.tenants.token_forms import new_token
from scheduler_api.core.tenants.tokens import FIRST, Access, Record, Tokens
from scheduler_api.core.timestamps import to_iso
from typing import cast

FORMAT = "1"
# The field with the time when the removal of a tenant began.
REMOVED = "removed"
# No request that was accepted before the removal lasts this long.
REMOVED_FOR_S = 86_400
# How long workers use cached secrets before they check for a rotation. So after a
# rotation, it takes at most this long until all workers sign with the new secrets.
SECRETS_CACHED_S = 1.0


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A new tenant with its token, of which only a hash is stored."""

    id: str
    token: str = field(repr=False)
    secrets: Secrets


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant as an operator sees it."""

    id: str
    name: str
    created_at_ms: int
    is_being_removed: bool = False


class Tenants:
    """All tenants of a cell, and their `tokens`.

    In methods that change a tenant, `by` is who does it, for the audit log; None: not a
    person.

    Args:
        secret_key: encrypts the secrets of tenants.
        older_keys: decrypt what they encrypted before.
        makers: for each secret of a tenant, a function that creates a new one.
    """

    def __init__(
        self,
        cell: Cell,
        *,
        secret_key: str,
        makers: Mapping[str, Callable[[], str]],
        older_keys: Iterable[str] = (),
    ) -> None:
        self._cell = cell
        self._makers = makers
        self.tokens = Tokens(cell)
        self._client = cell.client
        self._prefix = cell.prefix
        self._cipher = Cipher(secret_key, older_keys)

    def create(
        self, name: str, *, by: str | None = None, token: str | None = None
    ) -> NewTenant:
        """Create a tenant with a token and secrets.

        Atomic, one MULTI. A crash before the MULTI leaves the tenant's id unused.

        Args:
            token: the token; None: a random one.
        """
        new = self._new(token)
        with self._client.pipeline(transaction=True) as pipe:
            self._write(pipe, new, name, by)
            pipe.execute()
        return new

    def register(self, application: str, *, by: str | None = None) -> NewTenant:
        """Create a tenant for an application, whose name must not be taken.

        Atomic: WATCH and one MULTI, repeated if another tenant registers meanwhile.

        Raises:
            Conflict: the name is taken.
        """
        names, new = keys.applications(self._prefix), self._new()
        with self._client.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(names)  # type: ignore[no-untyped-call]
                    if pipe.hexists(names, application):
                        raise Conflict
                    pipe.multi()
                    pipe.hset(names, application, new.id)
                    self._write(pipe, new, application, by)
                    pipe.execute()
                    return new
                except WatchError:
                    continue

    def _new(self, token: str | None = None) -> NewTenant:
        tenant_id = str(self._client.incr(keys.tenant_sequence(self._prefix)))
        secrets = {name: make() for name, make in self._makers.items()}
        return NewTenant(tenant_id, token or new_token(), Secrets(secrets))

    def _write(self, pipe: Pipeline, new: NewTenant, name: str, by: str | None) -> None:
        record: Record = {
            "f": FORMAT,
            "name": name,
            "c": str(self._cell.now_ms()),
            **self._encrypted(new.id, new.secrets.by_name),
        }
        pipe.hset(keys.tenant(self._prefix, new.id), mapping=record)
        pipe.zadd(keys.tenants(self._prefix), {new.id: int(new.id)})
        self.tokens.write(pipe, new.token, Access(new.id, FIRST, read_only=False))
        change = audit.change(by, new.id, "tenant.create", new.id)
        audit.add(pipe, self._prefix, change, before=None, after={"name": name})

    def secrets(self, tenant_id: str) -> Secrets:
        """Return the secrets of a tenant. One round trip.

        If a dialect was added after the tenant was created, the tenant has no secrets
        for the dialect yet; this method creates them. Concurrent callers get the same
        secrets.

        Raises:
            NotFound: unknown tenant.
            WrongSecretKey: the secrets were encrypted with another SECRET_KEY.
        """
        key, names = keys.tenant(self._prefix, tenant_id), [*self._makers]
        wanted = field_names(names)
        record_format, *stored = self._client.hmget(key, ["f", *wanted])
        if record_format is None:
            raise NotFound(f"tenant {tenant_id}")
        existing = {
            name: self._cipher.decrypt(_text(text), _context(tenant_id, name))
            for name, text in zip(wanted, stored, strict=True)
            if text is not None
        }
        missing = [name for name in names if name not in existing]
        if not missing:
            return read_fields(existing, names)
        new = {name: self._makers[name]() for name in missing}
        for name, text in self._encrypted(tenant_id, new).items():
            self._client.hsetnx(key, str(name), text)
        return self.secrets(tenant_id)

    def rotation_times(
        self, tenant_id: str, dialects: Sequence[str]
    ) -> dict[str, int | None]:
        """Return when the secrets of each dialect were rotated last, in epoch ms.

        None: never since the tenant was created. Redis: one read.
        """
        names = [f"{dialect}.rotated" for dialect in dialects]
        found = self._client.hmget(keys.tenant(self._prefix, tenant_id), names)
        times = cast(list[bytes | None], found)
        return {
            dialect: None if at is None else int(at)
            for dialect, at in zip(dialects, times, strict=True)
        }

    def account(self, tenant_id: str) -> Account:
        """Return a tenant. Redis: one read.

        Raises: NotFound.
        """
        for found in self._accounts([tenant_id]):
            return found
        raise NotFound(f"tenant {tenant_id}")

    def rotated(self) -> bytes | None:
        """Return an id that changes when any tenant rotates secrets. One round trip."""
        return cast(bytes | None, self._client.get(keys.rotated(self._prefix)))

    def check_key(self) -> None:
        """Check that SECRET_KEY decrypts the secrets in the store.

        Raises:
            WrongSecretKey: SECRET_KEY does not decrypt them.
        """
        ids = self.all_ids()
        for tenant_id in {*ids[:1], *ids[-1:]}:
            self.secrets(tenant_id)

    def rotate(
        self,
        tenant_id: str,
        dialect: str,
        replace: Replace,
        *,
        old_until_ms: int = 0,
        by: str | None = None,
    ) -> Rotation:
        """Replace secrets of a tenant.

        Atomic: WATCH and one MULTI, repeated if the tenant changes meanwhile. Workers
        use the new secrets within `SECRETS_CACHED_S`.

        Args:
            dialect: the dialect whose secrets change; the time of the last rotation is
                stored for each dialect.
            replace: returns the new secrets; may be called several times.
            old_until_ms: the replaced secrets sign deliveries until this time, in epoch
                ms. Secrets replaced by earlier rotations end then at the latest.

        Raises:
            NotFound: unknown tenant.
            WrongSecretKey: the secrets were encrypted with another SECRET_KEY.
            RotationRefused: too many replaced secrets still sign.
        """
        key, last_field = keys.tenant(self._prefix, tenant_id), f"{dialect}.rotated"
        with self._client.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(key)  # type: ignore[no-untyped-call]
                    removal.watch(pipe, self._prefix, tenant_id)
                    last = cast(bytes | None, pipe.hget(key, last_field))
                    last_ms = None if last is None else int(last)
                    now_ms, old = self._cell.now_ms(), self.secrets(tenant_id)
                    changed = replace(old, last_ms, now_ms)
                    new = old.rotated(changed, now_ms=now_ms, until_ms=old_until_ms)
                    record = self._encrypted(tenant_id, new.fields(changed))
                    record[last_field] = str(now_ms)
                    pipe.multi()
                    pipe.hset(key, mapping=record)
                    pipe.set(keys.rotated(self._prefix), nonce())
                    audit.add(
                        *(pipe, self._prefix),
                        audit.change(by, tenant_id, "keys.rotate", dialect),
                        before={
                            "rotated": None if last_ms is None else to_iso(last_ms)
                        },
                        after={"rotated": to_iso(now_ms)},
                    )
                    pipe.execute()
                    return Rotation(new, now_ms, last_ms)
                except WatchError:
                    continue

    def encrypt_again(self, tenant_id: str) -> int:
        """Encrypt secrets of a tenant that have an older key; return how many fields.

        Atomic: WATCH and one MULTI.

        Raises: WrongSecretKey, NotFound (the tenant is removed).
        """
        key, names = keys.tenant(self._prefix, tenant_id), field_names([*self._makers])
        changed: Record = {}

        def write(pipe: Pipeline) -> None:
            removal.watch(pipe, self._prefix, tenant_id)
            changed.clear()
            for name, value in zip(names, pipe.hmget(key, names), strict=True):
                if value and not self._cipher.has_encrypted(text := _text(value)):
                    secret = self._cipher.decrypt(text, _context(tenant_id, name))
                    changed.update(self._encrypted(tenant_id, {name: secret}))
            pipe.multi()
            if changed:
                pipe.hset(key, mapping=changed)

        self._client.transaction(write, key)
        return len(changed)

    def all_ids(self) -> list[str]:
        """Return the ids of all tenants, oldest first."""
        members = self._client.zrange(keys.tenants(self._prefix), 0, -1)
        return [_text(member) for member in cast(list[bytes | str], members)]

    def exists(self, tenant_id: str) -> bool:
        """Whether there is a tenant with this id that is not being removed."""
        key = keys.tenant(self._prefix, tenant_id)
        record_format, removed = self._client.hmget(key, ["f", REMOVED])
        return record_format is not None and removed is None

    def begin_removal(self, tenant_id: str, *, by: str) -> int:
        """Delete the tokens of a tenant, and mark it as being removed.

        From then on, nothing new is stored for it. Works in a full store, too. Atomic:
        WATCH and one MULTI.

        Returns when the removal began, in epoch ms: a removal that was interrupted
        continues. Its record is in the operator's audit log, because the log of the
        tenant is removed too.
        """
        key, now_ms = keys.tenant(self._prefix, tenant_id), self._cell.now_ms()
        tokens = keys.tokens(self._prefix, tenant_id)
        self.tokens.index_older(tenant_id)
        self._cell.load_functions()

        def begin(pipe: Pipeline) -> None:
            began = cast(bytes | None, pipe.hget(key, REMOVED))
            pipe.multi()
            removed = ("SET", keys.removed(self._prefix, tenant_id), 1)
            self._cell.add_small_writes(pipe, removed)
            self.tokens.revoke_all(pipe, tenant_id)
            if began is None:
                change = audit.change(by, None, "tenant.remove", tenant_id)
                self._cell.add_small_writes(
                    pipe,
                    ("HSET", key, REMOVED, now_ms),
                    *audit.commands(
                        self._prefix, change, before={"exists": True}, after=None
                    ),
                )

        self._client.transaction(begin, key, tokens)
        return int(cast(bytes, self._client.hget(key, REMOVED)))

    def stored_owners(self, tenant_id: str) -> list[str]:
        """Return those owners of a tenant for which something may be stored.

        Owners are listed until the end of a removal.
        """
        found = cast(set[bytes], self._client.smembers(keys.owners(self._prefix)))
        owners = sorted(owner.decode() for owner in found)
        return [owner for owner in owners if owner.partition(":")[0] == tenant_id]

    def end_removal(self, tenant_id: str) -> None:
        """Delete the record of a tenant, after everything else of it."""
        names = keys.applications(self._prefix)
        found = self._client.hscan_iter(names)
        own = [name for name, each in found if each == tenant_id.encode()]
        owners = self.stored_owners(tenant_id)
        with self._client.pipeline(transaction=True) as pipe:
            if own:
                pipe.hdel(names, *own)
            if owners:
                pipe.srem(keys.owners(self._prefix), *owners)
            pipe.zrem(keys.tenants(self._prefix), tenant_id)
            pipe.delete(keys.tenant(self._prefix, tenant_id))
            pipe.expire(keys.removed(self._prefix, tenant_id), REMOVED_FOR_S)
            pipe.execute()
        self._cell.write_small(("SET", keys.rotated(self._prefix), nonce()))

    def accounts(self) -> list[Account]:
        """Return all tenants, oldest first."""
        return self._accounts(self.all_ids())

    def accounts_after(self, number: int, *, count: int) -> list[Account]:
        """Return the next tenants after one with a number. Redis: two round trips."""
        key = keys.tenants(self._prefix)
        found = self._client.zrangebyscore(key, f"({number}", "+inf", 0, count)
        return self._accounts([_text(each) for each in cast(list[bytes], found)])

    def _accounts(self, ids: Sequence[str]) -> list[Account]:
        with self._client.pipeline(transaction=False) as pipe:
            for tenant_id in ids:
                pipe.hmget(keys.tenant(self._prefix, tenant_id), ["name", "c", REMOVED])
            records = pipe.execute()
        return [
            Account(tenant_id, _text(name), int(created_ms), removed is not None)
            for tenant_id, (name, created_ms, removed) in zip(ids, records, strict=True)
            if name is not None
        ]

    def _encrypted(self, tenant_id: str, by_name: Mapping[str, str]) -> Record:
        return {
            name: self._cipher.encrypt(text, _context(tenant_id, name))
            for name, text in by_name.items()
        }


def _context(tenant_id: str, name: str) -> str:
    return f"tenant {tenant_id} {name}"


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
