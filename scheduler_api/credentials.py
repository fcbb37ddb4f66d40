"""The environment variables that a tenant's clients read, as `NAME=value` lines."""

from collections.abc import Mapping
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.outbound import DIALECTS

TOKEN = "SCHEDULER_API_TOKEN"
OPERATOR_TOKEN = "SCHEDULER_OPERATOR_TOKEN"
BASE_URL = "SCHEDULER_API"


def client_variables(
    tenant_id: str, token: str, secrets: Secrets, base_url: str
) -> dict[str, str]:
    """Return the environment variables of all dialects.

    Args:
        base_url: the URL of the web process for clients, without a slash at the end.
    """
    variables = {TOKEN: token, BASE_URL: base_url}
    for dialect in DIALECTS:
        variables |= dialect.client_variables(tenant_id, token, secrets, base_url)
    return variables


def secret_variables(dialect: Dialect, secrets: Secrets) -> dict[str, str]:
    """Return the variables of clients and receivers that contain a signing secret."""
    variables = dialect.client_variables("", "", secrets, "")
    values = {*secrets.by_name.values()}
    return {name: value for name, value in variables.items() if value in values}


def env_lines(values: Mapping[str, str]) -> str:
    """Return `NAME=value` lines, sorted by name."""
    return "".join(f"{name}={values[name]}\n" for name in sorted(values))
