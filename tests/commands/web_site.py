"""A web application on a port, and the command line with its variables."""

import pytest
import redis
import requests
import threading
import yaml
from click.testing import CliRunner, Result
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from scheduler_api.cli import main
from scheduler_api.credentials import client_variables
from scheduler_api.settings import Settings
from tests.dialects.engine import SECRET_KEY, new_web
from typing import Any
from werkzeug.serving import make_server


@dataclass
class Site:
    """A running application.

    Attributes:
        file: stands for FILE in a command.
        requests: those that may change something.
        other: the variables of another tenant.
    """

    variables: dict[str, str]
    other: dict[str, str]
    file: Path
    requests: list[str]

    def run(self, words: str, answer: str | None = None, **environ: str) -> Result:
        """Run a command."""
        env = self.variables | environ
        arguments = [str(self.file) if w == "FILE" else w for w in words.split()]
        return CliRunner().invoke(main, arguments, env=env, input=answer)

    def get(self, path: str) -> Any:
        """Read from the QStash API."""
        token = self.variables["QSTASH_TOKEN"]
        response = requests.get(
            self.variables["QSTASH_URL"] + path,
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
        )
        return response.json()

    def pulled(self) -> dict[str, dict[str, Any]]:
        """What `schedules pull` prints, by id."""
        output = self.run("schedules pull").output
        return {each["id"]: each for each in yaml.safe_load(output)["schedules"]}


@contextmanager
def serve(url: str, file: Path, patch: pytest.MonkeyPatch) -> Iterator[Site]:
    """Context manager that serves an application with an empty store."""
    patch.setenv("no_proxy", "127.0.0.1")
    with redis.Redis.from_url(url) as client:
        client.flushall()
    web = new_web(Settings(redis_url=url, secret_key=SECRET_KEY))
    changes: list[str] = []

    def recorded(environ: Any, start_response: Any) -> Any:
        if environ["REQUEST_METHOD"] != "GET":
            changes.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return web.app(environ, start_response)

    server = make_server("127.0.0.1", 0, recorded, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    base_url = f"http://127.0.0.1:{server.server_port}"
    try:
        variables, other = (
            client_variables(new.id, new.token, new.secrets, base_url)
            for new in (web.tenant, web.tenants.create("other"))
        )
        yield Site(variables, other, file, changes)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
