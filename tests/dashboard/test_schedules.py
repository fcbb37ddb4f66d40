"""Tests of the pages of schedules."""

import pytest
from scheduler_api.core.cron.expression import FULL
from scheduler_api.core.model import (
    Content,
    Gates,
    Overlap,
    Schedule,
    ScheduleOptions,
    ScheduleState,
)
from scheduler_api.core.schedules.schedules import Schedules
from scheduler_api.core.store import audit
from scheduler_api.dashboard.rendering import time_element
from tests.dashboard.browser import OWN_PAGE, Browser, sign_in
from tests.dialects.engine import Engine, Web

DIALECT = "qstash"
SCRIPT = "<script>alert(1)</script>"
CONTENT = Content("https://h/x", b"the body")
RULE = {
    "expression": "0 8 * * 1-5",
    "zone": "Europe/Berlin",
    "url": "https://h/new",
    "retries": "3",
}


def schedules_of(web: Web, now_ms: int | None = None) -> Schedules:
    cell = Engine(web.cell.client, web.cell.prefix).cell_at(now_ms)
    return Schedules(cell, grace_ms=60_000)


def create(
    web: Web,
    expression: str = "0 9 * * *",
    *,
    dialect: str = DIALECT,
    content: Content = CONTENT,
    now_ms: int | None = None,
    tz: str = "UTC",
    name: str = "",
    **options: object,
) -> Schedule:
    return schedules_of(web, now_ms).create(
        *(web.owner(dialect), content),
        expression=expression,
        tz=tz,
        grammar=FULL,
        deadline_ms=1_000,
        name=name,
        options=ScheduleOptions(**options),  # type: ignore[arg-type]
    )


def stored(web: Web, schedule: Schedule) -> Schedule:
    return schedules_of(web).get(schedule.owner, schedule.id)


def path_of(schedule: Schedule, action: str = "") -> str:
    return f"/schedules/{schedule.id}{action}"


def test_the_list_and_the_page_say_when_a_schedule_runs(
    web: Web, browser: Browser
) -> None:
    schedule = create(web, name="nightly", tz="Europe/Berlin")

    for page in (browser.text("/schedules"), browser.text(path_of(schedule))):
        assert "nightly" in page
        assert "At 09:00 every day" in page
        assert "https://h/x" in page
    assert "the body" in browser.text(path_of(schedule))
    assert "Europe/Berlin" in browser.text(path_of(schedule))


@pytest.mark.parametrize("dialect", ["qstash", "jiter", "events_v1"])
def test_a_search_by_id_or_name_leads_to_a_schedule(
    web: Web, browser: Browser, dialect: str
) -> None:
    schedule = create(web, dialect=dialect, name="nightly")
    response = browser.client.get("/search?id=nightly")

    assert response.location == path_of(schedule)


def test_a_search_lists_everything_with_the_same_id(web: Web, browser: Browser) -> None:
    first = create(web, name="nightly")
    second = create(web, dialect="jiter", name="nightly")
    page = browser.page("/search?id=nightly")

    assert path_of(first) in page
    assert path_of(second) in page


def test_the_list_is_filtered(web: Web, browser: Browser) -> None:
    create(web, name="shop", content=Content("https://shop.example/x", b""))
    create(web, name="bank", content=Content("https://bank.example/x", b""))

    page = browser.text("/schedules?url=https://shop.example/")
    assert "shop" in page
    assert "bank" not in page
    assert "No schedule matches" in browser.text("/schedules?state=paused")
    assert "bank" in browser.text("/schedules?state=unknown&after=x")


def test_the_list_is_filtered_by_queue(web: Web, browser: Browser) -> None:
    create(web, name="queued", gates=Gates("mail"))
    create(web, name="free")
    page = browser.page("/schedules?queue=mail")

    assert "queued" in page
    assert "free" not in page
    assert 'name="queue" value="mail"' in page
    assert "No schedule matches" in browser.text("/schedules?queue=mai")


def test_the_list_is_filtered_by_label_owner_and_tag(
    web: Web, browser: Browser
) -> None:
    options = {"e": "ann@example.com", "t": ["billing"]}
    create(web, name="one", content=Content("https://h/x", b"", {"l": ["reports"]}))
    event = Content("https://h/v1", b"{}", options)
    create(web, dialect="events_v1", content=event)

    assert "one" in browser.text("/schedules?label=reports")
    for label in ("ann@example.com", "billing"):
        page = browser.text(f"/schedules?label={label}")
        assert "https://h/v1" in page
        assert "https://h/x" not in page
    assert "No schedule matches" in browser.text("/schedules?label=report")


