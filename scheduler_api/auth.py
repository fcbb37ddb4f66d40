"""Authentication: finds the tenant of a token."""

import hashlib
import time
from collections.abc import Callable
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.tenants.accounts import Tenant, Tenants

CACHED_S = 5.0
MAX_CACHED = 10_000


class Unauthorized(SchedulerError):
    """The request has no token or an unknown token."""


def bearer_token(authorization: str) -> str | None:
    """Return the bearer token of an `Authorization` header, or None."""
    scheme, blank, token = authorization.partition(" ")
    return token.strip() if blank and scheme.lower() == "bearer" else None


class Auth:
    """Finds the tenants of tokens; caches the tenants of valid tokens for `CACHED_S`.

    A deleted token works until the cache forgets it. Only SHA-256 digests of tokens are
    compared and cached. So the duration of a lookup reveals nothing about valid tokens.
    """

    def __init__(
        self, tenants: Tenants, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tenants = tenants
        self._clock = clock
        self._cached: dict[bytes, tuple[Tenant, float]] = {}

    def tenant(self, token: str | None) -> Tenant:
        """Return the tenant of a token. Redis: at most one read.

        Raises:
            Unauthorized: the token is missing or unknown.
        """
        if not token:
            raise Unauthorized
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now_s = self._clock()
        tenant, until_s = self._cached.get(digest, (None, 0.0))
        if tenant is not None and now_s < until_s:
            return tenant
        tenant = self._tenants.by_token(token)
        if tenant is None:
            self._cached.pop(digest, None)
            raise Unauthorized
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        self._cached[digest] = (tenant, now_s + CACHED_S)
        return tenant
