"""What the commands share: the store, and how options are read and times printed."""

import click
import getpass
import orjson
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text
from scheduler_api.commands.completion import complete_tenants
from scheduler_api.commands.environment import settings_of
from scheduler_api.core.model import Owner
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.content_encryption import content_cipher
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.tenants.accounts import NewTenant, Tenants
from scheduler_api.core.timestamps import from_iso, to_iso
from scheduler_api.credentials import client_variables, env_lines
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings
from scheduler_api.web.banners import Banner
from typing import Any

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]
API_LABELS = {dialect.name: dialect.label for dialect in outbound.DIALECTS}
MAX_NAME_LENGTH = 64
PIPE_WIDTH, MAX_WIDTH = 10_000, 80
UNITS = ("B", "KB", "MB", "GB", "TB")
GONE = "the tenant is being removed"
UNREADABLE = "its record cannot be read: see `fsck`"


def open_cell(settings: Settings) -> Cell:
    """Connect to the store of the cell.

    Raises: ForeignDatabase, UnknownLayout.
    """
    cell = Cell(
        connect(settings.store_url),
        settings.prefix,
        cipher=content_cipher(settings),
    )
    claim_database(cell.client, cell.prefix)
    return cell


def open_tenants(settings: Settings) -> Tenants:
    """Return the tenants of the cell.

    Raises: ForeignDatabase, UnknownLayout.
    """
    return outbound.tenants(open_cell(settings), settings)


def existing_tenant(
    ctx: click.Context, _param: click.Parameter, tenant_id: str | None
) -> str | None:
    """Check that a tenant exists, unless none is given."""
    if ctx.resilient_parsing or tenant_id is None:
        return tenant_id
    if not open_tenants(settings_of(ctx)).exists(tenant_id):
        raise click.BadParameter(f"there is no tenant {tenant_id}: see `tenant list`")
    return tenant_id


def tenant_option(text: str, *, required: bool = False) -> Decorator:
    """Return `--tenant`, which names a tenant that exists.

    Args:
        text: its help.
    """
    return click.option(
        "--tenant",
        "tenant_id",
        metavar="ID",
        required=required,
        callback=existing_tenant,
        shell_complete=complete_tenants,
        help=text,
    )


TENANT = tenant_option("Tenant; see `tenant list`.", required=True)
ONE_TENANT = tenant_option("Only of this tenant.")
TENANT_ARGUMENT = click.argument(
    "tenant_id",
    metavar="TENANT",
    callback=existing_tenant,
    shell_complete=complete_tenants,
)
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON document."
)
YES = click.option("--yes", is_flag=True, help="Do not ask.")


