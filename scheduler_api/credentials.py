"""What a client of each dialect is told: names and values as the official SDKs ask."""

from scheduler_api.core.tenants.accounts import NewTenant

V1_SECRET = "SCHEDULER_API_SIGNING_SECRET"


def client_environment(tenant: NewTenant) -> dict[str, str]:
    """The names that carry secrets; `addresses` has the others."""
    return {
        "JITER_API_KEY": tenant.token,
        "JITER_SIGNING_SECRET": tenant.signing.jiter,
        "QSTASH_TOKEN": tenant.token,
        "QSTASH_CURRENT_SIGNING_KEY": tenant.signing.qstash_current,
        "QSTASH_NEXT_SIGNING_KEY": tenant.signing.qstash_next,
        V1_SECRET: tenant.signing.events_v1,
        "SCHEDULER_API_TOKEN": tenant.token,
    }


def addresses(base_url: str) -> dict[str, str]:
    """Where each dialect listens, as its clients want it spelled."""
    return {
        "JITER_URL": f"{base_url}/api",
        "QSTASH_URL": base_url,
        "SCHEDULER_API": base_url,
    }


def env_lines(values: dict[str, str]) -> str:
    """`NAME=value` lines, in the order of their names."""
    return "".join(f"{name}={values[name]}\n" for name in sorted(values))
