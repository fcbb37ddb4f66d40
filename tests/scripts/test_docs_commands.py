"""Tests that the commands of the README and of `docs/` run as printed.

The tests start a system in a new checkout, with the command of the README. The blocks
of a page run in order, in one shell. The first line of a program names a file; the
tests write the program to this file and run it.
"""

import json
import pytest
import re
import redis
import requests
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from qstash import QStash
from rq_scheduler import Scheduler
from tests.pages import PAGES, ROOT, Block, blocks, name_of
from tests.scripts.checkout import new_checkout
from tests.scripts.walk import RECEIVER, SERVERS, Outcome, Shell, Walk, plain_environ
from tests.system.processes import free_port
from typing import Any
from urllib.parse import SplitResult, urlsplit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux"),
]

START_WITHIN_S = 60
SECRET_KEY = "0123456789abcdef0123456789abcdef"


# The expected outcomes. The keys are a page and a part of a block's text. A block
# without an entry must only succeed.
OUTCOMES: dict[str, dict[str, Outcome]] = {
    "README.md": {
        "soon=": Outcome('"status":"Pending"'),
        "$JITER_URL/events/1": Outcome(
            r'"status":"Sent".*history.*valid\W+true', eventually=True
        ),
        "readyz": Outcome(r'"status":"ok"[\s\S]*deliveries'),
        "publish.py": Outcome("^msg_"),
        "tenant create": Outcome("JITER_API_KEY=sched_"),
    },
    "docs/cron.md": {"check_cron.py": Outcome(r"^c\d+ .*America/New_York")},
    "docs/alerts.md": {
        "keys alerts": Outcome("^whsec_"),
        "v2/publish": Outcome('"messageId"'),
    },
    "docs/backup.md": {
        "--rdb": Outcome("Transfer finished with success"),
        "accept-store": Outcome("accepted"),
    },
    "docs/destinations.md": {
        "destination pause": Outcome("is paused"),
        "v2/publish": Outcome('"messageId"'),
        "destination list": Outcome(r"paused since .* 1 +\d", eventually=True),
        "destination resume": Outcome("is resumed", received="hello"),
    },
    "docs/jiter.md": {
        "receiver.js": Outcome(received='got .*"hello":"world"'),
    },
    "docs/moving.md": {
        "schedules.yaml": Outcome(r"3 done, 0 failed[\s\S]*nothing to change"),
        "schedules list": Outcome(r"jiter[\s\S]*cleanup"),
        "import crontab": Outcome(r"\+ create qstash example-com-backup"),
        "import qstash": Outcome(r"create qstash nightly[\s\S]*1 done, 0 failed"),
        "jiter.yaml": Outcome("1 done, 0 failed"),
        "beat.yaml": Outcome(r"3 done, 0 failed[\s\S]*nothing to change"),
        "list_jobs.py": Outcome(r"^0 4 \* \* \* None tasks.report \['all'\]"),
    },
    "docs/once.md": {"idempotency-key": Outcome('"status":"Pending"', again=True)},
    "docs/command-line.md": {
        "tenant list": Outcome(r"fsck[\s\S]*first"),
        "tenant usage": Outcome('"pending": {'),
    },
    "docs/operations.md": {
        "doctor --deliver": Outcome(r"Nothing is wrong[\s\S]*answered with 200"),
        "publish http": Outcome(
            r"message msg_\w+, due 20[\s\S]*schedule \w+, first run 20",
            received="hello",
        ),
        "events show": Outcome(
            r"delivered +http://127.0.0.1:\d+/[\s\S]*Event msg_[\s\S]*attempt",
            eventually=True,
        ),
        "events cancel": Outcome("events? match"),
        "tenant limits": Outcome(r"pending_events +100000 +this tenant"),
        "healthz": Outcome(r'("status":"ok"[\s\S]*){2}[12] workers'),
        "accept-store": Outcome("accepted"),
    },
    "docs/qstash.md": {"move_schedules.py": Outcome("^moved nightly$")},
    "docs/receiver.md": {
        "set -a": Outcome('"messageId"'),
        "curl -sS $SCHEDULER_API/receiver": Outcome('"valid":false.*no signature'),
        "first=2": Outcome('"messageId"'),
        "127.0.0.1:9000/ -H": Outcome('"messageId"', received="hello"),
    },
    "docs/schedules.md": {
        "cron/preview": Outcome(r"2027-03-14T07:00:00[\s\S]*2027-03-14 03:00:00"),
        "Upstash-Schedule-Id": Outcome('"scheduleId":"report"'),
        "report/runs": Outcome("run by hand", received="daily report"),
    },
    "docs/tokens.md": {
        "audit list": Outcome(r"token.revoke .dashboard[\s\S]*tenant.create"),
        "token list": Outcome(r"ci +everything[\s\S]*ci +everything"),
    },
    "docs/trouble.md": {
        "doctor --deliver": Outcome(
            r"messageId[\s\S]*Nothing is wrong[\s\S]*answered with 200"
            r"[\s\S]*process +host[\s\S]*Event msg_"
        ),
        "dead-letters list": Outcome("match"),
        "curl -sS $SCHEDULER_API/receiver": Outcome('"valid":false.*no signature'),
    },
    "docs/upgrade.md": {
        "replicaof old": Outcome("master_link_status:up", eventually=True),
        "replicaof no one": Outcome(r"^1$\s+OK"),
    },
    "docs/v1.md": {"v1/events": Outcome('"eventId"', received='{"user":12345}')},
}
ROOT_ONLY = "needs a machine of its own; tests/system/test_managed.py runs the units"
# Blocks that the tests do not run, and why. The key is a page and the beginning of the
# block.
NOT_RUN = {
    ("README.md", "scripts/up"): "runs already, on another port",
    ("docs/alerts.md", "SCHED_ALERT_URL="): "runs already, without alerts",
    ("docs/bench.md", "scripts/bench  "): "takes minutes and needs nginx",
    (
        "docs/operations.md",
        ".venv/bin/python -m scheduler_api accept-clock",
    ): "needs a step of the store's clock",
    ("docs/heroku.md", "heroku create"): "needs an account there",
    ("docs/machines.md", "scripts/chaos machines-"): "takes minutes and needs root",
    ("docs/traces.md", "scripts/venv otel"): "downloads; the tests have the packages",
    ("docs/sizing.md", "scripts/bench sizes"): "takes minutes and needs nginx",
    ("docs/systemd.md", "sudo python3 -m venv /opt/scheduler-0.1.0"): ROOT_ONLY,
    ("docs/systemd.md", "sudo systemctl enable"): ROOT_ONLY,
    ("docs/systemd.md", "systemctl list-dependencies"): ROOT_ONLY,
    ("docs/systemd.md", "sudo systemctl edit"): ROOT_ONLY,
    ("docs/systemd.md", "sudo python3 -m venv /opt/scheduler-0.2.0"): ROOT_ONLY,
    ("docs/containers.md", "cd docs/containers"): "needs Docker",
    ("docs/containers.md", "docker compose exec web scheduler status"): "needs Docker",
    ("docs/jiter.md", "npm i "): "downloads; tests/js has the same packages",
}