def test_next_runs_are_marked_where_the_clock_changes(
    web: Web, browser: Browser
) -> None:
    schedule = create(web, "30 2 * 3 0", tz="Europe/Berlin")
    every_hour = create(web, "30 2 28 3 *", tz="Europe/Berlin")

    assert "clocks go forward from 02:00 to 03:00" in browser.text(path_of(schedule))
    assert "Next runs" in browser.text(path_of(every_hour))


def test_the_next_runs_end_with_the_schedule(web: Web, browser: Browser) -> None:
    schedule = create(web, "* * * * *", max_runs=3)
    page = browser.page(path_of(schedule)).partition("Last runs")[0]

    assert page.partition("Next runs")[2].count("<time") == 3
    assert "3 of 3" in browser.text(path_of(schedule))


def test_an_interval_is_counted_from_the_last_run(web: Web, browser: Browser) -> None:
    schedule = create(web, "@every 90s")
    page = browser.page(path_of(schedule)).partition("Next runs")[2]
    first = stored(web, schedule).times_ms[0]

    assert str(time_element(first)) in page


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "missed: no ticker or worker took it in time"),
        ({"overlap": Overlap.SKIP}, "skipped: the run before it had not ended"),
    ],
)
def test_the_page_says_why_a_run_did_not_happen(
    web: Web, browser: Browser, options: dict[str, object], reason: str
) -> None:
    now_ms = web.cell.now_ms() // 3_600_000 * 3_600_000 - 3_600_000
    schedule = create(web, "* * * * *", now_ms=now_ms, **options)
    engine = Engine(web.cell.client, web.cell.prefix)
    if options:
        engine.offer(now_ms=now_ms + 60_000)
        engine.offer(now_ms=now_ms + 120_000)
    else:
        engine.offer(now_ms=now_ms + 240_001)

    page = browser.text(path_of(schedule))
    assert f"did not run {reason}" in page


def test_fire_times_during_a_pause_have_a_reason(web: Web, browser: Browser) -> None:
    now_ms = web.cell.now_ms()
    schedule = create(web, "* * * * * *", now_ms=now_ms - 10_000)
    schedules_of(web, now_ms - 5_000).edit(
        schedule, grammar=FULL, state=ScheduleState.PAUSED
    )

    page = browser.text(path_of(schedule))
    assert "did not run skipped: the schedule was paused" in page
    assert "if it is resumed" in page


def test_a_run_by_hand_is_an_event(web: Web, browser: Browser) -> None:
    schedule = create(web)
    response = browser.client.post(path_of(schedule, "/run"), headers=OWN_PAGE)

    assert response.location.startswith("/events/msg_")
    assert "https://h/x" in browser.text(response.location)
    assert "run by hand" in browser.text(path_of(schedule))
    assert audit.newest(web.cell, web.tenant.id, count=1)[0].change.action == (
        "schedule.run"
    )


def test_a_run_that_may_not_overlap_is_refused_in_words(
    web: Web, browser: Browser
) -> None:
    schedule = create(web, overlap=Overlap.SKIP)
    engine = Engine(web.cell.client, web.cell.prefix)
    engine.offer(now_ms=stored(web, schedule).times_ms[0])
    path = path_of(schedule, "/run")
    response = browser.client.post(path, headers=OWN_PAGE)

    assert response.status_code == 409
    assert "has not ended" in response.text


def test_a_schedule_is_paused_and_resumed(web: Web, browser: Browser) -> None:
    schedule = create(web)
    browser.post(path_of(schedule, "/pause"))
    paused = stored(web, schedule).state
    browser.post(path_of(schedule, "/resume"))

    assert paused is ScheduleState.PAUSED
    assert stored(web, schedule).state is ScheduleState.ACTIVE
    [newest, oldest] = audit.newest(web.cell, web.tenant.id, count=2)
    assert (oldest.after, newest.after) == ({"state": "paused"}, {"state": "active"})


