"""Accounts: their tokens, kept as hashes, and their signing keys, kept encrypted."""

import base64
import hashlib
import secrets
import string
from dataclasses import asdict, dataclass, field, fields, replace
from redis.client import Pipeline
from redis.exceptions import WatchError
from scheduler_api.core.delivery.signing import WEBHOOK_SECRET
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.core.ids import nonce
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.encryption import Cipher
from typing import cast

FORMAT = "1"
# How long a worker goes by its keys after it asked whether any were rotated. A rotation
# waits as long before it answers, so that afterwards nothing is signed with a key that
# the new pair lacks.
KEYS_KEPT_S = 1.0
Value = bytes | bytearray | memoryview | str | int | float
Record = dict[Value, Value]
_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who a request acts for."""

    id: str


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What receivers check signatures with; the field names are the stored ones."""

    jiter: str = field(repr=False)
    qstash_current: str = field(repr=False)
    qstash_next: str = field(repr=False)
    # As Standard Webhooks spells it: `whsec_` and base64.
    events_v1: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A tenant just made; its token is known here and never again."""

    id: str
    token: str = field(repr=False)
    signing: SigningKeys


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation made of the QStash keys.

    `whole` says whether `qstash_current` is another one than before. A pair that was
    handed out before `breaks_before_ms` no longer verifies; None: all do.
    """

    signing: SigningKeys
    whole: bool
    at_ms: int
    breaks_before_ms: int | None


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant as an operator sees it."""

    id: str
    name: str
    created_at_ms: int


class Tenants:
    """All tenants of one cell."""

    def __init__(self, cell: Cell, *, secret_key: str) -> None:
        self._cell = cell
        self._client = cell.client
        self._prefix = cell.prefix
        self._cipher = Cipher(secret_key)

    def create(self, name: str) -> NewTenant:
        """Make a tenant with a token and signing keys of its own.

        Redis: one MULTI; a repeat writes the same again, a crash before it wastes a
        number.
        """
        new = self._new()
        with self._client.pipeline(transaction=True) as pipe:
            self._write(pipe, new, name)
            pipe.execute()
        return new

    def register(self, application: str) -> NewTenant:
        """As `create`, for an application whose name nobody has registered before.

        Redis: WATCH and one MULTI, repeated while others register.

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
                    self._write(pipe, new, application)
                    pipe.execute()
                    return new
                except WatchError:
                    continue

    def _new(self) -> NewTenant:
        tenant_id = str(self._client.incr(keys.tenant_sequence(self._prefix)))
        return NewTenant(tenant_id, _new_token(), _new_signing_keys())

    def _write(self, pipe: Pipeline, new: NewTenant, name: str) -> None:
        record: Record = {
            "f": FORMAT,
            "name": name,
            "c": str(self._cell.now_ms()),
            **self._encrypt_all(new.id, new.signing),
        }
        pipe.hset(keys.tenant(self._prefix, new.id), mapping=record)
        pipe.zadd(keys.tenants(self._prefix), {new.id: int(new.id)})
        pipe.hset(
            keys.token(self._prefix, _digest(new.token)),
            mapping={"f": FORMAT, "tn": new.id},
        )

    def by_token(self, token: str) -> Tenant | None:
        """The tenant that `token` belongs to, if any; one round trip.

        Equal time for any token: what is looked up is its digest.
        """
        key = keys.token(self._prefix, _digest(token))
        tenant_id = self._client.hget(key, "tn")
        return None if tenant_id is None else Tenant(_text(tenant_id))

    def signing(self, tenant_id: str) -> SigningKeys:
        """The keys that this tenant's deliveries are signed with.

        A tenant from before there was one of them gets it now. Redis: one read.

        Raises:
            NotFound: there is no such tenant.
            WrongSecretKey: they were stored under another SECRET_KEY.
        """
        names = [f.name for f in fields(SigningKeys)]
        encrypted = self._client.hmget(keys.tenant(self._prefix, tenant_id), names)
        decrypted = {
            name: self._cipher.decrypt(_text(text), _context(tenant_id, name))
            for name, text in zip(names, encrypted, strict=True)
            if text is not None
        }
        missing = set(names) - set(decrypted)
        if missing == {"events_v1"}:
            [name] = missing
            late = self._encrypt(tenant_id, name, _new_webhook_secret())
            # Whoever comes second goes by the first one's.
            self._client.hsetnx(keys.tenant(self._prefix, tenant_id), name, late)
            return self.signing(tenant_id)
        if missing:
            raise NotFound(f"tenant {tenant_id}")
        return SigningKeys(**decrypted)

    def rotated(self) -> bytes | None:
        """What names the last rotation of any tenant's keys. Redis: one read."""
        return cast(bytes | None, self._client.get(keys.rotated(self._prefix)))

    def check_key(self) -> None:
        """Hold that this process's SECRET_KEY opens what the store keeps.

        Raises:
            WrongSecretKey: found before anything is signed or refused with it.
        """
        ids = self.all_ids()
        for tenant_id in {*ids[:1], *ids[-1:]}:
            self.signing(tenant_id)

    def rotate_qstash(
        self, tenant_id: str, *, grace_ms: int, force: bool = False
    ) -> Rotation:
        """Replace the QStash keys so that no pair in use stops working.

        Deliveries are signed with `qstash_current`. A rotation makes it what was
        `qstash_next`, so whoever has the old pair can verify, and the new pair too.
        Within `grace_ms` after a rotation another one replaces `qstash_next` only:
        a pair works for at least so long after it was replaced.

        Redis: WATCH and one MULTI; a repeat is a rotation within the grace.

        Args:
            force: rotate both even so; pairs from before the last rotation break.

        Raises:
            NotFound: there is no such tenant.
            WrongSecretKey: the keys were stored under another SECRET_KEY.
        """
        key = keys.tenant(self._prefix, tenant_id)
        with self._client.pipeline() as pipe:
            while True:
                try:
                    pipe.watch(key)  # type: ignore[no-untyped-call]
                    rotation = self._next_rotation(
                        tenant_id, pipe.hget(key, "qr"), grace_ms=grace_ms, force=force
                    )
                    record = self._encrypt_all(tenant_id, rotation.signing)
                    record["qr"] = str(rotation.at_ms)
                    pipe.multi()
                    pipe.hset(key, mapping=record)
                    pipe.set(keys.rotated(self._prefix), nonce())
                    pipe.execute()
                    return rotation
                except WatchError:
                    continue

    def _next_rotation(
        self, tenant_id: str, last: bytes | str | None, *, grace_ms: int, force: bool
    ) -> Rotation:
        now_ms, old = self._cell.now_ms(), self.signing(tenant_id)
        last_ms = None if last is None else int(last)
        whole = force or last_ms is None or now_ms - last_ms >= grace_ms
        new = replace(
            old,
            qstash_current=old.qstash_next if whole else old.qstash_current,
            qstash_next=_new_qstash_key(),
        )
        return Rotation(new, whole, now_ms, last_ms if whole else None)

    def all_ids(self) -> list[str]:
        """Every tenant's id, oldest first."""
        members = self._client.zrange(keys.tenants(self._prefix), 0, -1)
        return [_text(member) for member in cast(list[bytes | str], members)]

    def accounts(self) -> list[Account]:
        """Every tenant, oldest first."""
        ids = self.all_ids()
        with self._client.pipeline(transaction=False) as pipe:
            for tenant_id in ids:
                pipe.hmget(keys.tenant(self._prefix, tenant_id), ["name", "c"])
            records = pipe.execute()
        return [
            Account(tenant_id, _text(name), int(created_at_ms))
            for tenant_id, (name, created_at_ms) in zip(ids, records, strict=True)
        ]

    def _encrypt_all(self, tenant_id: str, signing: SigningKeys) -> Record:
        return {
            name: self._encrypt(tenant_id, name, text)
            for name, text in asdict(signing).items()
        }

    def _encrypt(self, tenant_id: str, name: str, text: str) -> str:
        return self._cipher.encrypt(text, _context(tenant_id, name))


def _context(tenant_id: str, name: str) -> str:
    return f"tenant {tenant_id} {name}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _new_token() -> str:
    return f"sched_{secrets.token_urlsafe(32)}"


def _new_signing_keys() -> SigningKeys:
    return SigningKeys(
        jiter=secrets.token_urlsafe(32),
        qstash_current=_new_qstash_key(),
        qstash_next=_new_qstash_key(),
        events_v1=_new_webhook_secret(),
    )


def _new_webhook_secret() -> str:
    return WEBHOOK_SECRET + base64.b64encode(secrets.token_bytes(32)).decode()


def _new_qstash_key() -> str:
    return "sig_" + "".join(secrets.choice(_LETTERS) for _ in range(28))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
