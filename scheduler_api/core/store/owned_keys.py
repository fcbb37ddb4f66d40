"""Finds the keys that belong to a tenant, by their names. Pure.

Records of events and schedules have no tenant in their names; their owner's indexes
lead to them.
"""

# Keys named `<family>:<owner>…`, or `<family>:<tenant id>`.
OF_OWNERS = frozenset(
    (
        *("ix", "fin", "tm", "names", "groups", "journal", "dd", "req", "rps", "month"),
        *("letter_job", "letter_jobs", "letter_job_lease"),
        *("erasing", "sb", "sbe", "counts", "destination_counts"),
        *("q", "ql", "queues", "flow_keys", "audit", "tokens"),
    )
)
# Keys named `<family>:<gate>`.
OF_GATES = frozenset(("g", "gh", "gw", "gl", "gp", "gr", "gf", "gt"))
# Gates of a host serve all tenants; their names contain a digest in place of a tenant.
SHARED_GATE = "h"
# The holder of the operator's tokens and audit log, in place of a tenant's id.
OPERATOR = "operator"


def holder_of(tenant: str | None) -> str:
    """Return the holder of tokens or of an audit log; None means the operator."""
    return OPERATOR if tenant is None else tenant


def belongs_to(tenant_id: str, name: str) -> bool:
    """Whether a key belongs to a tenant; `name` is its name without the prefix."""
    family, _, rest = name.partition(":")
    if family in OF_OWNERS:
        return rest.partition(":")[0] == tenant_id
    return family in OF_GATES and is_gate_of(tenant_id, rest)


def is_gate_of(tenant_id: str, gate: str) -> bool:
    """Whether a gate holds back only events of a tenant."""
    kind, _, rest = gate.partition(":")
    return kind != SHARED_GATE and rest.partition(":")[0] == tenant_id
