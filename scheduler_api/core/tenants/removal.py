"""Prevents changes of a tenant that is being removed or was removed."""

from redis.client import Pipeline
from scheduler_api.core.errors import NotFound
from scheduler_api.core.store import keys


def watch(pipe: Pipeline, prefix: str, tenant: str | None) -> None:
    """Make the MULTI that follows fail if the removal of a tenant begins meanwhile.

    Args:
        tenant: None for the operator, who is never removed.

    Raises: NotFound (the removal has begun before).
    """
    if tenant is None:
        return
    removed = keys.removed(prefix, tenant)
    pipe.watch(removed)  # type: ignore[no-untyped-call]
    if pipe.exists(removed):
        raise NotFound(f"tenant {tenant}")
