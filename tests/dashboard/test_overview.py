"""Tests of the overview: whether anything is late, fails or is held."""

import asyncio
from collections import Counter
from scheduler_api.core.store import statistics
from scheduler_api.core.store.statistics import Counts, bucket_of
from tests.dashboard.browser import Browser, sign_in
from tests.dialects.engine import Web
from tests.sync_worker import AwaitableClient
from typing import Any, cast


def count(web: Web, counts: Counts) -> None:
    """Count attempts of the tenant, as a worker does."""
    client = cast(Any, AwaitableClient(web.cell.client))
    asyncio.run(statistics.add(web.cell, client, {web.tenant.id: counts}))


def began(*late_ms: int) -> Counts:
    """First attempts that began so late."""
    return Counts(late=Counter(map(bucket_of, late_ms)), late_ms=sum(late_ms))


def test_the_overview_says_that_nothing_is_late(web: Web, browser: Browser) -> None:
    before = browser.text("/overview")
    count(web, began(*[3] * 98, 90, 90))

    assert "Nothing is late. No event began in the last" in before
    text = browser.text("/overview")
    assert "Nothing is late. Half of 100 events in the last" in text
    assert "began within 5 ms, and 99 % within 100 ms." in text


def test_the_overview_says_how_late_events_begin(web: Web, browser: Browser) -> None:
    count(web, began(*[3] * 98, 4_000, 400_000))
    text = browser.text("/overview")

    assert "Some events begin late." in text
    assert "within 5 ms, and 99 % within 5.0 s." in text


def test_each_tenant_sees_its_own_lateness(web: Web) -> None:
    other = sign_in(web, web.tenants.create("other").token)
    operator = sign_in(web, web.tenants.tokens.create(None, "boss"))
    count(web, began(400_000))

    assert "No event began" in other.text("/overview")
    assert "within more than 5 min" in operator.text("/overview")
