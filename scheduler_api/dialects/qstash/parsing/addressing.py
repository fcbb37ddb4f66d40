"""Finds the URL or the url group that a publisher names as the destination."""

from scheduler_api.core.delivery.destinations import AddressPolicy
from scheduler_api.core.errors import NotFound
from scheduler_api.core.model import Owner
from scheduler_api.core.tenants.url_groups import Group, Groups
from scheduler_api.dialects.qstash.parsing.header_values import BadValue
from scheduler_api.dialects.qstash.parsing.targets import (
    read_destination,
    read_group_name,
)


def missing_destination(hint: str) -> BadValue:
    """Return the error for a message without a destination."""
    return BadValue("a non-empty destination", f"must be provided: {hint}")


class Addressing:
    """Resolves the destinations of one request; reads each url group only once."""

    def __init__(self, groups: Groups, owner: Owner, *, policy: AddressPolicy) -> None:
        self._groups = groups
        self._owner = owner
        self._policy = policy
        self._groups_by_name: dict[str, Group | None] = {}

    def resolve(self, destination: str) -> str | Group:
        """Return the URL to send to, or the url group that the destination names.

        Raises: BadValue, NotFound, UnreadableRecord.
        """
        if not destination.partition("?")[0]:
            raise missing_destination(
                "give a url or the name of a url group as `destination`"
            )
        name = read_group_name(destination)
        if name is None:
            return read_destination(destination, self._policy)
        if name not in self._groups_by_name:
            self._groups_by_name[name] = self._read_group(name)
        group = self._groups_by_name[name]
        if group is None:
            raise NotFound(
                f"topic {name} not found: no url group has this name, and a url begins"
                " with http:// or https://"
            )
        return group

    def _read_group(self, name: str) -> Group | None:
        try:
            return self._groups.get(self._owner, name)
        except NotFound:
            return None
