"""Tests of schedules in a file, through the command line and a web application."""

import pytest
import requests
import yaml
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from qstash import QStash
from tests.commands.web_site import Site, serve
from typing import Any

REPORT = {
    "id": "report",
    "api": "qstash",
    "destination": "https://example.com/report?a=1",
    "cron": "CRON_TZ=Europe/Berlin 0 8 * * *",
    "method": "put",
    "headers": {"content-type": "text/plain", "Authorization": "Bearer ${TOKEN}"},
    "body": "costs $${5}",
    "retries": 5,
    "retryDelay": "1000 * retried",
    "delay": "1m30s",
    "timeout": "30s",
    "callback": "https://example.com/back",
    "callbackHeaders": {"x-from": "report"},
    "failureCallback": "https://example.com/failed",
    "queue": "reports",
    "flowControl": {"key": "example", "rate": 5, "period": "1m"},
    "labels": ["daily"],
    "options": {"overlap": "skip", "jitter": "1m30s", "maxRuns": 7},
}
CLEANUP = {
    "id": "cleanup",
    "api": "jiter",
    "destination": "https://example.com/cleanup",
    "expression": "*/5 * * * *",
    "payload": "x",
    "options": {"timeZone": "Europe/Berlin", "endDate": "2090-01-01T00:00:00Z"},
    "paused": True,
}
REMIND = {
    "id": "remind",
    "api": "v1",
    "callbackUrl": "https://example.com/remind",
    "interval": "0 9 * * *",
    "eventOwner": "a@example.com",
    "endDate": "2090-01-01T00:00:00Z",
    "context": {"user": 1},
    "tags": ["prod"],
    "options": {"missedRuns": "skip"},
}
ALL = [REPORT, CLEANUP, REMIND]


