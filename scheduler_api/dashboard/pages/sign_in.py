"""Signing in and out, and which tenant an operator sees."""

from flask import Response, request, url_for
from scheduler_api.auth import Unauthorized
from scheduler_api.core.tenants.sign_ins import SignIns
from scheduler_api.core.tenants.token_forms import digest
from scheduler_api.dashboard.browser_security import is_secure
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.return_address import return_to_form
from scheduler_api.dashboard.sessions import Sessions
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from scheduler_api.web.access import count_failed_login

UNKNOWN_TOKEN = "This token is not valid"
USED_ADDRESS = "This address was used, or is older than ten minutes"
OPERATORS_ONLY = "Only an operator can choose a tenant"


class SignIn:
    """Exchanges tokens for sessions."""

    def __init__(
        self, services: Services, sessions: Sessions, sign_ins: SignIns
    ) -> None:
        self._services = services
        self._sign_ins = sign_ins
        self._sessions = sessions

    def form(self) -> Response:
        """Ask for a token."""
        return page("sign_in.html", problem="", to=_local(request.args.get("to")))

    def with_token(self) -> Response:
        """Start a session for a token.

        Raises: TooManyFailedLogins, StoreLost.
        """
        token, to = request.form.get("token", "").strip(), request.form.get("to")
        try:
            self._services.auth.access(token)
        except Unauthorized:
            if token:
                count_failed_login(self._services)
            return page("sign_in.html", 401, problem=UNKNOWN_TOKEN, to=_local(to))
        return self._start(digest(token), to)

    def with_address(self, secret: str) -> Response:
        """Start a session for an address that signs in once.

        Raises: TooManyFailedLogins, StoreLost.
        """
        found = self._sign_ins.use(secret)
        if found is None:
            count_failed_login(self._services)
            return page("sign_in.html", 401, problem=USED_ADDRESS, to="/")
        token, tenant = found
        return self._start(token, None, tenant=tenant)

    def sign_out(self, viewer: Viewer) -> Response:
        """End the session."""
        response = to_page(url_for("dashboard.sign_in"))
        self._sessions.end(response, viewer.session)
        return response

    def view_tenant(self, viewer: Viewer) -> Response:
        """Let an operator see one tenant, or all."""
        tenant = request.form.get("tenant", "")
        if not viewer.is_operator:
            return page("error.html", 403, name="Forbidden", message=OPERATORS_ONLY)
        exists = self._services.tenants.exists(tenant)
        response = return_to_form("/") if exists else to_page("/")
        self._sessions.view_tenant(
            response,
            viewer.session,
            tenant if exists else None,
            secure=is_secure(request),
        )
        return response

    def _start(
        self, token: str, to: str | None, *, tenant: str | None = None
    ) -> Response:
        response, secure = to_page(_local(to)), is_secure(request)
        self._sessions.start(response, token, secure=secure, tenant=tenant)
        return response


def _local(to: str | None) -> str:
    """Return a path of this server to go to after the sign-in."""
    if to is None or not to.startswith("/") or not to.isprintable():
        return "/"
    # Browsers read `//name` and `/\\name` as another host.
    return "/" if to[1:2] in ("/", "\\") else to
