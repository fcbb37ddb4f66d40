"""What `scripts/up` keeps in its data folder: lock, key, store, credentials."""

import fcntl
import os
import random
import re
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from redis import Redis
from redis.exceptions import RedisError
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.encryption import WrongSecretKey
from scheduler_api.credentials import (
    V1_SECRET,
    addresses,
    client_environment,
    env_lines,
)

# Below the ports that systems hand out to outgoing connections: while the store is
# away, nobody gets its port by chance.
STORE_PORTS = range(16_384, 32_768)
LOCK_PATIENCE_S = 2

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
maxmemory-policy noeviction
hash-max-listpack-value 256
"""


class Refusal(Exception):
    """Why nothing was started, in one line."""


class DataFolder:
    """A folder that holds one system's state; taken by one `scripts/up` at a time."""

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
        """Hold the folder; the store shares this lock, so it never has two of them.

        Raises:
            Refusal: somebody else does, and does not let go within a moment.
        """
        deadline_s = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(self.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as err:
                if time.monotonic() > deadline_s:
                    raise Refusal(f"the data folder {self.path} is in use") from err
                time.sleep(0.05)

    def secret_key(self) -> str:
        """The key that encrypts secrets in the store; made once."""
        file = self.path / "secret.key"
        if not file.exists():
            _write_private(file, secrets.token_hex(32) + "\n")
        return file.read_text().strip()

    def store_url(self) -> str:
        """Where the store will listen; its configuration is written along the way."""
        kept = self.store_conf.read_text() if self.store_conf.exists() else ""
        port = re.search(r"^port (\d+)$", kept, re.MULTILINE)
        password = re.search(r"^requirepass (\S+)$", kept, re.MULTILINE)
        values = {
            "port": int(port[1]) if port and is_free(int(port[1])) else _any_port(),
            "password": password[1] if password else secrets.token_hex(32),
            "folder": str(self.path).replace("\\", r"\\").replace('"', r"\""),
        }
        _write_private(self.store_conf, STORE_CONF.format(**values))
        return f"redis://:{values['password']}@127.0.0.1:{values['port']}/0"

    def keep_credentials(self, tenants: Tenants, *, base_url: str, store: str) -> None:
        """Write what clients need: its secrets once, its addresses at each start.

        Raises:
            Refusal: the file, the key and the store do not belong together.
        """
        kept = {}
        if self.credentials.exists():
            lines = self.credentials.read_text().splitlines()
            kept = dict(line.split("=", 1) for line in lines if "=" in line)
            # One from before there was a v1 secret lacks it.
            kept = self._checked(kept, tenants) | kept
        else:
            kept = client_environment(tenants.create("first"))
        text = env_lines(kept | addresses(base_url) | {"REDIS_URL": store})
        _write_private(self.credentials, text)

    def _checked(self, kept: dict[str, str], tenants: Tenants) -> dict[str, str]:
        tenant = tenants.by_token(kept.get("JITER_API_KEY", ""))
        if tenant is None:
            raise Refusal(
                f"the store does not know the keys in {self.credentials};"
                " move that file away to get new ones"
            )
        try:
            signing = tenants.signing(tenant.id)
        except WrongSecretKey as err:
            raise Refusal(
                f"{self.path / 'secret.key'} is not this store's key"
            ) from err
        return {V1_SECRET: signing.events_v1}


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there, just as ours will try to."""
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


def wait_for_store(client: Redis, *, given_up: Callable[[], bool]) -> bool:
    """Wait until the store has read its files and answers."""
    while not given_up():
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
    """Replace a file in one step; only its owner may read it."""
    draft = file.with_name(f".{file.name}.new")
    draft.unlink(missing_ok=True)
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
