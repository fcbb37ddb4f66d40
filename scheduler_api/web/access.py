"""Decides whether the token of a request allows the request.

A tenant's token acts for its tenant. An operator's token belongs to no tenant: in the
routes of a dialect, it acts for the tenant that the header `Scheduler-Tenant` names. A
read-only token may use only routes that change nothing and show no signing secret.
"""

from collections.abc import Callable
from contextlib import suppress
from flask import g, request
from functools import partial
from scheduler_api.auth import Forbidden, Unauthorized, bearer_token
from scheduler_api.core.model import Owner
from scheduler_api.core.store.audit import Change
from scheduler_api.core.tenants.tokens import Access
from scheduler_api.services import Services
from scheduler_api.web.documented import ATTRIBUTE, Route
from scheduler_api.web.request_body import RECHECK

KEY_HEADER = "X-API-Key"
TENANT_HEADER = "Scheduler-Tenant"
READS = ("GET", "HEAD")
READ_ONLY = "This token is read-only"
NO_TENANT = (
    f"This is an operator's token: name the tenant in the header {TENANT_HEADER}"
)
OTHER_TENANT = f"The header {TENANT_HEADER} names another tenant than that of the token"
UNKNOWN_TENANT = f"The header {TENANT_HEADER} names no tenant"
OPERATORS_ONLY = "This needs an operator's token"


def tenant_of_request(
    services: Services, token: str | None, view: Callable[..., object]
) -> str:
    """Return the id of the tenant that the current request acts for; count the request.

    Requests with an operator's token are not counted.

    Args:
        view: the view that will be called, with its `documented` route.

    Raises: Unauthorized, TooManyFailedLogins, Forbidden, TooManyRequests.
    """
    tenant = _tenant(services, token, view)
    request.environ[RECHECK] = partial(_tenant, services, token, view)
    if g.access.tenant is not None:
        services.limits.count_request(tenant)
    return tenant


def _tenant(services: Services, token: str | None, view: Callable[..., object]) -> str:
    access = g.access = _access(services, token)
    if access.read_only and not _is_read(view):
        raise Forbidden(READ_ONLY)
    named = request.headers.get(TENANT_HEADER)
    if access.tenant is None:
        return _named_tenant(services, named)
    if named is not None and named.strip() != access.tenant:
        raise Forbidden(OTHER_TENANT)
    return access.tenant


def change(owner: Owner, action: str, name: str) -> Change:
    """Return what the audit log records of a change that the current request makes."""
    return Change(owner.tenant, by(), action, name)


def by() -> str:
    """Return who makes the current request: the name of its token."""
    access: Access = g.access
    if access.tenant is None:
        return f"{access.token} (operator)"
    return access.token


def any_access(services: Services) -> Access:
    """Return what the token of the current request allows, for shared routes.

    These routes accept a token as bearer or in `X-API-Key`.

    Raises: Unauthorized, TooManyFailedLogins.
    """
    bearer = bearer_token(request.headers.get("Authorization", ""))
    return _access(services, bearer, request.headers.get(KEY_HEADER))


def require_operator(services: Services) -> Access:
    """Return the access of an operator, for shared routes.

    Raises: Unauthorized, TooManyFailedLogins, Forbidden (the token belongs to a
        tenant).
    """
    access = any_access(services)
    if access.tenant is not None:
        raise Forbidden(OPERATORS_ONLY)
    return access


def _access(services: Services, *tokens: str | None) -> Access:
    """Return what the first valid token allows.

    If all are wrong, count one failed login. A request without any is none.

    Raises: Unauthorized, TooManyFailedLogins, StoreLost.
    """
    presented = [token for token in tokens if token]
    for token in presented:
        with suppress(Unauthorized):
            access = services.auth.access(token)
            if request.method != "POST":
                # The token may be cached. The store itself refuses creations.
                services.watch.require_same_store()
            return access
    if presented:
        count_failed_login(services)
    raise Unauthorized


def count_failed_login(services: Services) -> None:
    """Count that the current request has a wrong token.

    Raises: TooManyFailedLogins, StoreLost (a lost store does not know any token).
    """
    services.watch.require_same_store()
    services.failed_logins.count(request.remote_addr or "")


def _is_read(view: Callable[..., object]) -> bool:
    route: Route = getattr(view, ATTRIBUTE)
    if route.read_only is None:
        return request.method in READS
    return route.read_only


def _named_tenant(services: Services, named: str | None) -> str:
    if named is None:
        raise Forbidden(NO_TENANT)
    tenant = named.strip()
    if not services.tenants.exists(tenant):
        raise Forbidden(UNKNOWN_TENANT)
    return tenant
