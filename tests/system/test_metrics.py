"""Tests that Prometheus, as Debian has it, measures what a receiver sees."""

import json
import os
import pytest
import requests
import shutil
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from scheduler_api.core.store.statistics import LATE_BOUNDS_MS, bucket_of
from tests.pages import ROOT
from tests.system.cell import Cell
from tests.system.processes import Process, free_port, wait_until
from typing import Any

pytestmark = pytest.mark.slow

EVENTS = 2_000
RULES = ROOT / "docs" / "prometheus" / "rules.yml"


class Prometheus:
    """A Prometheus server that scrapes one address every second."""

    def __init__(self, folder: Path, target: str) -> None:
        self._url = f"http://127.0.0.1:{free_port()}"
        job = {"job_name": "scheduler", "static_configs": [{"targets": [target]}]}
        interval = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = folder / "prometheus.yml"
        # JSON is YAML.
        config.write_text(
            json.dumps(
                {
                    "global": interval,
                    "scrape_configs": [job],
                    "rule_files": [str(RULES)],
                }
            )
        )
        self.process = Process(
            [
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={self._url.removeprefix('http://')}",
            ],
            environ={"PATH": os.environ["PATH"]},
            log=folder / "prometheus.log",
        )

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data of a response of the API."""
        response = requests.get(f"{self._url}/api/v1/{path}", parameters, timeout=10)
        response.raise_for_status()
        return response.json()["data"]

    def query(self, expression: str) -> dict[str, float]:
        """Return the present values of a query, by bucket."""
        found = self.get("query", query=expression)["result"]
        return {each["metric"].get("le", ""): float(each["value"][1]) for each in found}

    def is_scraping(self) -> bool:
        """Whether the target has answered, and all rules have been evaluated."""
        # While it starts, Prometheus answers 503.
        with suppress(requests.RequestException):
            [group] = self.get("rules")["groups"]
            states = {rule["health"] for rule in group["rules"]}
            return self.query("up") == {"": 1} and states == {"ok"}
        return False


@pytest.fixture
def cell(new_cell: Callable[..., Cell]) -> Cell:
    """A system with a web process that Prometheus can scrape."""
    cell = new_cell(SCHED_METRICS_ADDRESS=f"127.0.0.1:{free_port()}")
    cell.start("web", "ticker", "worker")
    return cell


@pytest.fixture
def prometheus(cell: Cell, tmp_path: Path) -> Iterator[Prometheus]:
    if shutil.which("prometheus") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("prometheus is not installed; CI must scrape with it")
        pytest.skip("needs prometheus")
    server = Prometheus(tmp_path, cell.settings.metrics_address)
    server.process.start()
    try:
        yield server
    finally:
        server.process.kill_tree()


def quantiles(below: Sequence[float]) -> list[int]:
    """The buckets of which 10, 50, 90 and 99 % of the events are in or below."""
    return [bisect_left(below, below[-1] * share) for share in (0.1, 0.5, 0.9, 0.99)]


def test_the_lateness_of_a_burst_is_what_the_receiver_sees_within_a_bucket(
    cell: Cell, prometheus: Prometheus
) -> None:
    wait_until(prometheus.is_scraping)
    start_ms = cell.earliest_start_ms(0) + 1_000
    accepted = cell.create_at({f"event-{n}": start_ms for n in range(EVENTS)})
    cell.wait_drained()
    wait_until(
        lambda: prometheus.query("scheduler_lateness_seconds_count")[""] >= EVENTS
    )

    seen = Counter(map(bucket_of, cell.tally(accepted).late_ms))
    expected = quantiles([*accumulate(seen[i] for i in range(len(LATE_BOUNDS_MS) + 1))])
    buckets = prometheus.query("scheduler_lateness_seconds_bucket")
    measured = quantiles([buckets[le] for le in sorted(buckets, key=float)])
    pairs = zip(measured, expected, strict=True)
    assert all(abs(mine - theirs) <= 1 for mine, theirs in pairs), (buckets, seen)
    assert prometheus.query("scheduler_created_events_total") == {"": EVENTS}
    assert prometheus.query("sum_over_time(up[1m])")[""] > 3
