"""Tests of imports from a crontab and from QStash, through the command line."""

import json
import pytest
import re
import threading
import yaml
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from qstash import QStash
from scheduler_api.commands import imports
from scheduler_api.core.cron.expression import parse
from scheduler_api.core.timestamps import from_iso
from scheduler_api.schedule_files.crontab import entries_of, read
from scheduler_api.schedule_files.entries import Entry
from scheduler_api.schedule_files.run_comparison import is_next
from tests.commands.web_site import Site, serve
from typing import Any
from werkzeug import Response
from werkzeug.serving import make_server

JOBS = Path(__file__).with_name("jobs.crontab")


@pytest.fixture
def site(
    valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setattr(imports, "LOCAL_TIME", Path("/zoneinfo/UTC"))
    with serve(valkey, tmp_path / "crontab", monkeypatch) as site:
        yield site


def imported(site: Site, command: str) -> dict[str, Any]:
    """The schedule that is made of a command, without its id, API and cron."""
    site.file.write_text(f"0 5 * * * {command}\n")
    output = site.file.with_suffix(".yaml")
    result = site.run(f"import crontab FILE --output {output}")
    assert result.exit_code == 0, result.output
    [schedule] = yaml.safe_load(output.read_text())["schedules"]
    names = ("id", "api", "cron")
    return {name: value for name, value in schedule.items() if name not in names}


FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("curl -fsS example.com/a >/dev/null 2>&1", {"method": "GET"}),
        ("/usr/bin/curl -sSo /dev/null -XPUT example.com/a", {"method": "PUT"}),
        (
            "curl -d a=1 --data-raw '@b' example.com/a",
            {"method": "POST", "body": "a=1&@b", "headers": FORM},
        ),
        (
            'curl -H "X-A: b c" --max-time 5 --retry 2 example.com/a',
            {"method": "GET", "headers": {"X-A": "b c"}, "timeout": "5s", "retries": 2},
        ),
        (
            'curl --json \'{"a": "$B"}\' example.com/a',
            {
                "method": "POST",
                "body": '{"a": "$B"}',
                "headers": {
                    "Content-Type": "application/json",
                    "Accept": "application/json",
                },
            },
        ),
        (
            "curl --data-binary @- example.com/a%first%50\\% done",
            {"method": "POST", "body": "first\n50% done", "headers": FORM},
        ),
        (
            "curl -d @- example.com/a%first%second",
            {"method": "POST", "body": "firstsecond", "headers": FORM},
        ),
        (
            "curl --data-urlencode 't=a b&c' --data-urlencode =d/e example.com/a",
            {"method": "POST", "body": "t=a+b%26c&d%2Fe", "headers": FORM},
        ),
        ("curl -A cron/1 -H 'User-Agent: x' example.com/a", {"method": "GET"}),
        (
            "root\tcurl\t-s example.com/a &>/dev/null || true",
            {"method": "GET"},
        ),
        ("root wget -q -O - -t 3 example.com/a", {"method": "GET", "retries": 2}),
        (
            "timeout -k 5 --signal=INT 1.5m curl -m 2 example.com/a",
            {"method": "GET", "timeout": "2s"},
        ),
        (
            "root timeout 60 curl -m 90 example.com/a",
            {"method": "GET", "timeout": "60s"},
        ),
        ("timeout 0 curl example.com/a", {"method": "GET"}),
        (
            "/usr/bin/flock -xn /run/a.lock timeout 9 curl example.com/a",
            {"method": "GET", "timeout": "9s", "options": {"overlap": "skip"}},
        ),
        (
            "flock /run/a.lock -c 'curl -s example.com/a >/dev/null'",
            {"method": "GET", "options": {"overlap": "queue"}},
        ),
        (
            "wget -qO/dev/null --post-data x=1 example.com/a",
            {"method": "POST", "body": "x=1", "headers": FORM},
        ),
    ],
)
def test_a_command_becomes_the_same_request(
    site: Site, command: str, fields: dict[str, Any]
):
    assert imported(site, command) == {"destination": "http://example.com/a"} | fields


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("/usr/bin/backup", "it is not a curl or wget command"),
        ("curl https://a.example | sh", "it is more than one command"),
        ('curl "https://a.example/$(date)"', "it is more than one command"),
        ("curl https://a.example/?d=$DAY", "needs a shell"),
        ("curl -d @/etc/motd https://a.example", "it reads the file /etc/motd"),
        ("curl -k https://a.example", "option -k not recognized"),
        ("curl -I https://a.example", "it sends HEAD"),
        ("curl -H 'Host: b' https://a.example", "it sets the header Host"),
        ("curl --data-urlencode a@f https://a.example", "it reads the file f"),
        ("/usr/bin/nice curl https://a.example", "it starts curl through nice"),
        ("flock -s lock curl https://a.example", "it shares its lock"),
        ("flock -w 9 lock curl https://a.example", "it waits a limited time"),
        ("flock lock -c 'curl https://a.example | sh'", "more than one command"),
        ("timeout soon curl https://a.example", "'soon' is no duration"),
        ("timeout -x 9 curl https://a.example", "option -x not recognized"),
        ("dump | gzip > dump.gz", "it is not a curl or wget command"),
        ('wget -qO- "https://a.example/?a&b=%41"', "its quotes are wrong"),
        ("curl https://a.example > /tmp/x", "it writes to /tmp/x"),
        ("wget https://a.example", "it saves the response in a file"),
        ("curl 'https://a.example", "its quotes are wrong"),
    ],
)
def test_a_refused_job_has_a_reason_and_does_not_stop_the_rest(
    site: Site, command: str, reason: str
):
    site.file.write_text(f"0 5 * * * {command}\n@daily curl https://b.example/\n")

    result = site.run("import crontab FILE")

    assert result.exit_code == 1
    assert reason in result.output
    assert site.pulled().keys() == {"b-example"}


