"""The outbound halves of the dialects, by name; workers need nothing else of them."""

from scheduler_api.core.delivery.request import Answer, Outgoing, Reply
from scheduler_api.core.model import Begun, Draft, FollowUp
from scheduler_api.core.tenants.accounts import SigningKeys
from scheduler_api.core.tenants.url_groups import Group
from scheduler_api.dialects.events_v1 import outbound as events_v1
from scheduler_api.dialects.jiter import outbound as jiter
from scheduler_api.dialects.qstash import outbound as qstash
from scheduler_api.settings import Settings
from typing import Protocol

Headers = tuple[tuple[str, str], ...]


class Outbound(Protocol):
    """What a dialect decides about an attempt; pure, so it may run anywhere."""

    def render(
        self, begun: Begun, *, signing: SigningKeys, now_ms: int, settings: Settings
    ) -> Outgoing:
        """The request of this attempt, signed for now.

        Raises: UnreadableRecord, if its content was not fetched.
        """
        ...

    def group_of(self, begun: Begun) -> str:
        """The name of the group that the event is for, '' if it goes to a URL itself.

        Raises: UnreadableRecord, if its content was not fetched.
        """
        ...

    def expand(self, begun: Begun, group: Group) -> list[Draft]:
        """The events that stand for it at the endpoints of its group.

        Raises: UnreadableRecord, if its content was not fetched.
        """
        ...

    def is_success(self, reply: Reply) -> bool:
        """Whether the event counts as delivered."""
        ...

    def next_delay_ms(self, begun: Begun, reply: Reply) -> int | None:
        """The wait after this attempt has failed, None to give up.

        Raises: UnreadableRecord, if its content was not fetched.
        """
        ...

    def response_cap_bytes(self, begun: Begun, *, settings: Settings) -> int:
        """How many bytes of the response are read.

        Raises: UnreadableRecord, if its content was not fetched.
        """
        ...

    def kept_headers(self, reply: Reply, *, settings: Settings) -> Headers:
        """What the attempt's log keeps of the response's headers."""
        ...

    def contact(self, begun: Begun) -> str:
        """Whom a log line names when the event is given up, '' if nobody.

        Raises: UnreadableRecord, if its content was not fetched.
        """
        ...

    def follow_ups(
        self, begun: Begun, answer: Answer, *, dead: bool, settings: Settings
    ) -> tuple[FollowUp, ...]:
        """The events that the end of this attempt brings about.

        Args:
            dead: whether the event gives up with it.

        Raises: UnreadableRecord, if its content was not fetched.
        """
        ...


DIALECTS: dict[str, Outbound] = {
    "events_v1": events_v1,
    "jiter": jiter,
    "qstash": qstash,
}


def of(dialect: str) -> Outbound:
    """The outbound half of a dialect.

    Raises: KeyError, for a name that no folder has.
    """
    return DIALECTS[dialect]
