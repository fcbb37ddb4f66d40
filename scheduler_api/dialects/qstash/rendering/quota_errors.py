"""Describes errors of tenants that already have as many resources as allowed."""

from scheduler_api.core.settings.limits import OwnerLimits
from scheduler_api.core.store.gate_names import QUEUE
from scheduler_api.core.tenants.url_groups import GROUP
from scheduler_api.web import tenant_limits

STATUS = 412


def describe(resource: str, limits: OwnerLimits) -> str:
    """Return a message with the limit that was reached, and what the client can do.

    Args:
        resource: identifies the kind of resource whose limit was reached. This is the
            text of a `LimitReached`, or the id in a result with
            `Verdict.LIMIT_REACHED`.
    """
    if tenant_limits.is_of_tenant(resource):
        return tenant_limits.describe_resource(resource)
    if resource == GROUP:
        return f"at most {limits.url_groups} url groups are allowed: delete one first"
    if resource.startswith(f"{QUEUE}:"):
        return f"at most {limits.queues} queues are allowed: delete one first"
    remedy = "unpin or resume one, or wait until one is forgotten"
    return f"at most {limits.flow_keys} flow control keys are allowed: {remedy}"
