"""What outbound halves answer alike that know neither groups nor callbacks. Pure."""

from scheduler_api.core.delivery.request import Answer, Reply
from scheduler_api.core.model import Begun, Draft, FollowUp
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.url_groups import Group


def group_of(_begun: Begun) -> str:
    """None: destinations are URLs."""
    return ""


def expand(_begun: Begun, _group: Group) -> list[Draft]:
    """Nothing: no event is for a group."""
    return []


def response_cap_bytes(_begun: Begun, *, settings: EngineSettings) -> int:
    """As much of the response as the log keeps."""
    return settings.response_log_bytes


def kept_headers(
    _reply: Reply, *, settings: EngineSettings
) -> tuple[tuple[str, str], ...]:
    """None: nobody is shown them."""
    return ()


def contact(_begun: Begun) -> str:
    """Nobody."""
    return ""


def follow_ups(
    _begun: Begun, _answer: Answer, *, dead: bool, settings: EngineSettings
) -> tuple[FollowUp, ...]:
    """None: nobody is told how an attempt ended."""
    return ()
