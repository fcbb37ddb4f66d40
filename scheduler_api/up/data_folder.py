"""The data folder of `scheduler up`: lock, secret key, store, credentials."""

import fcntl
import os
import random
import re
import secrets
import socket
import time
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path
from redis import Redis
from redis.exceptions import RedisError
from scheduler_api.core.errors import Conflict
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.credentials import (
    OPERATOR_TOKEN,
    TOKEN,
    client_variables,
    env_lines,
)
from scheduler_api.dialects.dialect import Development
from scheduler_api.dialects.outbound import DIALECTS

# These ports are below the range for outgoing connections, so that no outgoing
# connection of another program takes the store's port while the store is down.
STORE_PORTS = range(16_384, 32_768)
LOCK_TIMEOUT_S = 2
# Who makes changes, in the audit log; also the name of the operator's token.
BY = "scheduler up"
# The store gets half of the memory. The other half is for the processes, and for what
# the store writes above its limit, or copies while it rewrites its file.
MEMORY_DIVISOR = 2
CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")

STORE_CONF = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
logfile store.log
loglevel warning
appendonly yes
appendfsync everysec
save ""
maxmemory {maxmemory}
maxmemory-policy noeviction
hash-max-listpack-value 256
"""


class Refusal(Exception):
    """The system cannot start; the message gives the reason in one line."""


class DataFolder:
    """The folder with a system's state. One `scheduler up` at a time can lock it."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self.credentials = self.path / "credentials.env"
        self.store_conf = self.path / "store.conf"
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.lock_fd = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as err:
            raise Refusal(f"the data folder cannot be used: {err}") from err
        self._take_lock()

    def _take_lock(self) -> None:
        """Lock the folder, so that only one store runs in it.

        The store process inherits the lock, and keeps it if `scheduler up` is killed.

        Raises:
            Refusal: another process has the lock for longer than the time-out.
        """
        deadline_s = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as err:
                if time.monotonic() > deadline_s:
                    raise Refusal(f"the data folder {self.path} is in use") from err
                time.sleep(0.05)

    def secret_key(self) -> str:
        """Return the key that encrypts secrets in the store; generate it if needed."""
        file = self.path / "secret.key"
        if not file.exists():
            _write_private(file, secrets.token_hex(32) + "\n")
        return file.read_text().strip()

    def store_url(self) -> str:
        """Write the store's configuration and return its URL.

        The password of an earlier configuration is kept. Its port is kept if the
        port is free.
        """
        old = self.store_conf.read_text() if self.store_conf.exists() else ""
        port = re.search(r"^port (\d+)$", old, re.MULTILINE)
        password = re.search(r"^requirepass (\S+)$", old, re.MULTILINE)
        values = {
            "port": int(port[1]) if port and is_free(int(port[1])) else _any_port(),
            "password": password[1] if password else secrets.token_hex(32),
            "maxmemory": memory_bytes() // MEMORY_DIVISOR,
            "folder": str(self.path).replace("\\", r"\\").replace('"', r"\""),
        }
        _write_private(self.store_conf, STORE_CONF.format(**values))
        # Without a user, redis-cli 7.0 would log in as a user without a name.
        address = f"127.0.0.1:{values['port']}"
        return f"redis://default:{values['password']}@{address}/0"

    def keep_credentials(
        self,
        tenants: Tenants,
        *,
        base_url: str,
        store: str,
        development: Development | None = None,
    ) -> tuple[str, str]:
        """Write the variables that clients need into the credentials file.

        Other lines of the file are kept. If there is no file, create the first tenant;
        if it has no operator's token, create one.

        Args:
            development: the token and the secrets that the tenant is to have.

        Returns: the operator's token, and the id of the tenant.

        Raises:
            Refusal: the store does not know the token in the file, or everybody knows
                a token of the store, or the secrets in the store are encrypted with
                another key.
        """
        if development is None:
            self._refuse_published(tenants)
        kept: dict[str, str] = {}
        if self.credentials.exists():
            lines = self.credentials.read_text().splitlines()
            kept = dict(line.split("=", 1) for line in lines if "=" in line)
            token = kept.get(TOKEN, "")
            tenant_id, secrets = self._tenant_of(token, tenants)
        else:
            published = development.token if development else None
            new = tenants.create("first", by=BY, token=published)
            tenant_id, token, secrets = new.id, new.token, new.secrets
        if development is not None:
            secrets = _publish(tenants, tenant_id, secrets, development)
        variables = client_variables(tenant_id, token, secrets, base_url)
        operator = kept.get(OPERATOR_TOKEN) or _operator_token(tenants)
        values = kept | variables | {OPERATOR_TOKEN: operator, "REDIS_URL": store}
        _write_private(self.credentials, env_lines(values))
        return operator, tenant_id

    def _refuse_published(self, tenants: Tenants) -> None:
        """
        Raises: Refusal: everybody knows a token of the store.
        """
        published = [each.development for each in DIALECTS if each.development]
        if any(tenants.tokens.find(each.token) for each in published):
            raise Refusal(
                f"everybody knows the token of {self.path}, which --qstash-dev has"
                " created: use another folder"
            )

    def _tenant_of(self, token: str, tenants: Tenants) -> tuple[str, Secrets]:
        found = tenants.tokens.find(token)
        if found is None or found.tenant is None:
            raise Refusal(
                f"the store does not know the keys in {self.credentials};"
                " move that file away to get new ones"
            )
        try:
            return found.tenant, tenants.secrets(found.tenant)
        except WrongSecretKey as err:
            raise Refusal(
                f"{self.path / 'secret.key'} is not this store's key"
            ) from err


def _publish(
    tenants: Tenants, tenant_id: str, secrets: Secrets, development: Development
) -> Secrets:
    """Give a tenant the secrets that everybody knows; return all of its secrets."""
    wanted = development.secrets
    if all(secrets[name] == secret for name, secret in wanted.items()):
        return secrets
    done = tenants.rotate(tenant_id, development.dialect, lambda *_: wanted, by=BY)
    return done.secrets


def _operator_token(tenants: Tenants) -> str:
    """Return a new operator's token; it replaces one that the file has lost."""
    try:
        return tenants.tokens.create(None, BY, by=BY)
    except Conflict:
        return tenants.tokens.rotate(None, BY, grace_ms=0, by=BY)


def memory_bytes(cgroup_limit: Path = CGROUP_LIMIT) -> int:
    """Return the memory that this machine, or this container, has.

    Args:
        cgroup_limit: the file with the limit of the container.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(cgroup_limit.read_text()))
    except (OSError, ValueError):
        return machine


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server that sets SO_REUSEADDR can listen on the port."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Return whether a server on this address serves this machine only."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return all(ip_address(address[0]).is_loopback for *_, address in found)


def wait_for_store(client: Redis, *, should_stop: Callable[[], bool]) -> bool:
    """Wait until the store has loaded its files; return False if told to stop."""
    while not should_stop():
        try:
            client.ping()
            return True
        except RedisError:
            time.sleep(0.05)
    return False


def _any_port() -> int:
    for port in random.sample(STORE_PORTS, 100):
        if is_free(port):
            return port
    raise Refusal("no free port for the store")


def _write_private(file: Path, text: str) -> None:
    """Replace a file atomically; only its owner can read it.

    Raises: Refusal: it cannot be written, for example because the disk is full.
    """
    new = file.with_name(f".{file.name}.new")
    try:
        new.unlink(missing_ok=True)
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    except OSError as err:
        raise Refusal(f"{file} cannot be written: {err.strerror}") from err
