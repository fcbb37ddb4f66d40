"""The routes of the dashboard, and who may use them."""

from collections.abc import Sequence
from flask import Blueprint, Response, g, has_request_context, request, url_for
from functools import partial
from scheduler_api.core.errors import NotFound
from scheduler_api.core.tenants.sign_ins import SignIns
from scheduler_api.core.tenants.tokens import Access
from scheduler_api.dashboard import browser_security
from scheduler_api.dashboard.browser_security import is_from_own_page
from scheduler_api.dashboard.pages.create import CreatePages
from scheduler_api.dashboard.pages.dead_letters import DeadLetterPages
from scheduler_api.dashboard.pages.destinations import DestinationPages
from scheduler_api.dashboard.pages.event_changes import EventChanges
from scheduler_api.dashboard.pages.events import EventPagesView
from scheduler_api.dashboard.pages.flow_keys import FlowKeyPages
from scheduler_api.dashboard.pages.letter_jobs import LetterJobPages
from scheduler_api.dashboard.pages.overview import Overview
from scheduler_api.dashboard.pages.queues import QueuePages
from scheduler_api.dashboard.pages.reference import ReferencePages
from scheduler_api.dashboard.pages.schedule_changes import ScheduleChanges
from scheduler_api.dashboard.pages.schedules import SchedulePagesView
from scheduler_api.dashboard.pages.search import Search
from scheduler_api.dashboard.pages.sign_in import SignIn
from scheduler_api.dashboard.pages.signing_keys import SigningKeyPages
from scheduler_api.dashboard.pages.tenants import TenantPages
from scheduler_api.dashboard.pages.tokens import TokenPages
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.sessions import Session, Sessions
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import inbound, outbound
from scheduler_api.services import Services
from scheduler_api.web.access import READS
from scheduler_api.web.routes import Route, View, add_routes
from werkzeug.http import HTTP_STATUS_CODES

__all__ = ["PREFIXES", "blueprint", "error", "internal_error"]

NAME = "dashboard"
# This module renders the errors of all requests at these paths and below.
PREFIXES: tuple[str, ...] = (
    *("/overview", "/sign-in", "/sign-out", "/view", "/search", "/events", "/settings"),
    *("/queues", "/destinations", "/docs"),
    *("/dead-letters", "/schedules", "/create"),
)
# The script of a page sends this header when it fetches the page again.
REFRESH_HEADER = "Dashboard-Refresh"
START = "/overview"
INTERNAL_ERROR = "Something went wrong on the server; its log has the details"
NO_PAGE = "Nothing is here: it was deleted, or the address is wrong"
READ_ONLY = "This token is read-only: it changes nothing"
FROM_ELSEWHERE = "Forms of other web pages are refused; go back and reload the page"

