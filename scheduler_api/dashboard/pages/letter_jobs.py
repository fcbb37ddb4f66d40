"""The pages of jobs that retry or delete all dead letters that match a filter."""

from collections.abc import Sequence
from dataclasses import replace
from flask import Response, abort, request, url_for
from scheduler_api.core.errors import NotFound
from scheduler_api.core.queries.letters import Letters
from scheduler_api.core.recovery.letter_jobs import (
    DEFAULT_RATE,
    MAX_RATE,
    Action,
    JobState,
    LetterJob,
    LetterJobs,
)
from scheduler_api.dashboard.letter_filters import (
    chosen_filters,
    described_filters,
    letter_filter,
)
from scheduler_api.dashboard.parameters import integer
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from scheduler_api.web.access import by
from scheduler_api.web.tenant_limits import describe_refusal

ACTION, RATE = "action", "rate"
BAD_RATE = f"Choose a rate from 1 to {MAX_RATE} per second"
NO_FILTER = "all dead letters"
# After this time without a sign of a worker, the page says what to check.
PATIENCE_MS = 5_000


class LetterJobPages:
    """Creates, shows and stops the jobs of the tenant that a viewer sees."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._services = services
        self._dialects = dialects
        self._letters = Letters(services.cell, outbound.LABELS)
        self._jobs = LetterJobs(services.cell)

    def ask(self, viewer: Viewer) -> Response:
        """Count what matches, and ask whether to retry or delete all of it."""
        return self._ask(viewer)

    def create(self, viewer: Viewer) -> Response:
        """Store a job for all that matches."""
        rate = integer(request.form.get(RATE, ""), highest=MAX_RATE)
        if viewer.tenant is None:
            abort(404)
        if rate is None:
            return self._ask(viewer, 400, problem=BAD_RATE)
        wanted = letter_filter()
        job = self._jobs.create(
            viewer.tenant,
            _action(),
            wanted,
            rate=rate,
            expected=self._letters.count(viewer.owners(self._dialects), wanted),
            by=by(),
        )
        return _to(job)

    def all(self, viewer: Viewer) -> Response:
        """List the jobs of the last 30 days, newest first."""
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        jobs = self._jobs.all_of(viewer.tenant)
        filters = {job.id: _described(job) for job in jobs}
        return page("letter_jobs.html", jobs=jobs, filters=filters)

    def show(self, viewer: Viewer, job_id: str) -> Response:
        """Show a job and its progress."""
        job = self._find(viewer, job_id)
        now_ms = self._services.cell.now_ms()
        is_running = job.state is JobState.RUNNING
        seen_ms = job.updated_ms or job.created_ms
        is_idle = now_ms - seen_ms > PATIENCE_MS and not self._jobs.is_leased(job)
        return page(
            "letter_job.html",
            job=job,
            is_running=is_running,
            waits=is_running and is_idle,
            filters=_described(job),
            refusal=describe_refusal(job.refused) if job.refused else "",
        )

    def stop(self, viewer: Viewer, job_id: str) -> Response:
        """Stop a job; nothing happens if it does not run."""
        job = self._find(viewer, job_id)
        if job.state is JobState.RUNNING:
            self._jobs.stop(job, by=by())
        return _to(job)

    def resume(self, viewer: Viewer, job_id: str) -> Response:
        """Continue a stopped job; nothing happens if it is not stopped."""
        job = self._find(viewer, job_id)
        if job.state is JobState.STOPPED:
            self._jobs.resume(job, by=by())
        return _to(job)

    def _ask(self, viewer: Viewer, status: int = 200, *, problem: str = "") -> Response:
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        wanted = letter_filter()
        return page(
            "letter_job_new.html",
            status,
            action=_action(),
            count=self._letters.count(viewer.owners(self._dialects), wanted),
            filters=chosen_filters(),
            described=described_filters(wanted),
            rate=request.values.get(RATE) or DEFAULT_RATE,
            max_rate=MAX_RATE,
            problem=problem,
        )

    def _find(self, viewer: Viewer, job_id: str) -> LetterJob:
        if viewer.tenant is None:
            abort(404)
        try:
            return self._jobs.get(viewer.tenant, job_id)
        except NotFound:
            abort(404)


def _action() -> Action:
    is_delete = request.values.get(ACTION) == Action.DELETE
    return Action.DELETE if is_delete else Action.RETRY


def _described(job: LetterJob) -> list[str]:
    """Return the filter of a job in words, without the time of its creation."""
    time = job.wanted.time
    if time.end_ms == job.created_ms:
        time = replace(time, end_ms=None)
    return described_filters(replace(job.wanted, time=time)) or [NO_FILTER]


def _to(job: LetterJob) -> Response:
    return to_page(url_for("dashboard.letter_job", job_id=job.id))
