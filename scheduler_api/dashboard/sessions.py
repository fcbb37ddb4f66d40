"""Sessions: a signed cookie that stands for a token for up to twelve hours."""

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from flask import Request, Response
from itsdangerous import BadSignature, URLSafeSerializer
from scheduler_api.core.store.content_encryption import derive
from scheduler_api.core.tenants.sign_ins import SESSION_TTL_S, SignIns
from scheduler_api.core.tenants.tokens import Access, Tokens

COOKIE = "scheduler_session"


@dataclass(frozen=True)
class Session:
    """The contents of a cookie.

    Attributes:
        id: random; names the session when it is ended.
        token: the digest of the token.
        started_s: when somebody signed in, in epoch seconds.
        tenant: the tenant that an operator chose to see; None: all tenants.
    """

    id: str
    token: str
    started_s: int
    tenant: str | None = None


class Sessions:
    """Reads and writes the cookie.

    Each request reads the token again. So a revoked token ends its sessions at once.
    """

    def __init__(
        self,
        sign_ins: SignIns,
        tokens: Tokens,
        *,
        secret_keys: Sequence[str],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            secret_keys: the newest one last; it signs new cookies.
            clock: returns epoch seconds.
        """
        self._sign_ins = sign_ins
        self._tokens = tokens
        self._clock = clock
        self._serializer = URLSafeSerializer(
            [derive(key, b"scheduler_api dashboard 1") for key in secret_keys]
        )

    def find(self, request: Request) -> tuple[Session, Access] | None:
        """Return the session of a request, and what its token allows now.

        None without a valid session. Redis: two reads.
        """
        session = self._read(request.cookies.get(COOKIE, ""))
        if session is None:
            return None
        access = self._tokens.find_digest(session.token)
        if access is None or self._sign_ins.has_ended(session.id):
            return None
        return session, access

    def start(
        self,
        response: Response,
        token: str,
        *,
        secure: bool,
        tenant: str | None = None,
    ) -> None:
        """Set the cookie of a new session.

        Args:
            token: the digest of the token.
            secure: whether the browser may send the cookie through TLS only.
            tenant: as in `Session`.
        """
        started_s = int(self._clock())
        session = Session(secrets.token_urlsafe(12), token, started_s, tenant)
        self._write(response, session, secure=secure)

    def view_tenant(
        self, response: Response, session: Session, tenant: str | None, *, secure: bool
    ) -> None:
        """Let an operator see one tenant, or all."""
        self._write(response, replace(session, tenant=tenant), secure=secure)

    def end(self, response: Response, session: Session) -> None:
        """Delete the cookie, and end the session for those who have a copy."""
        self._sign_ins.end(session.id)
        response.delete_cookie(COOKIE)

    def _write(self, response: Response, session: Session, *, secure: bool) -> None:
        fields = [session.id, session.token, session.started_s, session.tenant]
        response.set_cookie(
            COOKIE,
            self._serializer.dumps(fields),
            max_age=self._left_s(session),
            secure=secure,
            httponly=True,
            samesite="Lax",
        )

    def _read(self, cookie: str) -> Session | None:
        try:
            session = Session(*self._serializer.loads(cookie))
        except BadSignature:
            return None
        return session if self._left_s(session) > 0 else None

    def _left_s(self, session: Session) -> int:
        return session.started_s + SESSION_TTL_S - int(self._clock())