def together(*options: Decorator) -> Decorator:
    """Return a decorator that adds options, in the order of the help text."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def api_of(owner: Owner) -> str:
    """Return the API of an owner, as options name it."""
    return API_LABELS.get(owner.dialect, owner.dialect)


def owners_of_all(settings: Settings, tenant_id: str | None) -> list[Owner]:
    """Return the owners of a tenant or, if it is None, of all tenants."""
    if tenant_id is not None:
        return outbound.owners_of(tenant_id)
    tenants = open_tenants(settings).all_ids()
    return [owner for tenant in tenants for owner in outbound.owners_of(tenant)]


def read_name(_ctx: click.Context, _param: click.Parameter, name: str) -> str:
    """Check and strip the name of a tenant or token."""
    stripped = name.strip()
    if not stripped:
        raise click.BadParameter("a name must not be empty")
    if len(stripped) > MAX_NAME_LENGTH or not stripped.isprintable():
        raise click.BadParameter(
            f"a name has up to {MAX_NAME_LENGTH} printable characters"
        )
    return stripped


def read_time(
    _ctx: click.Context, _param: click.Parameter, text: str | None
) -> int | None:
    """Read a time, unless none is given."""
    try:
        return None if text is None else from_iso(text)
    except ValueError as err:
        raise click.BadParameter("a time looks like 2027-03-01T12:00:00Z") from err


# For commands that create a token.
env_options = together(
    click.option(
        "--env",
        "as_env",
        is_flag=True,
        help="Print the environment variables of the tenant's clients.",
    ),
    click.option("--url", help="URL of the web process for clients."),
)


def print_environment(settings: Settings, new: NewTenant, url: str | None) -> None:
    """Print the variables that the clients of a tenant need."""
    base_url = (url or f"http://127.0.0.1:{settings.port}").rstrip("/")
    variables = client_variables(new.id, new.token, new.secrets, base_url)
    click.echo(env_lines(variables), nl=False)


# Exactly one of them must be given.
holder_options = together(
    tenant_option("Tokens of this tenant."),
    click.option("--operator", is_flag=True, help="Operator's tokens."),
)


def holder(tenant_id: str | None, operator: bool) -> str | None:
    """Return the tenant that the options name, or None for the operator."""
    if operator == (tenant_id is not None):
        raise click.UsageError("give either --tenant ID or --operator")
    return tenant_id


def user() -> str:
    """Return who uses the command line, for the audit log."""
    try:
        return f"command line ({getpass.getuser()})"
    except (KeyError, OSError):
        return f"command line (uid {os.getuid()})"


def print_table(table: Table) -> None:
    """Print a table. Its cells may contain any text: `[` begins no markup.

    On a terminal, nothing is cut off: long cells are wrapped. Rows are not wrapped in a
    file or pipe, so that programs find the names in them.
    """
    for column in table.columns:
        column.overflow = "fold"
    console = Console(markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    console.print(table)


def print_json(body: object) -> None:
    """Print one JSON document."""
    click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2))


def facts_table(facts: Mapping[str, str]) -> Table:
    """Return a table of names and values, without those that are empty."""
    table = Table.grid(padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if value:
            table.add_row(name, Text(printable(value), overflow="fold"))
    return table


def plain_table(*columns: Column | str) -> Table:
    """Return a table without lines, whose long words are folded."""
    named = (
        each if isinstance(each, Column) else Column(each, overflow="fold")
        for each in columns
    )
    return Table(
        *named, box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False
    )


def screen() -> Console:
    """Return a console for what people read: at most 80 columns, also in a pipe."""
    console = Console(markup=False, emoji=False, highlight=False)
    console.width = min(console.width, MAX_WIDTH) if console.is_terminal else MAX_WIDTH
    return console


def printable(text: str) -> str:
    """Return a text without characters that control a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def problem_lines(
    problems: Iterable[Banner], *, bullet: str, colour: str = ""
) -> Iterator[Text]:
    """Yield problems, each followed by the command that helps.

    Args:
        bullet: a character before each problem.
    """
    for each in problems:
        end = ":" if each.command else "."
        yield Text(f"{bullet} {printable(each.text)}{end}", colour)
        if each.command:
            yield Text(f"    {printable(each.command)}", "bold", overflow="fold")


def problems_json(problems: Iterable[Banner]) -> list[dict[str, str]]:
    """Return problems as JSON, each with the command that helps, or ''."""
    return [{"text": each.text, "command": each.command} for each in problems]


def to_seconds(at_ms: int) -> str:
    """Return a time as ISO 8601 text in UTC, without the milliseconds."""
    return f"{to_iso(at_ms)[:-5]}Z"


def iso_or_none(at_ms: int | None) -> str | None:
    """Return a time as ISO 8601 text, for JSON."""
    return None if at_ms is None else to_iso(at_ms)


def size(count: int) -> str:
    """Return a number of bytes in words, such as `1.5 GB`."""
    value, unit = float(count), UNITS[0]
    for unit in UNITS:
        if value < 1_000 or unit == UNITS[-1]:
            break
        value /= 1_000
    return f"{value:.3g} {unit}"
