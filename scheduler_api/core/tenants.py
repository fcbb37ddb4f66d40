"""Accounts: their tokens, kept as hashes, and their signing keys, kept encrypted."""

import hashlib
import secrets
import string
from dataclasses import asdict, dataclass, field, fields
from redis import Redis
from scheduler_api.core import keys
from scheduler_api.core.errors import NotFound
from scheduler_api.core.sealing import Seal
from typing import cast

FORMAT = "1"
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


@dataclass(frozen=True, slots=True)
class NewTenant:
    """A tenant just made; its token is known here and never again."""

    id: str
    token: str = field(repr=False)
    signing: SigningKeys


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant as an operator sees it."""

    id: str
    name: str
    created_at_ms: int


class Tenants:
    """All tenants of one cell."""

    def __init__(self, client: Redis, prefix: str, *, secret_key: str) -> None:
        self._client = client
        self._prefix = prefix
        self._seal = Seal(secret_key)

    def create(self, name: str) -> NewTenant:
        """Make a tenant with a token and signing keys of its own.

        Redis: one MULTI; a repeat writes the same again, a crash before it wastes a
        number.
        """
        tenant_id = str(self._client.incr(keys.tenant_sequence(self._prefix)))
        new = NewTenant(tenant_id, _new_token(), _new_signing_keys())
        second, microsecond = self._client.time()
        record: Record = {
            "f": FORMAT,
            "name": name,
            "c": str(second * 1000 + microsecond // 1000),
            **self._sealed(tenant_id, new.signing),
        }
        with self._client.pipeline(transaction=True) as pipe:
            pipe.hset(keys.tenant(self._prefix, tenant_id), mapping=record)
            pipe.zadd(keys.tenants(self._prefix), {tenant_id: int(tenant_id)})
            pipe.hset(
                keys.token(self._prefix, _digest(new.token)),
                mapping={"f": FORMAT, "tn": tenant_id},
            )
            pipe.execute()
        return new

    def by_token(self, token: str) -> Tenant | None:
        """The tenant that `token` belongs to, if any; one round trip.

        Equal time for any token: what is looked up is its digest.
        """
        key = keys.token(self._prefix, _digest(token))
        tenant_id = self._client.hget(key, "tn")
        return None if tenant_id is None else Tenant(_text(tenant_id))

    def signing(self, tenant_id: str) -> SigningKeys:
        """The keys that this tenant's deliveries are signed with.

        Raises:
            NotFound: there is no such tenant.
            WrongSecretKey: they were stored under another SECRET_KEY.
        """
        names = [f.name for f in fields(SigningKeys)]
        sealed = self._client.hmget(keys.tenant(self._prefix, tenant_id), names)
        opened = {
            name: self._seal.open(_text(text), _context(tenant_id, name))
            for name, text in zip(names, sealed, strict=True)
            if text is not None
        }
        if len(opened) < len(names):
            raise NotFound(f"tenant {tenant_id}")
        return SigningKeys(**opened)

    def check_key(self) -> None:
        """Hold that this process's SECRET_KEY opens what the store keeps.

        Raises:
            WrongSecretKey: found before anything is signed or refused with it.
        """
        for tenant_id in self.all_ids()[-1:]:
            self.signing(tenant_id)

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

    def _sealed(self, tenant_id: str, signing: SigningKeys) -> Record:
        return {
            name: self._seal.close(text, _context(tenant_id, name))
            for name, text in asdict(signing).items()
        }


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
    )


def _new_qstash_key() -> str:
    return "sig_" + "".join(secrets.choice(_LETTERS) for _ in range(28))


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