@pytest.mark.parametrize("dialect", ["qstash", "jiter", "events_v1"])
def test_an_edit_changes_rule_and_destination(
    web: Web, browser: Browser, dialect: str
) -> None:
    schedule = create(web, dialect=dialect)
    assert 'value="0 9 * * *"' in browser.page(path_of(schedule, "/edit"))
    assert browser.post(path_of(schedule, "/edit"), **RULE) == 303

    edited = stored(web, schedule)
    assert (edited.expression, edited.tz) == ("0 8 * * 1-5", "Europe/Berlin")
    assert edited.content == Content("https://h/new", b"the body")
    assert audit.newest(web.cell, web.tenant.id, count=1)[0].after == {
        "expression": "0 8 * * 1-5",
        "timeZone": "Europe/Berlin",
    }


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("expression", "0 25 * * *", "the hour goes from 0 to 23"),
        ("expression", "", "needs 5 fields"),
        ("expression", "0 9 * * MON#2", "is not supported"),
        ("expression", "0 9 30 2 *", "would never fire"),
        ("expression", "CRON_TZ=Asia/Tokyo 0 9 * * *", "names the zone Asia/Tokyo"),
        ("zone", "Mars", "unknown time zone"),
        ("url", "ftp://h/x", "must start with http"),
        ("url", "http://127.0.0.1/x", "a loopback address: 127.0.0.1"),
        ("url", "http://169.254.169.254/x", "a blocked address"),
        ("url", "http://localhost/x", "a loopback address"),
    ],
)
def test_a_wrong_field_is_refused_beside_it_and_changes_nothing(
    web: Web, browser: Browser, field: str, value: str, sentence: str
) -> None:
    schedule = create(web)
    response = browser.client.post(
        path_of(schedule, "/edit"),
        data=RULE | {field: value},
        headers=OWN_PAGE,
    )

    assert response.status_code == 400
    assert sentence in response.text.replace("&#39;", "'")
    assert stored(web, schedule) == schedule
    assert audit.newest(web.cell, web.tenant.id, count=1) == []


def test_a_destination_that_is_no_url_stays(web: Web, browser: Browser) -> None:
    schedule = create(web, content=Content("my-group", b""))
    kept = browser.post(path_of(schedule, "/edit"), **(RULE | {"url": "my-group"}))
    other = browser.post(path_of(schedule, "/edit"), **(RULE | {"url": "other"}))

    assert (kept, other) == (303, 400)
    assert stored(web, schedule).content.url == "my-group"


def test_a_deletion_is_confirmed_with_the_number_of_unfinished_events(
    web: Web, browser: Browser
) -> None:
    schedule, strict = create(web), create(web, strict=True)
    for each in (schedule, strict):
        browser.post(path_of(each, "/run"))

    page = browser.text(path_of(schedule, "/delete"))
    assert "1 of its events is unfinished: they are still sent" in page
    assert "they are cancelled too" in browser.text(path_of(strict, "/delete"))
    assert stored(web, schedule) == schedule
    assert browser.post(path_of(schedule, "/delete")) == 303
    assert browser.client.get(path_of(schedule)).status_code == 404
    assert audit.newest(web.cell, web.tenant.id, count=1)[0].change.action == (
        "schedule.delete"
    )


ACTIONS = ("/run", "/pause", "/resume", "/edit", "/delete")


def test_s27_a_schedule_of_another_tenant_does_not_exist(
    web: Web, browser: Browser
) -> None:
    schedule = create(web, name="nightly")
    other = sign_in(web, web.tenants.create("other").token)

    for path in ("", "/edit", "/delete"):
        assert other.client.get(path_of(schedule, path)).status_code == 404
    for action in ACTIONS:
        assert other.post(path_of(schedule, action), **RULE) == 404
    assert other.client.get("/search?id=nightly").status_code == 404
    assert "nightly" not in other.text("/schedules")
    assert stored(web, schedule) == schedule


def test_a_read_only_token_sees_schedules_and_changes_nothing(web: Web) -> None:
    schedule = create(web)
    token = web.tenants.tokens.create(web.tenant.id, "reader", read_only=True)
    browser = sign_in(web, token)

    assert "<button>Run now" not in browser.page(path_of(schedule))
    for action in ACTIONS:
        assert browser.post(path_of(schedule, action), **RULE) == 403
    assert stored(web, schedule) == schedule


def test_an_operator_sees_the_schedules_of_all_tenants(web: Web) -> None:
    schedule = create(web)
    operator = sign_in(web, web.tenants.tokens.create(None, "boss"))

    assert "At 09:00" in operator.text(path_of(schedule))
    assert "Choose a tenant" in operator.text("/schedules")
    assert operator.post(path_of(schedule, "/pause")) == 303
    assert stored(web, schedule).state is ScheduleState.PAUSED


def test_what_tenants_write_in_schedules_is_shown_as_text(
    web: Web, browser: Browser
) -> None:
    content = Content(f"https://h/{SCRIPT}", SCRIPT.encode())
    schedule = create(web, content=content, name=SCRIPT)

    for path in ("", "/edit", "/delete"):
        page = browser.page(path_of(schedule, path))
        assert SCRIPT not in page
        assert "&lt;script&gt;" in page
    assert SCRIPT not in browser.page("/schedules")
    form = dict.fromkeys(RULE, SCRIPT)
    response = browser.client.post(
        path_of(schedule, "/edit"),
        data=form,
        headers=OWN_PAGE,
    )
    assert SCRIPT not in response.text
