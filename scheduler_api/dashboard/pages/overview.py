"""The first page: is anything late, failing or held, and what is to be done."""

from collections.abc import Sequence
from flask import Response, current_app, url_for
from scheduler_api.core.delivery.causes import sentence_of
from scheduler_api.core.queries import (
    counts,
    due_times,
    failing,
    held,
    lateness,
    sentences,
)
from scheduler_api.core.queries.held import SLOW, Waiters
from scheduler_api.core.queries.recent_hours import RecentHours, last_hour
from scheduler_api.core.queries.sentences import Sentence
from scheduler_api.core.store.gate_names import DESTINATION, FLOW, HOST
from scheduler_api.core.store.statistics import Hour
from scheduler_api.dashboard import charts
from scheduler_api.dashboard.rendering import page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.services import Services
from scheduler_api.web.banners import banners
from scheduler_api.web.readiness import READINESS, Answer
from typing import NamedTuple

# How many failing destinations are listed.
LISTED = 10


class Linked(NamedTuple):
    """A sentence, and the path of the page that shows more."""

    sentence: Sentence
    path: str


class Overview:
    """Shows the state of a tenant, and of the cell."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._cell = services.cell
        self._dialects = dialects
        self._hours = RecentHours(services.cell)

    def show(self, viewer: Viewer) -> Response:
        """Show the overview. Redis: about ten round trips, less than 2 ms in all."""
        now_ms, tenant = self._cell.now_ms(), viewer.tenant
        owners, answer = viewer.owners(self._dialects), _readiness()
        hours = self._hours.read(tenant, now_ms=now_ms)
        failed = failing.failing(self._cell, tenant, now_ms=now_ms)
        waiting = held.held(self._cell, tenant, owners)
        return page(
            "overview.html",
            answer=answer,
            banners=banners(answer) if viewer.is_operator else [],
            sentences=[
                Linked(
                    sentences.late(
                        lateness.lateness(hours, now_ms=now_ms),
                        self._oldest_ms(viewer, answer, now_ms),
                        waiting=waiting,
                        now_ms=now_ms,
                    ),
                    url_for("dashboard.events", status="due"),
                ),
                Linked(
                    sentences.failing(
                        failed, **last_hour(hours, now_ms=now_ms), now_ms=now_ms
                    ),
                    url_for("dashboard.destinations"),
                ),
                Linked(
                    sentences.held(waiting),
                    gate_path(waiting.fullest[0])
                    if waiting.fullest
                    else url_for("dashboard.queues"),
                ),
            ],
            counts=counts.count(self._cell, owners, now_ms=now_ms) if owners else {},
            charts=self._charts(viewer, hours, now_ms),
            failing=failed[:LISTED],
            held=waiting.fullest,
            words=sentences,
            sentence_of=sentence_of,
            load=sentences.load,
            gate_path=gate_path,
            now_ms=now_ms,
        )

    def _oldest_ms(self, viewer: Viewer, answer: Answer, now_ms: int) -> int | None:
        """Return when the oldest event on view was due that could begin now."""
        if viewer.tenant is None:
            age_ms = answer.oldest_due_ms
            return None if age_ms is None else now_ms - age_ms
        owners = viewer.owners(self._dialects)
        return due_times.oldest_due_ms(self._cell, owners, now_ms=now_ms)

    def _charts(
        self, viewer: Viewer, hours: Sequence[Hour], now_ms: int
    ) -> list[charts.Chart]:
        drawn = [charts.last_day(hours, now_ms=now_ms)]
        if viewer.is_operator:
            due = due_times.next_minutes(self._cell, count=60, now_ms=now_ms)
            drawn.insert(0, charts.next_hour(due))
        return drawn


def gate_path(waiters: Waiters) -> str:
    """Return the address of the page where a gate is shown."""
    if waiters.kind == FLOW:
        return url_for("dashboard.flow_keys")
    if waiters.kind in (DESTINATION, SLOW, HOST):
        return url_for("dashboard.destinations")
    return url_for("dashboard.queues")


def _readiness() -> Answer:
    found: Answer = current_app.extensions[READINESS].check()
    return found
