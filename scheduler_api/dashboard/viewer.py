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
        tenant_name: the name of the tenant that an operator chose; '' if it is none.
    """

    session: Session
    access: Access
    tenant_name: str = ""

    @property
    def tenant(self) -> str | None:
        """The tenant that the pages show. None: an operator sees all tenants."""
        return self.session.tenant if self.is_operator else self.access.tenant

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