# What a read-only token may do beside reading.
HARMLESS = ("dashboard.sign_out", "dashboard.view_tenant")
# Pages that ask before a change.
ASKING = (
    *("dashboard.event_form", "dashboard.schedule_form", "dashboard.ask_to_delete"),
    *("dashboard.create_form", "dashboard.create_preview"),
)


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
    sign_ins = SignIns(services.cell)
    sessions = Sessions(
        sign_ins,
        services.tenants.tokens,
        secret_keys=(*settings.older_secret_keys, settings.secret_key),
    )
    sign_in = SignIn(services, sessions, sign_ins)
    reference = ReferencePages(each.DOCUMENT for each in inbound.DIALECTS)
    public: list[Route] = [
        ("GET", "/sign-in", "sign_in", sign_in.form),
        ("POST", "/sign-in", "sign_in_with_token", sign_in.with_token),
        ("GET", "/sign-in/<secret>", "sign_in_with_address", sign_in.with_address),
        ("GET", "/docs", "reference", reference.list),
        ("GET", "/docs/<name>", "reference_document", reference.show),
    ]
    dialects = [each.name for each in outbound.DIALECTS]
    overview, tokens = Overview(services, dialects), TokenPages(services)
    events = EventPagesView(services, dialects)
    queues, flow_keys = QueuePages(services, dialects), FlowKeyPages(services, dialects)
    destinations = DestinationPages(services)
    letters = DeadLetterPages(services, dialects)
    composer = inbound.COMPOSER(services)
    creation = CreatePages(services, composer)
    schedules = SchedulePagesView(services, dialects)
    changes = ScheduleChanges(services, composer)
    a_schedule = "/schedules/<schedule_id>"
    event_changes, an_event = EventChanges(services), "/events/<event_id>"
    signing_keys, tenants = SigningKeyPages(services), TenantPages(services)
    letter_jobs = LetterJobPages(services, dialects)
    table: list[Route] = [
        ("POST", "/sign-out", "sign_out", sign_in.sign_out),
        ("POST", "/view", "view_tenant", sign_in.view_tenant),
        ("GET", "/overview", "overview", overview.show),
        ("GET", "/search", "search", Search(services, dialects).find),
        ("GET", "/events", "events", events.list),
        ("GET", an_event, "event", events.show),
        ("POST", f"{an_event}/cancel", "cancel_event", event_changes.cancel),
        ("POST", f"{an_event}/send", "send_event", event_changes.send_now),
        ("POST", f"{an_event}/replay", "replay_event", event_changes.send_again),
        ("GET", f"{an_event}/edit", "event_form", event_changes.form),
        ("POST", f"{an_event}/edit", "edit_event", event_changes.edit),
        ("GET", "/queues", "queues", queues.list),
        ("GET", "/queues/queue", "queue", queues.show),
        ("POST", "/queues/pause", "pause_queue", queues.pause),
        ("POST", "/queues/resume", "resume_queue", queues.resume),
        ("POST", "/queues/limit", "limit_queue", queues.set_parallelism),
        ("GET", "/queues/flow-control", "flow_keys", flow_keys.list),
        ("GET", "/queues/flow-control/key", "flow_key", flow_keys.show),
        ("POST", "/queues/flow-control/pause", "pause_flow_key", flow_keys.pause),
        ("POST", "/queues/flow-control/resume", "resume_flow_key", flow_keys.resume),
        ("POST", "/queues/flow-control/limits", "limit_flow_key", flow_keys.set_limits),
        ("POST", "/queues/flow-control/reset", "reset_rate", flow_keys.reset_rate),
        ("GET", "/destinations", "destinations", destinations.list),
        ("POST", "/destinations/pause", "pause_destination", destinations.pause),
        ("POST", "/destinations/resume", "resume_destination", destinations.resume),
        ("GET", "/dead-letters", "dead_letters", letters.all),
        ("POST", "/dead-letters", "act_on_dead_letters", letters.act),
        ("GET", "/create", "create_form", creation.form),
        ("POST", "/create", "create", creation.create),
        ("GET", "/create/preview", "create_preview", creation.preview),
        ("GET", "/schedules", "schedules", schedules.list),
        ("GET", a_schedule, "schedule", schedules.show),
        ("POST", f"{a_schedule}/run", "run_schedule", changes.run),
        ("POST", f"{a_schedule}/pause", "pause_schedule", changes.pause),
        ("POST", f"{a_schedule}/resume", "resume_schedule", changes.resume),
        ("GET", f"{a_schedule}/edit", "schedule_form", changes.form),
        ("POST", f"{a_schedule}/edit", "edit_schedule", changes.edit),
        ("GET", f"{a_schedule}/delete", "ask_to_delete", changes.ask_to_delete),
        ("POST", f"{a_schedule}/delete", "delete_schedule", changes.delete),
        ("GET", "/dead-letters/matching", "new_letter_job", letter_jobs.ask),
        ("GET", "/dead-letters/jobs", "letter_jobs", letter_jobs.all),
        ("POST", "/dead-letters/jobs", "create_letter_job", letter_jobs.create),
        ("GET", "/dead-letters/jobs/<job_id>", "letter_job", letter_jobs.show),
        (
            "POST",
            "/dead-letters/jobs/<job_id>/stop",
            "stop_letter_job",
            letter_jobs.stop,
        ),
        (
            *("POST", "/dead-letters/jobs/<job_id>/resume"),
            *("resume_letter_job", letter_jobs.resume),
        ),
        ("GET", "/settings/tokens", "tokens", tokens.show),
        ("POST", "/settings/tokens", "create_token", tokens.create),
        ("POST", "/settings/tokens/revoke", "revoke_token", tokens.revoke),
        ("GET", "/settings/keys", "signing_keys", signing_keys.show),
        ("POST", "/settings/keys/values", "reveal_keys", signing_keys.reveal),
        ("POST", "/settings/keys/rotate", "rotate_keys", signing_keys.rotate),
        ("GET", "/settings/tenants", "tenants", tenants.show),
        ("POST", "/settings/tenants", "create_tenant", tenants.create),
        ("GET", "/settings/tenants/remove", "confirm_removal", tenants.confirm),
        ("POST", "/settings/tenants/remove", "remove_tenant", tenants.remove),
    ]
    routes.add_url_rule("/", "start", lambda: to_page(url_for("dashboard.overview")))
    add_routes(routes, public, wrapper=_unchanged)
    add_routes(routes, table, wrapper=partial(_signed_in, services, sessions))
    routes.before_request(partial(_refuse_other_pages, settings.allowed_hosts))
    routes.after_request(browser_security.protect)
    return routes


def error(status: int, message: str) -> Response:
    """Return a page that says what went wrong.

    The server itself refuses malformed requests, for which there is no page.
    """
    if not has_request_context():
        return Response(f"{message}\n", status=status, mimetype="text/plain")
    name = HTTP_STATUS_CODES.get(status, "Error")
    if message == HTTP_STATUS_CODES[404]:
        message = NO_PAGE
    response = page("error.html", status, name=name, message=message)
    return browser_security.protect(response)


def internal_error(_endpoint: str | None) -> str:
    """Return the message of an internal error."""
    return INTERNAL_ERROR


def _refuse_other_pages(allowed_hosts: Sequence[str]) -> Response | None:
    """Refuse a form that another web page sent."""
    if request.method in READS or is_from_own_page(request, allowed_hosts):
        return None
    return error(403, FROM_ELSEWHERE)


def _unchanged(view: View, **in_path: str) -> Response:
    return view(**in_path)


def _signed_in(
    services: Services, sessions: Sessions, view: View, **in_path: str
) -> Response:
    """Call a view for somebody who is signed in; others have to sign in first."""
    found = sessions.find(request)
    if found is None:
        services.watch.require_same_store()
        return _sign_in_first()
    session, access = found
    name = _chosen_name(services, session, access)
    g.viewer, g.access = Viewer(session, access, name), access
    if access.tenant is not None:
        services.limits.count_request(access.tenant)
    is_change = request.method not in READS and request.endpoint not in HARMLESS
    if (is_change or request.endpoint in ASKING) and access.read_only:
        return error(403, READ_ONLY)
    return view(g.viewer, **in_path)


def _chosen_name(services: Services, session: Session, access: Access) -> str:
    """Return the name of the tenant that an operator chose; '' if there is none."""
    if access.tenant is not None or session.tenant is None:
        return ""
    try:
        return services.tenants.account(session.tenant).name
    except NotFound:
        return ""


def _sign_in_first() -> Response:
    if REFRESH_HEADER in request.headers:
        return error(401, "You are signed out")
    back = request.full_path.rstrip("?") if request.method in READS else START
    return to_page(url_for("dashboard.sign_in", to=back))
