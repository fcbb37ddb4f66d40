"""What clock, chores and deliveries start with: settings, a store client, addresses."""

import os
import socket
from dataclasses import replace
from ipaddress import ip_address
from scheduler_api.core.delivery.destinations import Address, AddressPolicy
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import RETRY_ONCE, connect
from scheduler_api.core.store.epoch import take_database
from scheduler_api.settings import Settings, from_env
from workers.http_client.local_addresses import own_addresses


def read_settings() -> Settings:
    """This process's settings, from its environment.

    Raises: SettingsError.
    """
    return from_env(os.environ)


def open_cell(settings: EngineSettings) -> Cell:
    """The cell of a process, its database taken and its layout checked.

    Raises: ForeignDatabase, UnknownLayout, redis.RedisError.
    """
    client = connect(settings.redis_url, retry=RETRY_ONCE)
    cell = Cell(client, settings.prefix)
    take_database(cell.client, cell.prefix)
    return cell


def address_policy(settings: EngineSettings) -> AddressPolicy:
    """Which addresses deliveries may reach: never the store's port, never our own."""
    closed: set[tuple[Address | None, int]] = {(None, settings.port)}
    if settings.store_address is not None:
        host, port = settings.store_address
        closed.add((None, port))
        closed.update((ip_address(address), port) for address in _addresses_of(host))
    return replace(
        AddressPolicy.of(settings),
        own_addresses=own_addresses(),
        closed_ports=frozenset(closed),
    )


def _addresses_of(host: str) -> set[str]:
    """The store may stand inside an allowed network, on another machine."""
    try:
        answers = socket.getaddrinfo(host, None)
    except OSError:
        return set()
    return {str(answer[4][0]).partition("%")[0] for answer in answers}
