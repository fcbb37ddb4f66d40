"""From a token to the tenant it belongs to."""

import hashlib
import time
from collections.abc import Callable
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.tenants.accounts import Tenant, Tenants

REMEMBERED_S = 5.0
MOST_REMEMBERED = 10_000


class Unauthorized(SchedulerError):
    """The request names no token, or one that belongs to nobody."""


def bearer_token(authorization: str) -> str | None:
    """The token in an `Authorization` header, None for any other scheme."""
    scheme, blank, token = authorization.partition(" ")
    return token.strip() if blank and scheme.lower() == "bearer" else None


class Auth:
    """Looks tokens up; good answers are remembered for a few seconds.

    Tokens are compared and remembered by their SHA-256 only, so what a lookup does and
    how long it takes says nothing about any token. A revoked one goes on working for
    `REMEMBERED_S`.
    """

    def __init__(
        self, tenants: Tenants, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tenants = tenants
        self._clock = clock
        self._remembered: dict[bytes, tuple[Tenant, float]] = {}

    def tenant(self, token: str | None) -> Tenant:
        """Whom a request with this token acts for. Redis: one read, at most.

        Raises: Unauthorized, redis.RedisError.
        """
        if not token:
            raise Unauthorized
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now_s = self._clock()
        tenant, until_s = self._remembered.get(digest, (None, 0.0))
        if tenant is not None and now_s < until_s:
            return tenant
        tenant = self._tenants.by_token(token)
        if tenant is None:
            self._remembered.pop(digest, None)
            raise Unauthorized
        if len(self._remembered) >= MOST_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = (tenant, now_s + REMEMBERED_S)
        return tenant
