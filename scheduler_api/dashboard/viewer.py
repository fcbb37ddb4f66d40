"""Who looks at a page, and what this person may see and change."""

from collections.abc import Sequence
from dataclasses import dataclass
from scheduler_api.core.model import Owner
from scheduler_api.core.tenants.tokens import Access
from scheduler_api.dashboard.sessions import Session


@dataclass(frozen=True)
class Viewer:
    """The person behind a request.

    Attributes:
        tenant: the tenant that the pages show. None: an operator sees all tenants.
    """

    session: Session
    access: Access
    tenant: str | None

    @property
    def is_operator(self) -> bool:
        """Whether the token belongs to no tenant."""
        return self.access.tenant is None

    @property
    def may_change(self) -> bool:
        """Whether the token is not read-only."""
        return not self.access.read_only

    def owners(self, dialects: Sequence[str]) -> list[Owner]:
        """Return the owners of what the pages show; none if it is all tenants."""
        if self.tenant is None:
            return []
        return [Owner(self.tenant, each) for each in dialects]


def viewer(session: Session, access: Access) -> Viewer:
    """Return the viewer of a session: a tenant sees itself, an operator may choose."""
    tenant = session.tenant if access.tenant is None else access.tenant
    return Viewer(session, access, tenant)
