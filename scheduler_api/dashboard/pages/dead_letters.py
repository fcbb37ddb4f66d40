"""The page of dead letters: why they failed; retry or delete them."""

from collections.abc import Mapping, Sequence
from flask import Response, request, url_for
from scheduler_api.core import public_ids
from scheduler_api.core.model import Owner
from scheduler_api.core.queries.filters import Target
from scheduler_api.core.queries.letters import LetterFilter, Letters
from scheduler_api.core.queries.positions import Position
from scheduler_api.core.recovery.letter_actions import Handled
from scheduler_api.core.store import audit
from scheduler_api.dashboard.list_parameters import (
    format_position,
    read_position,
    read_span,
)
from scheduler_api.dashboard.rendering import page, to_page
from scheduler_api.dashboard.viewer import Viewer
from scheduler_api.dialects import outbound
from scheduler_api.services import Services
from scheduler_api.web.access import by
from scheduler_api.web.tenant_limits import describe_refusal

# The names in the query of the list.
FILTERS = ("url", "cause", "queue", "label", "from", "to")
URL, CAUSE, QUEUE, LABEL, SINCE, UNTIL = FILTERS
AFTER = "after"
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
        chosen = self._chosen(viewer.tenant, request.form.get(action, ""))
        ids = {
            _value(owner, each): _name(owner, each)
            for owner, listed in chosen.items()
            for each in listed
        }
        if not ids:
            return self._list(viewer, 400, problem=NOTHING_SELECTED)
        if action == DELETE and "sure" not in request.form:
            return page("dead_letters_delete.html", ids=ids, filters=_chosen_filters())
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

    def _chosen(self, tenant: str, value: str) -> dict[Owner, list[str]]:
        """Return the ids of the chosen letters, by their owner."""
        values = request.form.getlist(LETTER) if value == SELECTED else [value]
        chosen: dict[Owner, list[str]] = {}
        for each in list(dict.fromkeys(values))[:MAX_SELECTED]:
            dialect, _, event_id = each.partition(":")
            if dialect in self._dialects and event_id:
                chosen.setdefault(Owner(tenant, dialect), []).append(event_id)
        return chosen

    def _list(
        self, viewer: Viewer, status: int = 200, *, problem: str = "", result: str = ""
    ) -> Response:
        if viewer.tenant is None:
            return page("choose_tenant.html", tenants=self._services.tenants.accounts())
        found = self._letters.page(
            viewer.owners(self._dialects),
            _filter(),
            after=read_position(_values().get(AFTER, "")),
        )
        return page(
            "dead_letters.html",
            status,
            found=found,
            rows=[
                (_value(each.owner, each.id), _name(each.owner, each.id), each)
                for each in found.letters
            ],
            filters={name: _values().get(name, "") for name in FILTERS},
            following=_following(found.next),
            problem=problem,
            result=result or _result(),
        )


def _values() -> Mapping[str, str]:
    return request.form if request.method == "POST" else request.args


def _chosen_filters() -> dict[str, str]:
    """Return what the request filters by, by name; what is empty is left out."""
    return {name: _values()[name] for name in FILTERS if _values().get(name)}


def _filter() -> LetterFilter:
    url, cause, queue, label, since, until = (
        _values().get(name, "").strip() for name in FILTERS
    )
    return LetterFilter(
        time=read_span(since, until),
        target=Target(url, queue),
        cause=cause,
        label=label,
    )


def _following(position: Position | None) -> str:
    """Return the address of the next page; '' at the end."""
    if position is None:
        return ""
    return _address({AFTER: format_position(position)})


def _address(more: Mapping[str, str]) -> str:
    """Return the address of the list with the filters of the request."""
    query = {**_chosen_filters(), **more}
    return url_for("dashboard.dead_letters", **query)  # type: ignore[arg-type]


def _value(owner: Owner, event_id: str) -> str:
    """Return what a form sends for a letter."""
    return f"{owner.dialect}:{event_id}"


def _name(owner: Owner, event_id: str) -> str:
    return public_ids.event_id(owner, event_id)


def _result() -> str:
    """Return what the last action did, which the address of the page says."""
    of = request.args.get(OF, "")
    for action in (RETRY, DELETE):
        done = request.args.get(action, "")
        if done.isdecimal() and of.isdecimal():
            rest = int(of) - int(done)
            return f"{done} {DONE[action]}." + (f" {rest} {OTHERS}." if rest else "")
    return ""