# The rows of the jobs in jobs.crontab that are no webhooks, and a part of the reason.
REFUSED = {
    21: "HEAD",
    22: "@reboot is no time",
    34: "more than one command",
    35: "needs a shell",
    38: "not a curl or wget command",
    39: "not a curl or wget command",
    41: "not a curl or wget command",
    42: "it writes to /backup/export.gz",
    43: "it writes to /srv/feed.xml",
    44: "option -k",
    47: "it has 2 URLs",
    48: "more than one command",
    49: "option -F",
    50: "HEAD",
    57: "its quotes are wrong",
    58: "'25' is out of range",
    59: "'60' is out of range",
    60: "would never fire",
    61: "needs 5 fields",
}


def test_of_fifty_jobs_each_is_imported_or_has_a_reason(site: Site):
    site.file.write_text(JOBS.read_text())

    result = site.run("import crontab FILE")
    site.requests.clear()
    again = site.run("import crontab FILE")

    rows = re.findall(r"^row (\d+): .*\n  skipped: (.*)", result.output, re.MULTILINE)
    reasons = {int(row): reason for row, reason in rows}
    assert reasons.keys() == REFUSED.keys()
    assert {row for row in REFUSED if REFUSED[row] not in reasons[row]} == set()
    assert len(site.pulled()) == 50 - len(REFUSED)
    # cron runs it on every odd Monday; croniter on odd days and on Mondays.
    assert re.findall(r"row (\d+): .*: compare the runs", result.output) == ["33"]
    assert (again.output.endswith("nothing to change\n"), site.requests) == (True, [])


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        (
            "app-example-com-api-sync",
            {
                "cron": "*/15 8-18 * * 1-5",
                "body": '{"kind":"sync","full":false}',
                "headers": {"Authorization": "Bearer s3cr3t-t0ken"},
            },
        ),
        ("app-example-com-reports", {"body": "title=weekly+report"}),
        ("app-example-com-every-ten", {"cron": "@every 10m"}),
        ("shop-example-com-cron", {"timeout": "30s", "retries": 2}),
        ("app-example-com-locked", {"options": {"overlap": "skip"}}),
        ("app-example-com-limited", {"timeout": "60s"}),
        ("app-example-com-percent", {"body": "100% sure"}),
        ("intranet-example-com-sync", {"cron": "25 6 * * *"}),
        (
            "app-example-com-market-close",
            {"options": {"timeZone": "America/New_York"}, "cron": "0 16 * * 1-5"},
        ),
    ],
)
def test_a_job_among_fifty_keeps_its_request(name: str, fields: dict[str, Any]):
    made = {each.id: each.fields for each in entries_of_jobs()}[name]

    for field, value in fields.items():
        wanted = made[field] | value if isinstance(value, dict) else value
        assert made[field] == wanted


def entries_of_jobs() -> list[Entry]:
    """The schedules of the fifty jobs."""
    made, _ = entries_of(read(JOBS.read_text(), tz="UTC", system=False).jobs, ())
    return made


