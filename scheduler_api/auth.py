"""Authentication: finds out what a token allows."""

import hashlib
import time
from collections.abc import Callable
from scheduler_api.core.errors import SchedulerError
from scheduler_api.core.tenants.tokens import CACHED_S, Access, Tokens

MAX_CACHED = 10_000


class Unauthorized(SchedulerError):
    """The request has no token or an unknown token."""


class Forbidden(SchedulerError):
    """The token is valid, but does not allow the request. The message says why."""


def bearer_token(authorization: str) -> str | None:
    """Return the bearer token of an `Authorization` header, or None."""
    scheme, blank, token = authorization.partition(" ")
    return token.strip() if blank and scheme.lower() == "bearer" else None


class Auth:
    """Finds out what tokens allow; caches valid tokens for `CACHED_S`.

    A revoked token works until the cache forgets it. Only SHA-256 digests of tokens are
    compared and cached. So the duration of a lookup reveals nothing about valid tokens.
    """

    def __init__(
        self, tokens: Tokens, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tokens = tokens
        self._clock = clock
        self._cached: dict[bytes, tuple[Access, float]] = {}

    def access(self, token: str | None) -> Access:
        """Return what a token allows. Redis: at most one read.

        Raises:
            Unauthorized: the token is missing or unknown.
        """
        if not token:
            raise Unauthorized
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        now_s = self._clock()
        access, until_s = self._cached.get(digest, (None, 0.0))
        if access is not None and now_s < until_s:
            return access
        access = self._tokens.find(token)
        if access is None:
            self._cached.pop(digest, None)
            raise Unauthorized
        if len(self._cached) >= MAX_CACHED:
            self._cached.clear()
        self._cached[digest] = (access, now_s + CACHED_S)
        return access
