"""The routes of the dashboard, and who may use them."""

from collections.abc import Callable
from flask import Blueprint, Response, g, has_request_context, request, url_for
from functools import partial
from scheduler_api.core.tenants.sign_ins import SignIns
from scheduler_api.dashboard import browser_security
from scheduler_api.dashboard.browser_security import is_from_own_page
from scheduler_api.dashboard.pages.events import EventPagesView
from scheduler_api.dashboard.pages.overview import Overview
from scheduler_api.dashboard.pages.sign_in import SignIn
from scheduler_api.dashboard.pages.tokens import TokenPages
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.sessions import Sessions
from scheduler_api.dashboard.viewer import viewer
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from werkzeug.http import HTTP_STATUS_CODES

__all__ = ["PREFIXES", "blueprint", "error", "internal_error"]

NAME = "dashboard"
# This module renders the errors of all requests at these paths and below.
PREFIXES: tuple[str, ...] = (
    *("/overview", "/sign-in", "/sign-out", "/view", "/search", "/events", "/settings"),
)
# The script of a page sends this header when it fetches the page again.
REFRESH_HEADER = "Dashboard-Refresh"
START = "/overview"
INTERNAL_ERROR = "Something went wrong on the server; its log has the details"
READ_ONLY = "This token is read-only: it changes nothing"
FROM_ELSEWHERE = "Forms of other web pages are refused; go back and reload the page"

View = Callable[..., Response]
# Method, path, endpoint and view.
Route = tuple[str, str, str, View]


def blueprint(services: Services) -> Blueprint:
    """Return all routes, with the static files."""
    routes = Blueprint(
        NAME,
        __name__,
        static_folder="static",
        static_url_path="/assets",
        template_folder="templates",
    )
    settings = services.settings
    sessions = Sessions(
        SignIns(services.cell),
        services.tenants.tokens,
        secret_keys=(*settings.older_secret_keys, settings.secret_key),
    )
    sign_in = SignIn(services, sessions)
    public: list[Route] = [
        ("GET", "/sign-in", "sign_in", sign_in.form),
        ("POST", "/sign-in", "sign_in_with_token", sign_in.with_token),
        ("GET", "/sign-in/<secret>", "sign_in_with_address", sign_in.with_address),
    ]
    dialects = [each.name for each in outbound.DIALECTS]
    overview, tokens = Overview(services, dialects), TokenPages(services)
    events = EventPagesView(services, dialects)
    table: list[Route] = [
        ("POST", "/sign-out", "sign_out", sign_in.sign_out),
        ("POST", "/view", "view_tenant", sign_in.view_tenant),
        ("GET", "/overview", "overview", overview.show),
        ("GET", "/search", "search", events.search),
        ("GET", "/events", "events", events.list),
        ("GET", "/events/<event_id>", "event", events.show),
        ("POST", "/events/<event_id>/cancel", "cancel_event", events.cancel),
        ("GET", "/settings/tokens", "tokens", tokens.show),
        ("POST", "/settings/tokens", "create_token", tokens.create),
        ("POST", "/settings/tokens/revoke", "revoke_token", tokens.revoke),
    ]
    routes.add_url_rule("/", "start", lambda: to_page(url_for("dashboard.overview")))
    for method, path, endpoint, view in public:
        _add(routes, method, path, endpoint, partial(_checked, services, view))
    for method, path, endpoint, view in table:
        signed_in = partial(_signed_in, services, sessions, endpoint, view)
        _add(routes, method, path, endpoint, partial(_checked, services, signed_in))
    routes.after_request(browser_security.protect)
    return routes


# What a read-only token may do beside reading.
HARMLESS = ("sign_out", "view_tenant")


def error(status: int, message: str) -> Response:
    """Return a page that says what went wrong.

    The server itself refuses malformed requests, for which there is no page.
    """
    if not has_request_context():
        return Response(f"{message}\n", status=status, mimetype="text/plain")
    name = HTTP_STATUS_CODES.get(status, "Error")
    response = page("error.html", status, name=name, message=message)
    return browser_security.protect(response)


def internal_error(_endpoint: str | None) -> str:
    """Return the message of an internal error."""
    return INTERNAL_ERROR


def _add(routes: Blueprint, method: str, path: str, endpoint: str, view: View) -> None:
    routes.add_url_rule(path, endpoint, view, methods=[method])


def _checked(services: Services, view: View, **in_path: str) -> Response:
    """Call a view, unless another web page sent a form."""
    hosts = services.settings.allowed_hosts
    if request.method != "GET" and not is_from_own_page(request, hosts):
        return error(403, FROM_ELSEWHERE)
    return view(**in_path)


def _signed_in(
    services: Services, sessions: Sessions, endpoint: str, view: View, **in_path: str
) -> Response:
    """Call a view for somebody who is signed in; others have to sign in first."""
    found = sessions.find(request)
    if found is None:
        services.watch.require_same_store()
        return _sign_in_first()
    session, access = found
    g.viewer, g.access = viewer(session, access), access
    if access.tenant is not None:
        services.limits.count_request(access.tenant)
    if request.method != "GET" and access.read_only and endpoint not in HARMLESS:
        return error(403, READ_ONLY)
    return view(g.viewer, **in_path)


def _sign_in_first() -> Response:
    if REFRESH_HEADER in request.headers:
        return error(401, "You are signed out")
    back = request.full_path.rstrip("?") if request.method == "GET" else START
    return to_page(url_for("dashboard.sign_in", to=back))