def test_a_system_crontab_has_a_column_with_a_user(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(imports, "SYSTEM", (site.file,))
    site.file.write_text("0 5 * * * root backup --all\n")

    made = site.run("import crontab FILE --map backup=https://a.example")
    refused = site.run("import crontab FILE")

    assert "no job has the command" in made.output
    assert "row 1: backup --all\n" in refused.output


def test_times_that_cannot_be_schedules_are_refused(site: Site):
    site.file.write_text(
        "@reboot curl https://a.example\n0 25 * * * curl https://a.example\n"
    )

    result = site.run("import crontab FILE")

    assert "@reboot is no time" in result.output
    assert "'25' is out of range" in result.output
    assert site.requests == []


def test_variables_of_the_crontab_apply_to_the_jobs_below_them(site: Site):
    site.file.write_text(
        "MAILTO=a@example.com\n0 1 * * * curl https://a.example\n"
        'CRON_TZ=Asia/Tokyo\nBASE = "https://b.example"\n'
        "@hourly curl -d '$BASE' \"$BASE/x\"\n"
    )

    result = site.run("import crontab FILE")
    pulled = site.pulled()

    assert "row 1: no mail is sent" in result.output
    assert "options" not in pulled["a-example"]
    assert pulled["b-example-x"]["destination"] == "https://b.example/x"
    assert pulled["b-example-x"]["body"] == "$BASE"
    assert pulled["b-example-x"]["options"] == {"timeZone": "Asia/Tokyo"}


def test_an_import_that_is_repeated_changes_nothing(site: Site):
    site.file.write_text("0 5 * * * curl -u me:pw https://a.example/\n")

    site.run("import crontab FILE")
    site.requests.clear()
    again = site.run("import crontab FILE")

    assert (again.output, site.requests) == ("nothing to change\n", [])


def test_no_file_removes_what_is_imported(site: Site):
    site.file.write_text("0 5 * * * curl https://a.example/\n")
    site.run("import crontab FILE")
    site.file.write_text("schedules: []")

    assert site.run("schedules apply FILE --prune").output == "nothing to change\n"


def test_a_dry_run_sends_nothing(site: Site):
    site.file.write_text("0 5 * * * curl https://a.example/\n")

    result = site.run("import crontab FILE --dry-run")

    assert (result.output, site.requests) == ("+ create qstash a-example\n", [])


def test_a_written_file_has_variables_in_place_of_secrets(site: Site):
    site.file.write_text("0 5 * * * curl -u me:pw https://a.example/\n")
    output = site.file.with_suffix(".yaml")

    result = site.run(f"import crontab FILE --output {output}")
    site.file = output
    applied = site.run("schedules apply FILE", A_EXAMPLE_AUTHORIZATION="Basic x")

    assert "set A_EXAMPLE_AUTHORIZATION to the value" in result.output
    assert "${A_EXAMPLE_AUTHORIZATION}" in output.read_text()
    assert applied.exit_code == 0


def test_a_lock_of_two_jobs_is_no_overlap_of_one_schedule(site: Site):
    site.file.write_text(
        "0 5 * * * flock -n a.lock curl https://a.example/\n"
        "0 6 * * * flock -n a.lock backup --all\n"
        "0 7 * * * flock -n b.lock curl https://b.example/\n"
    )

    result = site.run("import crontab FILE")

    assert "row 2 has the same lock" in result.output
    assert site.pulled().keys() == {"b-example"}


def test_a_map_gives_a_command_its_url(site: Site):
    site.file.write_text("0 5 * * * backup\n")

    made = site.run("import crontab FILE --map backup=https://a.example/backup")
    wrong = site.run("import crontab FILE --map other=https://a.example/")

    assert made.exit_code == 0
    assert site.pulled()["a-example-backup"]["cron"] == "0 5 * * *"
    assert "no job has the command of 'other=https" in wrong.output


def test_runs_that_are_read_differently_are_compared(site: Site):
    site.file.write_text(
        "0 5 */2 * 1 curl https://a.example/\n0 5 1 * * curl https://b.example/\n"
    )

    result = site.run("import crontab FILE --dry-run")

    assert "row 1: 0 5 */2 * 1 in UTC: compare the runs" in result.output
    assert result.output.count(" 05:00") == 40
    assert "row 2" not in result.output


def account(variables: dict[str, str]) -> QStash:
    return QStash(variables["QSTASH_TOKEN"], base_url=variables["QSTASH_URL"])


def fill(source: QStash) -> None:
    """Create a URL group, a queue, and schedules that use them."""
    endpoints = [{"url": "https://a.example/"}, {"url": "https://b.example/"}]
    source.url_group.upsert_endpoints("all", endpoints=endpoints)
    source.queue.upsert("slow", parallelism=3)
    source.queue.pause("slow")
    source.schedule.create(
        destination="https://a.example/",
        cron="CRON_TZ=Asia/Tokyo 0 9 * * *",
        schedule_id="tokyo",
        body="x",
        headers={"Authorization": "Bearer s3cret"},
        queue="slow",
    )
    source.schedule.create(destination="all", cron="@daily", schedule_id="to-all")
    source.schedule.pause("to-all")


def test_an_account_is_copied_once(site: Site):
    fill(account(site.other))
    command = f"import qstash --from-url {site.other['QSTASH_URL']} --from-token"

    shown = site.run(f"{command} {site.other['QSTASH_TOKEN']} --dry-run")
    none = account(site.variables).schedule.list()
    first = site.run(f"{command} {site.other['QSTASH_TOKEN']}")
    site.requests.clear()
    again = site.run(f"{command} {site.other['QSTASH_TOKEN']}")

    assert (shown.exit_code, none) == (0, [])
    assert (first.exit_code, "s3cret" in first.output) == (0, False)
    assert "next 20 runs of 2 schedules are as croniter reads them" in again.output
    assert again.output.endswith("\nnothing to change\n")
    assert site.requests == []
    here, there = account(site.variables), account(site.other)
    assert here.queue.get("slow").parallelism == 3
    assert here.queue.get("slow").paused
    urls = [each.url for each in here.url_group.get("all").endpoints]
    assert urls == ["https://a.example/", "https://b.example/"]
    for name in ("tokyo", "to-all"):
        copied, original = here.schedule.get(name), there.schedule.get(name)
        assert copied.cron == original.cron
        assert copied.headers == original.headers
        assert copied.paused == original.paused
        assert copied.queue == original.queue
        assert copied.label == original.label


def test_runs_of_an_account_that_are_read_differently_are_compared(site: Site):
    source = account(site.other)
    for name, cron in (
        ("odd", "0 5 */2 * 1"),
        ("same", "CRON_TZ=Asia/Tokyo 0 9 * * *"),
    ):
        source.schedule.create(
            destination="https://a.example/", cron=cron, schedule_id=name
        )
    url, token = site.other["QSTASH_URL"], site.other["QSTASH_TOKEN"]

    result = site.run(f"import qstash --from-url {url} --from-token {token} --dry-run")

    assert "odd: 0 5 */2 * 1 in UTC: compare the runs" in result.output
    assert result.output.count(" 05:00") == 40
    assert "same:" not in result.output
    assert "are as croniter reads them" not in result.output


@pytest.mark.parametrize(
    ("cron", "next_run", "is_same"),
    [
        ("0 9 * * *", "2026-05-01T09:00:00Z", True),
        ("0 9 * * *", "2026-05-01T08:00:00Z", False),
        ("0 9 * * *", "2026-05-02T09:00:00Z", False),
        # It has passed while the schedules were read.
        ("* * * * *", "2026-05-01T07:59:00Z", True),
        ("@every 10m", "2026-05-01T08:03:07Z", True),
    ],
)
def test_the_next_run_of_an_account_is_compared(
    cron: str, next_run: str, is_same: bool
):
    now_ms, next_ms = map(from_iso, ("2026-05-01T08:00:00Z", next_run))

    assert is_next(parse(cron), next_ms, after_ms=now_ms) == is_same


@contextmanager
def foreign_account(schedules: list[dict[str, Any]]) -> Iterator[str]:
    """Context manager that serves an account with schedules; yields its URL."""

    def app(environ: Any, start_response: Any) -> Any:
        found = schedules if environ["PATH_INFO"] == "/v2/schedules" else []
        return Response(json.dumps(found))(environ, start_response)

    server = make_server("127.0.0.1", 0, app)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_another_next_run_of_an_account_is_reported(site: Site):
    schedule = {"destination": "https://a.example/", "cron": "0 9 1 1 *"}
    at_ms = from_iso("2090-01-01T08:00:00Z")
    listed = [
        {**schedule, "scheduleId": "early", "nextScheduleTime": at_ms},
        {**schedule, "scheduleId": "unknown"},
    ]

    with foreign_account(listed) as url:
        result = site.run(f"import qstash --from-url {url} --from-token x --dry-run")

    text = "early: the account runs it next at 2090-01-01T08:00:00.000Z, which is not"
    assert text in result.output
    assert "unknown:" not in result.output
    assert "are as croniter reads them" not in result.output


def test_schedules_with_redacted_values_are_not_copied(site: Site):
    source = account(site.other)
    fill(source)
    redact = {"Upstash-Redact-Fields": "body"}
    source.http.request(
        path="/v2/schedules/https://a.example/",
        method="POST",
        headers={"Upstash-Cron": "@daily", "Upstash-Schedule-Id": "secret"} | redact,
        body="x",
    )

    url, token = site.other["QSTASH_URL"], site.other["QSTASH_TOKEN"]
    result = site.run(f"import qstash --from-url {url}", HOSTED_QSTASH_TOKEN=token)

    assert result.exit_code == 1
    assert "secret\n  skipped: it has redacted values" in result.output
    assert site.pulled().keys() == {"tokyo", "to-all"}
