"""Sign-ins of people: addresses that sign in once, and sessions that were ended."""

import hashlib
import secrets
from scheduler_api.core.store import keys
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.token_forms import digest
from typing import cast

ADDRESS_TTL_S = 600
SESSION_TTL_S = 43_200


class SignIns:
    """The sign-ins of one cell. Each method makes one round trip."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell

    def create(self, token: str, tenant: str | None = None) -> str:
        """Return a secret that stands for a token, once and for ten minutes.

        Args:
            tenant: the tenant that an operator sees at first; None: all.
        """
        secret = secrets.token_urlsafe(24)
        key = keys.sign_in(self._cell.prefix, _hash(secret))
        value = f"{digest(token)} {tenant or ''}"
        self._cell.client.set(key, value, ex=ADDRESS_TTL_S)
        return secret

    def use(self, secret: str) -> tuple[str, str | None] | None:
        """Forget a secret; return the digest of its token, and the tenant to see.

        None if the secret is unknown, used or older than ten minutes.
        """
        key = keys.sign_in(self._cell.prefix, _hash(secret))
        found = cast(bytes | None, self._cell.client.getdel(key))
        if found is None:
            return None
        token, _, tenant = found.decode().partition(" ")
        return token, tenant or None

    def end(self, session: str) -> None:
        """Let no process accept a session any more; works in a full store, too."""
        key = keys.signed_out(self._cell.prefix, session)
        self._cell.write_small(("SET", key, "1", "EX", SESSION_TTL_S))

    def has_ended(self, session: str) -> bool:
        """Whether a session was ended."""
        return bool(
            self._cell.client.exists(keys.signed_out(self._cell.prefix, session))
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
