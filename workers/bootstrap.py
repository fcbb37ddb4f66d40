"""Start-up code of the worker processes: settings, log, store, address policy."""

import logging
import os
import redis
import socket
import sys
from dataclasses import replace
from functools import partial
from ipaddress import ip_address
from scheduler_api.core import logfmt
from scheduler_api.core.delivery.destinations import Address, AddressPolicy
from scheduler_api.core.errors import UnfitStore
from scheduler_api.core.settings.engine import EngineSettings, SettingsError
from scheduler_api.core.store import fitness
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import RETRY_ONCE, connect, watched_addresses
from scheduler_api.core.store.content_encryption import content_cipher
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.store.processes import SignOfLife
from scheduler_api.settings import Settings, from_env
from workers import supervision
from workers.http_client.local_addresses import own_addresses

# RQ logs each of its steps at lower levels.
RQ_LEVEL = "WARNING"


def start_process(role: str) -> Settings:
    """Read the settings, set up the log, and log the start of this process.

    If a setting or the configuration of the store is wrong, end the process with the
    reason.
    """
    try:
        settings = start_job()
    except SettingsError as err:
        sys.exit(str(err))
    logfmt.silence_libraries()
    log = logging.getLogger(f"scheduler.{role}")
    log.info(logfmt.line(f"{role}.started", **settings.non_defaults()))
    _check_store(settings, log)
    return settings


def _check_store(settings: Settings, log: logging.Logger) -> None:
    """End the process if the store does not keep what it is given."""
    try:
        with connect(settings.store_url, retry=RETRY_ONCE) as client:
            for warning in fitness.check(client, settings):
                log.warning(logfmt.line("store.doubtful", problem=warning))
    except UnfitStore as err:
        log.critical(logfmt.line("store.unfit", problem=err))
        sys.exit(1)
    except redis.RedisError as err:
        log.warning(logfmt.line("store.unreachable", problem=err))


def start_job() -> Settings:
    """Read the settings from the environment; set up the log of this process.

    Raises: SettingsError.
    """
    settings = from_env(os.environ)
    logfmt.set_up(level=settings.log_level, format_=settings.log_format)
    return settings


def open_cell(settings: EngineSettings) -> Cell:
    """Return the cell of this process; check that the database belongs to the cell.

    Raises: ForeignDatabase, UnknownLayout.
    """
    client = connect(settings.store_url, retry=RETRY_ONCE)
    cell = Cell(client, settings.prefix, cipher=content_cipher(settings))
    claim_database(cell.client, cell.prefix)
    return cell


def report_in_thread(settings: Settings, role: str) -> SignOfLife:
    """Report in a thread that this process runs, on a connection of its own."""
    cell = Cell(connect(settings.store_url), settings.prefix)
    sign = SignOfLife(cell, role, settings=settings.digest(), shared=settings.shared())
    report = partial(
        sign.report_forever, high_water_percent=settings.store_high_water_percent
    )
    supervision.run_in_thread(report, name="alive reports")
    return sign


def address_policy(settings: EngineSettings) -> AddressPolicy:
    """Return the policy on the addresses that deliveries may reach.

    Even in allowed networks, deliveries cannot reach the port of the web process on
    this machine, but for its receiver, or the ports of the store and its Sentinels.
    """
    closed_ports: set[tuple[Address | None, int]] = {(None, settings.port)}
    stores = (*settings.store_addresses, *watched_addresses(settings.store_url))
    for host, port in stores:
        closed_ports.add((None, port))
        closed_ports.update((ip_address(address), port) for address in _resolve(host))
    return replace(
        AddressPolicy.of(settings),
        own_addresses=own_addresses(),
        closed_ports=frozenset(closed_ports),
        receiver_port=settings.port if settings.receiver else None,
    )


def _resolve(host: str) -> set[str]:
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return set()
    return {str(address[0]).partition("%")[0] for *_, address in found}