@pytest.fixture
def site(
    valkey: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    monkeypatch.setenv("TOKEN", "s3cret")
    with serve(valkey, tmp_path / "schedules.yaml", monkeypatch) as site:
        yield site


def write(site: Site, *entries: dict[str, Any]) -> None:
    site.file.write_text(yaml.safe_dump({"schedules": entries}))


def test_a_file_that_is_applied_twice_changes_nothing(site: Site):
    write(site, *ALL)

    first = site.run("schedules apply FILE")
    site.requests.clear()
    second = site.run("schedules apply FILE --prune")

    assert (first.exit_code, first.output) == (
        0,
        "+ create qstash report\n+ create jiter cleanup\n+ create v1 remind\n"
        "3 done, 0 failed\n",
    )
    assert (second.exit_code, second.output) == (0, "nothing to change\n")
    assert site.requests == []
    assert site.run("schedules diff FILE").exit_code == 0


def test_a_pulled_file_has_what_was_applied(site: Site):
    write(site, *ALL)
    site.run("schedules apply FILE")

    pulled = site.pulled()

    assert pulled["report"]["body"] == "costs $${5}"
    assert pulled["report"]["labels"] == ["daily"]
    assert pulled["report"]["queue"] == "reports"
    assert pulled["cleanup"]["destination"] == "https://example.com/cleanup"
    assert pulled["cleanup"]["paused"] is True
    assert pulled["remind"]["tags"] == ["prod"]


def test_a_pulled_file_has_no_secrets_and_is_what_is_there(site: Site):
    write(site, *ALL)
    site.run("schedules apply FILE")
    output = site.run("schedules pull FILE").output + site.file.read_text()
    secret = {"REPORT_AUTHORIZATION": "Bearer s3cret"}

    assert "s3cret" not in output
    assert site.run("schedules diff FILE", **secret).output == "nothing to change\n"


@pytest.mark.parametrize(
    ("entry", "field", "value"),
    [
        (REPORT, "retries", 2),
        (REPORT, "headers", {"X-New": "1"}),
        (REPORT, "options", {}),
        (CLEANUP, "payload", "other"),
        (CLEANUP, "paused", False),
        (CLEANUP, "options", {"overlap": "queue"}),
        (REMIND, "interval", "0 10 * * *"),
        (REMIND, "options", {}),
        (REMIND, "paused", True),
    ],
)
def test_a_changed_field_is_changed_in_the_api(
    site: Site, entry: dict[str, Any], field: str, value: object
):
    write(site, entry)
    site.run("schedules apply FILE")
    write(site, entry | {field: value})

    shown = site.run("schedules diff FILE")
    applied = site.run("schedules apply FILE")

    assert (shown.exit_code, applied.exit_code) == (1, 0)
    assert f"    {field}" in shown.output
    assert site.run("schedules apply FILE").output == "nothing to change\n"
    assert len(site.pulled()) == 1


def test_a_changed_secret_is_sent_but_not_printed(site: Site):
    write(site, REPORT)
    site.run("schedules apply FILE")

    changed = site.run("schedules apply FILE", TOKEN="another")

    assert "headers.Authorization: (secret) -> (secret)" in changed.output
    assert "another" not in changed.output
    again = site.run("schedules apply FILE", TOKEN="another")
    assert again.output == "nothing to change\n"


def test_redacted_values_are_the_same_as_those_of_the_file(site: Site):
    write(site, REPORT | {"redact": ["body", "header[Authorization]"]})
    site.run("schedules apply FILE")

    assert site.run("schedules apply FILE").output == "nothing to change\n"
    assert site.pulled()["report"]["body"] == "${REPORT_BODY}"


def test_headers_that_deliveries_set_themselves_are_no_changes(site: Site):
    headers = {"User-Agent": "cron/1", "Host": "b.example", "X-A": "b"}
    write(site, REPORT | {"headers": headers})

    site.run("schedules apply FILE")

    assert site.run("schedules diff FILE").output == "nothing to change\n"


def test_default_headers_of_a_url_group_are_no_changes(site: Site):
    client = QStash(
        site.variables["QSTASH_TOKEN"], base_url=site.variables["QSTASH_URL"]
    )
    client.url_group.upsert_endpoints("all", endpoints=[{"url": "https://a.example"}])
    requests.patch(
        f"{site.variables['QSTASH_URL']}/v2/topics/all",
        headers={"Authorization": f"Bearer {site.variables['QSTASH_TOKEN']}"},
        json={"headers": {"Upstash-Forward-X-A": ["1"], "Upstash-Retries": ["7"]}},
        timeout=10,
    ).raise_for_status()
    entry = {"id": "group", "api": "qstash", "destination": "all", "cron": "@daily"}
    write(site, entry)
    site.run("schedules apply FILE")

    again = site.run("schedules apply FILE")
    write(site, entry | {"options": {"overlap": "skip"}})

    assert site.pulled()["group"]["retries"] == 7
    assert again.output == "nothing to change\n"
    assert "options.overlap: (none) -> skip" in site.run("schedules diff FILE").output


def test_a_pulled_file_has_no_finished_events(
    site: Site, wait_until: Callable[..., float]
):
    url = f"{site.variables['SCHEDULER_API']}/v1/events"
    key = {"x-api-key": site.variables["SCHEDULER_API_TOKEN"]}
    end = datetime.now(UTC) + timedelta(seconds=1)
    names = ("callbackUrl", "interval", "eventOwner")
    body = {name: REMIND[name] for name in names} | {"endDate": end.isoformat()}
    requests.post(url, headers=key, json=body, timeout=10).raise_for_status()

    def is_finished() -> bool:
        [event] = requests.get(url, headers=key, timeout=10).json()["data"]
        return bool(event["status"] == "FINISHED")

    wait_until(is_finished)

    assert site.pulled() == {}


def test_a_dry_run_sends_nothing(site: Site):
    write(site, *ALL)

    result = site.run("schedules apply FILE --dry-run")

    assert result.output.startswith("+ create qstash report\n")
    assert site.requests == []


def test_pruning_removes_only_what_came_from_a_file(site: Site):
    write(site, *ALL)
    site.run("schedules apply FILE")
    create_by_hand(site)
    write(site, REPORT)

    plain = site.run("schedules apply FILE")
    kept = site.run("schedules apply FILE --prune", answer="n\n")
    sent = list(site.requests)
    removed = site.run("schedules apply FILE --prune", answer="y\n")

    assert plain.output == "nothing to change\n"
    assert "- remove jiter cleanup\n- remove v1 remind\n" in kept.output
    assert not any(each.startswith("DELETE") for each in sent)
    assert removed.exit_code == 0
    assert site.pulled().keys() == {"report", "by-hand"}


def create_by_hand(site: Site) -> None:
    client = QStash(
        site.variables["QSTASH_TOKEN"], base_url=site.variables["QSTASH_URL"]
    )
    client.schedule.create(
        destination="https://example.com/", cron="0 1 * * *", schedule_id="by-hand"
    )


def test_a_refused_schedule_does_not_stop_the_rest(site: Site):
    write(site, CLEANUP | {"expression": "0 25 * * *"}, REMIND)

    result = site.run("schedules apply FILE")

    assert result.exit_code == 1
    assert "Please enter a valid cron expression: " in result.output
    assert "1 done, 1 failed" in result.output
    assert site.pulled().keys() == {"remind"}


def test_a_schedule_made_elsewhere_with_the_same_fields_is_adopted(site: Site):
    write(site, *ALL)
    site.run("schedules apply FILE")
    create_by_hand(site)
    site.run("schedules pull FILE")
    secret = {"REPORT_AUTHORIZATION": "Bearer s3cret"}

    result = site.run("schedules apply FILE", **secret)

    assert result.output == "= adopt qstash by-hand\n1 done, 0 failed\n"
    assert site.run("schedules apply FILE", **secret).output == "nothing to change\n"


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ({"api": "jiter"}, "schedule 1 needs an id"),
        (CLEANUP | {"api": "cron"}, "'api' should be one of qstash, jiter, v1"),
        (CLEANUP | {"cron": "x"}, "cleanup: 'cron' is unknown"),
        (CLEANUP | {"payload": "${MISSING}"}, "the variable MISSING is not set"),
    ],
)
def test_a_wrong_file_is_refused_before_anything_is_sent(
    site: Site, entry: dict[str, Any], fault: str
):
    write(site, entry)

    result = site.run("schedules apply FILE")

    assert (result.exit_code, site.requests) == (1, [])
    assert fault in result.output


def test_the_list_says_what_came_from_a_file(site: Site):
    write(site, CLEANUP)
    site.run("schedules apply FILE")

    _, row = site.run("schedules list").output.splitlines()

    assert " ".join(row.split()) == (
        "jiter 1 cleanup */5 * * * * https://example.com/cleanup paused"
    )
