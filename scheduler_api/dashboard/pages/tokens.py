"""The page of API tokens: create, and revoke."""

from contextlib import suppress
from flask import Response, request, url_for
from scheduler_api.core.errors import Conflict, NotFound
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from scheduler_api.web.access import by

MAX_NAME = 100
NO_NAME = f"Give the token a name of 1 to {MAX_NAME} printable characters"
NAME_TAKEN = "There is a token with this name already"


class TokenPages:
    """Shows and changes the tokens of the tenant that a viewer sees.

    An operator who sees all tenants gets the tokens of the operators.
    """

    def __init__(self, services: Services) -> None:
        self._tokens = services.tenants.tokens

    def show(self, viewer: Viewer) -> Response:
        """List all tokens by name."""
        return self._page(viewer)

    def create(self, viewer: Viewer) -> Response:
        """Create a token, and show it once."""
        name = request.form.get("name", "").strip()
        if not 0 < len(name) <= MAX_NAME or not name.isprintable():
            return self._page(viewer, 400, problem=NO_NAME)
        read_only = "read_only" in request.form
        try:
            token = self._tokens.create(
                viewer.tenant, name, read_only=read_only, by=by()
            )
        except Conflict:
            return self._page(viewer, 409, problem=NAME_TAKEN)
        return self._page(viewer, 201, created=name, token=token)

    def revoke(self, viewer: Viewer) -> Response:
        """Revoke a token; its sessions end at once."""
        # Somebody else may have revoked it.
        with suppress(NotFound):
            self._tokens.revoke(viewer.tenant, request.form.get("name", ""), by=by())
        return to_page(url_for("dashboard.tokens"))

    def _page(
        self,
        viewer: Viewer,
        status: int = 200,
        *,
        problem: str = "",
        created: str = "",
        token: str = "",
    ) -> Response:
        return page(
            "tokens.html",
            status,
            tokens=self._tokens.all_of(viewer.tenant),
            problem=problem,
            created=created,
            token=token,
        )
