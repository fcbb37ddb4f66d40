"""The page of dead letters: why they failed; retry or delete them."""

from collections.abc import Mapping, Sequence
from flask import Response, abort, request, url_for
from scheduler_api.core import public_ids
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.heads import read_records
from scheduler_api.core.queries.letters import Letters
from scheduler_api.core.queries.positions import (
    Position,
    format_position,
    read_number,
    read_position,
)
from scheduler_api.core.recovery.letter_actions import Handled
from scheduler_api.core.recovery.letter_jobs import JobState, LetterJob, LetterJobs
from scheduler_api.core.store import audit
from scheduler_api.core.store.records import EVENT
from scheduler_api.dashboard.letter_filters import (
    FILTERS,
    chosen_filters,
    letter_filter,
    values,
)
from scheduler_api.dashboard.list_parameters import AFTER
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from scheduler_api.web.access import by
from scheduler_api.web.tenant_limits import describe_refusal

# The names in the form of the list. A button has the id of its letter, or SELECTED.
RETRY, DELETE, LETTER, SELECTED = "retry", "delete", "letter", "selected"
MAX_SELECTED = 200
NOTHING_SELECTED = "Select the dead letters first, with the boxes on their left"
OF = "of"
DONE = {RETRY: "sent again", DELETE: "deleted"}
OTHERS = "were no dead letters any more, or cannot be read"
ACTIONS = {RETRY: "dead_letters.retry", DELETE: "dead_letters.delete"}


class DeadLetterPages:
    """Shows and changes the dead letters of the tenant that a viewer sees."""

    def __init__(self, services: Services, dialects: Sequence[str]) -> None:
        self._services = services
        self._dialects = dialects
        self._letters = Letters(services.cell, outbound.LABELS)
        self._jobs = LetterJobs(services.cell)

    def all(self, viewer: Viewer) -> Response:
        """List dead letters, the newest first."""
        return self._list(viewer)

    def act(self, viewer: Viewer) -> Response:
        """Retry or delete one letter, or those that are selected.

        Before letters are deleted, a page asks whether to do so.
        """
        if viewer.tenant is None:
            return self._list(viewer)
        action = DELETE if DELETE in request.form else RETRY
        named = self._named(viewer.tenant, request.form.get(action, ""))
        if not named:
            return self._list(viewer, 400, problem=NOTHING_SELECTED)
        chosen = self._owned(named)
        ids = {
            _value(owner, each): _name(owner, each)
            for owner, listed in chosen.items()
            for each in listed
        }
        if not ids:
            abort(404)
        if action == DELETE and "sure" not in request.form:
            return page("dead_letters_delete.html", ids=ids, filters=chosen_filters())
        names = ", ".join(ids.values())
        change = audit.Change(viewer.tenant, by(), ACTIONS[action], names)
        cell = self._services.cell
        audit.write(cell, change, before={"state": "dead"}, after=None)
        handled = self._handle(action, chosen)
        if handled.refused:
            problem = describe_refusal(handled.refused)
            result = f"{handled.done} of {len(ids)} {DONE[action]}."
            return self._list(viewer, 409, problem=problem, result=result)
        return to_page(_address({action: str(handled.done), OF: str(len(ids))}))

    def _handle(self, action: str, chosen: Mapping[Owner, Sequence[str]]) -> Handled:
        actions, handled = self._services.letter_actions, Handled()
        act = actions.retry if action == RETRY else actions.delete
        for owner, ids in chosen.items():
            handled += act(owner, ids)
        return handled

    def _named(self, tenant: str, value: str) -> list[tuple[Owner, str]]:
        """Return the owners and the ids of the letters that the form names."""
        listed = request.form.getlist(LETTER) if value == SELECTED else [value]
        pairs = (each.partition(":")[::2] for each in dict.fromkeys(listed))
        named = [
            (Owner(tenant, dialect), event_id)
            for dialect, event_id in pairs
            if dialect in self._dialects and event_id
        ]
        return named[:MAX_SELECTED]

    def _owned(self, named: Sequence[tuple[Owner, str]]) -> dict[Owner, list[str]]:
        """Return the ids that belong to events of their owner, by owner."""
        ids = (event_id for _, event_id in named)
        found = dict(read_records(self._services.cell, ids, EVENT.codes("owner")))
        chosen: dict[Owner, list[str]] = {}
        for owner, event_id in named:
            if found.get(event_id, {}).get("owner") == str(owner).encode():
                chosen.setdefault(owner, []).append(event_id)
        return chosen

    def _running(self, tenant: str) -> list[LetterJob]:
        jobs = self._jobs.all_of(tenant)
        return [each for each in jobs if each.state is JobState.RUNNING]

    def _list(
        self, viewer: Viewer, status: int = 200, *, problem: str = "", result: str = ""
    ) -> Response:
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        found = self._letters.page(
            viewer.owners(self._dialects),
            letter_filter(),
            after=read_position(values().get(AFTER, "")),
        )
        return page(
            "dead_letters.html",
            status,
            found=found,
            rows=[
                (_value(each.owner, each.id), _name(each.owner, each.id), each)
                for each in found.letters
            ],
            filters={name: values().get(name, "") for name in FILTERS},
            chosen=chosen_filters(),
            running=self._running(viewer.tenant),
            following=_following(found.next),
            problem=problem,
            result=result or _result(),
        )


def _following(position: Position | None) -> str:
    """Return the address of the next page; '' at the end."""
    if position is None:
        return ""
    return _address({AFTER: format_position(position)})


def _address(more: Mapping[str, str]) -> str:
    """Return the address of the list with the filters of the request."""
    query = {**chosen_filters(), **more}
    return url_for("dashboard.dead_letters", **query)  # type: ignore[arg-type]


def _value(owner: Owner, event_id: str) -> str:
    """Return what a form sends for a letter."""
    return f"{owner.dialect}:{event_id}"


def _name(owner: Owner, event_id: str) -> str:
    return public_ids.event_id(owner, event_id)


def _result() -> str:
    """Return what the last action did, which the address of the page says."""
    of = read_number(request.args.get(OF, ""))
    for action in (RETRY, DELETE):
        done = read_number(request.args.get(action, ""))
        if done is not None and of is not None:
            rest = of - done
            return f"{done} {DONE[action]}." + (f" {rest} {OTHERS}." if rest else "")
    return ""
