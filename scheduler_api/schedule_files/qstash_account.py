"""Copies the URL groups and queues of a QStash account to another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from scheduler_api.schedule_files.connection import Connection
from scheduler_api.schedule_files.entries import Fields
from scheduler_api.schedule_files.qstash import VARIABLES
from urllib.parse import quote

# Options that QStash does not have, and that move the next run.
MOVED_BY = ("startDate", "jitter")
PATHS = {"url group": "/v2/topics", "queue": "/v2/queues"}


@dataclass(frozen=True)
class Copy:
    """A URL group or a queue that is to be created or changed.

    Attributes:
        requests: method, path and JSON of each.
    """

    kind: str
    name: str
    requests: tuple[tuple[str, str, Fields], ...]


def connect(variables: Mapping[str, str]) -> Connection:
    """Return a connection to the API of an account."""
    url, token = (variables[name] for name in VARIABLES)
    return Connection(url, header="Authorization", token=f"Bearer {token}")


def copies(source: Connection, target: Connection) -> Iterator[Copy]:
    """Yield the URL groups and queues that the target lacks, or that differ.

    Raises: ApiError.
    """
    for kind, path in PATHS.items():
        there = source.send("GET", path) or []
        here = {each["name"]: each for each in target.send("GET", path) or []}
        requests_of = _group if kind == "url group" else _queue
        for each in there:
            requests = tuple(requests_of(each, here.get(each["name"], {})))
            if requests:
                yield Copy(kind, each["name"], requests)


def next_runs(source: Connection) -> dict[str, int]:
    """Return when an account runs its schedules next, in epoch ms, by id.

    Raises: ApiError.
    """
    return {
        str(each["scheduleId"]): int(each["nextScheduleTime"])
        for each in source.send("GET", "/v2/schedules")
        if each.get("nextScheduleTime") and not any(map(each.get, MOVED_BY))
    }


def _group(there: Fields, here: Fields) -> Iterator[tuple[str, str, Fields]]:
    path = f"/v2/topics/{quote(there['name'])}"
    present = [_endpoint(each) for each in here.get("endpoints") or []]
    wanted = [_endpoint(each) for each in there.get("endpoints") or []]
    missing = [each for each in wanted if each not in present]
    if missing:
        yield "POST", f"{path}/endpoints", {"endpoints": missing}
    headers = there.get("headers") or {}
    if headers and headers != here.get("headers"):
        yield "PATCH", path, {"headers": headers}


def _endpoint(listed: Fields) -> Fields:
    return {name: listed[name] for name in ("name", "url") if listed.get(name)}


def _queue(there: Fields, here: Fields) -> Iterator[tuple[str, str, Fields]]:
    path = f"/v2/queues/{quote(there['name'])}"
    if there["parallelism"] != here.get("parallelism"):
        body = {"queueName": there["name"], "parallelism": there["parallelism"]}
        yield "POST", "/v2/queues", body
    if there.get("paused") and not here.get("paused"):
        yield "POST", f"{path}/pause", {}
