"""What a publisher names as a destination: a URL, or a url group of its tenant's."""

from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import NotFound
from scheduler_api.core.model import Owner
from scheduler_api.core.tenants.url_groups import Group, Groups
from scheduler_api.dialects.qstash.parsing.targets import (
    read_destination,
    read_group_name,
)


class Addressing:
    """Looks destinations up for one request, and every group only once."""

    def __init__(self, groups: Groups, owner: Owner, *, allow: AddressPolicy) -> None:
        self._groups = groups
        self._owner = owner
        self._allow = allow
        self._found: dict[str, Group | None] = {}

    def find(self, named: str) -> str | Group:
        """The URL or the group that stands under a name.

        Raises: BadValue, NotFound, UnreadableRecord, redis.RedisError.
        """
        name = read_group_name(named)
        if name is None:
            return read_destination(named, self._allow)
        if name not in self._found:
            self._found[name] = self._look_up(name)
        group = self._found[name]
        if group is None:
            raise NotFound(
                f"url group {name} not found; a url begins with http:// or https://"
            )
        return group

    def _look_up(self, name: str) -> Group | None:
        try:
            return self._groups.get(self._owner, name)
        except NotFound:
            return None