@dataclass(frozen=True)
class Site:
    """A checkout with a running system, and the URL of a second, empty store."""

    folder: Path
    store: str

    @property
    def log(self) -> str:
        return (self.folder / "up.log").read_text()

    def fill_in(self, text: str) -> str:
        """Replace the placeholders, as a reader does."""
        values: dict[str, Callable[[], str]] = {
            "redis://default:password@store:6379/0": lambda: self.store,
            "redis://default:password@new:6379/0": lambda: self.store,
            "old-password": lambda: str(self._old_store().password),
            "old 6379": lambda: f"127.0.0.1 {self._old_store().port}",
            "SECRET_KEY=…": lambda: f"SECRET_KEY={SECRET_KEY}",
            "https://qstash.upstash.io": lambda: self._credentials()["QSTASH_URL"],
            "sig_…": lambda: "sig_hosted",
            "HOSTED_QSTASH_TOKEN=…": lambda: f"HOSTED_QSTASH_TOKEN={self._hosted()}",
            "https://app.jiter.dev/api": lambda: self._credentials()["JITER_URL"],
            "HOSTED_JITER_KEY=…": lambda: f"HOSTED_JITER_KEY={self._hosted_jiter()}",
            "RQ_REDIS_URL=redis://…": lambda: f"RQ_REDIS_URL={self._with_job()}",
        }
        for placeholder, value in values.items():
            if placeholder in text:
                text = text.replace(placeholder, value())
        return text

    def _old_store(self) -> SplitResult:
        return urlsplit(self._credentials()["REDIS_URL"])

    def _credentials(self) -> dict[str, str]:
        text = (self.folder / "data" / "credentials.env").read_text()
        return dict(line.split("=", 1) for line in text.split())

    def _with_job(self) -> str:
        """Add a job of rq-scheduler to the empty store; return the store's URL."""
        with redis.Redis.from_url(self.store) as client:
            jobs = Scheduler(connection=client)
            jobs.cron("0 4 * * *", func="tasks.report", args=["all"])
        return self.store

    def _hosted_jiter(self) -> str:
        """Create another tenant, which has a cron job; return the tenant's token."""
        token = self._new_tenant("hosted-jiter")
        response = requests.post(
            f"{self._credentials()['JITER_URL']}/cronjobs",
            headers={"x-api-key": token},
            json={
                "destination": "http://127.0.0.1:9000/",
                "expression": "0 3 * * *",
                "payload": "hello",
            },
            timeout=10,
        )
        response.raise_for_status()
        return token

    def _hosted(self) -> str:
        """Create another tenant, which has a schedule; return the tenant's token."""
        token = self._new_tenant("hosted")
        base_url = self._credentials()["QSTASH_URL"]
        QStash(token, base_url=base_url).schedule.create(
            destination="http://127.0.0.1:9000/",
            cron="0 3 * * *",
            schedule_id="nightly",
            body="hello",
        )
        return token

    def _new_tenant(self, name: str) -> str:
        """Create a tenant; return its token."""
        environ = self._credentials()
        operator = {
            "REDIS_URL": environ["REDIS_URL"],
            "SECRET_KEY": (self.folder / "data" / "secret.key").read_text().strip(),
        }
        created = subprocess.run(
            [".venv/bin/python", "-m", "scheduler_api", "tenant", "create", name],
            cwd=self.folder,
            env=operator,
            capture_output=True,
            text=True,
            check=True,
        )
        return created.stdout.split()[-1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, valkey: str) -> Iterator[Site]:
    """A system, started with the command of the README."""
    folder = new_checkout(tmp_path_factory.mktemp("docs"))
    site = Site(folder, valkey)
    with (folder / "up.log").open("wb") as log:
        up = subprocess.Popen(
            ["scripts/up", "--port", str(free_port())],
            cwd=folder,
            env=plain_environ(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        deadline_s = time.monotonic() + START_WITHIN_S
        while "Ctrl-C stops everything" not in site.log:
            assert up.poll() is None and time.monotonic() < deadline_s, site.log
            time.sleep(0.1)
        yield site
    finally:
        up.terminate()
        up.wait(timeout=60)


def is_run(block: Block) -> bool:
    excluded = any(
        block.page == page and block.text.startswith(start) for page, start in NOT_RUN
    )
    return block.language != "" and not excluded


def parameter(page: Path) -> Any:
    """The page as a test parameter, marked as a client test if it needs node."""
    has_js = any(block.language == "js" for block in blocks(page))
    marks = [pytest.mark.client] if has_js else []
    return pytest.param(page, id=name_of(page), marks=marks)


def with_commands() -> list[Path]:
    return [
        page
        for page in PAGES
        if page.name != "CONTRIBUTING.md" and any(map(is_run, blocks(page)))
    ]


@pytest.mark.parametrize("page", [parameter(page) for page in with_commands()])
def test_the_commands_of_a_page_run_as_printed(page: Path, site: Site) -> None:
    with redis.Redis.from_url(site.store) as client:
        client.flushall()
        # A ticker of the page before has left its epoch in a library.
        client.function_flush()
    found = [block for block in blocks(page) if is_run(block)]
    with Shell(site.folder) as shell:
        walk = Walk(
            shell,
            receiver_log=site.folder / f"{page.stem}.receiver.log",
            outcomes=OUTCOMES.get(name_of(page), {}),
        )
        if not any(name in block.text for block in found for name in SERVERS):
            page_of_it = ROOT / "docs" / "receiver.md"
            [receiver] = [b for b in blocks(page_of_it) if RECEIVER in b.text]
            walk.run(receiver)
        for block in found:
            walk.run(block, site.fill_in)
        walk.finish()


@pytest.mark.parametrize(("page", "start"), NOT_RUN)
def test_a_block_that_does_not_run_is_on_its_page(page: str, start: str) -> None:
    found = [b for b in blocks(ROOT / page) if b.text.startswith(start)]

    assert len(found) == 1


def test_the_readme_starts_the_system_with_a_command_without_options() -> None:
    [block] = [b for b in blocks(PAGES[0]) if b.text.startswith("scripts/up")]

    assert block.text == "scripts/up\n"


def test_the_benches_that_do_not_run_exist_with_their_options(site: Site) -> None:
    [block] = [
        b for b in blocks(ROOT / "docs/bench.md") if b.text.startswith("scripts/bench ")
    ][:1]
    help_of = cache(partial(print_help, site.folder))
    for line in block.text.splitlines():
        program, *words = shlex.split(line, comments=True)
        commands = [word for word in words if not word.startswith("-")]
        options = {word for word in words if word.startswith("-")}

        text = help_of(program, *commands)

        assert options <= set(re.findall(r"--\w+", text)), line


def print_help(folder: Path, *command: str) -> str:
    result = subprocess.run(
        [*command, "--help"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_packages_that_a_reader_downloads_are_those_of_the_client_tests() -> None:
    [block] = [b for b in blocks(ROOT / "docs/jiter.md") if "npm i" in b.text]
    package = json.loads((ROOT / "tests" / "js" / "package.json").read_text())

    _, _, *names = block.text.split()

    assert set(names) <= package["dependencies"].keys()


def test_a_command_that_fails_is_reported_with_its_page_and_line(
    site: Site, tmp_path: Path
) -> None:
    block = Block("docs/wrong.md", 7, "sh", "true\nscripts/no-such-command\n")

    with Shell(site.folder) as shell, pytest.raises(AssertionError) as caught:
        Walk(shell, receiver_log=tmp_path / "log", outcomes={}).run(block)

    assert "docs/wrong.md, line 7" in str(caught.value)
    assert "no-such-command: No such file" in str(caught.value)
