"""Builds the names of all Redis keys of a cell, like the Lua module `keys`.

`prefix` is `{<cell>}:`, so all keys of a cell share one hash tag. Times are in epoch
milliseconds. Docstrings give the type, the contents and the lifetime of each key:
its TTL, or what removes it.
"""

# String, the prefix of the one cell that uses this database; permanent. RQ's keys do
# not contain the prefix, so two cells in one database would get each other's envelopes.
DATABASE_CELL = "rq:cell"


def due(prefix: str) -> str:
    """Sorted set of events, schedules and gates. Score: when the member is due.

    Members: `<event id>` for an event without gates, `~<event id>` for an event with
    gates, `s:<schedule id>`, and `g:<gate>`. A gate is due at its next check.
    """
    return f"{prefix}due"


def leased(prefix: str) -> str:
    """Sorted set of leased events; members as in `due`. Score: end of the lease."""
    return f"{prefix}leased"


def paused_schedules(prefix: str) -> str:
    """Sorted set of schedule ids. Score: when the schedule was paused.

    A paused schedule that has an end is in `due` instead, so that a claim can end the
    schedule in time.
    """
    return f"{prefix}paused_schedules"


def quarantine(prefix: str) -> str:
    """Sorted set of events, schedules and gates that a function could not read.

    Members as in `due`, without `~`. Score: when the member was quarantined. An
    operator removes members after repairing or deleting the record.
    """
    return f"{prefix}quarantine"


def quarantine_reasons(prefix: str) -> str:
    """Hash of error texts, by member of `quarantine`; removed with the member."""
    return f"{prefix}quarantine_reasons"


def isolated(prefix: str) -> str:
    """Set of ids of isolated events; an id is removed when its event settles or ends.

    An event is isolated after two interrupted attempts in a row.
    """
    return f"{prefix}isolated"


def event(prefix: str, event_id: str) -> str:
    """Hash, the record of an event (`records.EVENT`); removed by `forget_events`."""
    return f"{prefix}e:{event_id}"


def body(prefix: str, event_id: str, revision: str = "") -> str:
    """String, the content of an event (`codec`); removed by `forget_events`.

    Content that is written before its event is stored has a TTL of 600 s until then.
    """
    return f"{prefix}b:{event_id}{'.' + revision if revision else ''}"


def template(prefix: str, schedule_id: str, revision: str) -> str:
    """String, the content of a schedule's occurrences.

    After an edit has replaced the template, and no occurrence uses the old template any
    more, a chore removes the old template.
    """
    return f"{prefix}t:{schedule_id}:{revision}"


def superseded(prefix: str) -> str:
    """Sorted set of replaced templates, as `<schedule id>:<revision>`.

    Score: when the template was replaced, or last used for a replay. A chore removes
    members together with their templates.
    """
    return f"{prefix}superseded"


def log(prefix: str, event_id: str) -> str:
    """Hash of an event's attempts, by number; removed by `forget_events`.

    Value: `<kind> <ended ms> <next ms> <JSON>`; `next` is the next attempt. Kinds: `a`
    settled, `i` interrupted, `l` settled too late.
    """
    return f"{prefix}log:{event_id}"


def schedule(prefix: str, schedule_id: str) -> str:
    """Hash, a schedule's record (`records.SCHEDULE`); removed with the schedule."""
    return f"{prefix}s:{schedule_id}"


def occurrences(prefix: str, schedule_id: str) -> str:
    """Sorted set of event ids of a schedule's occurrences. Score: first due time.

    `forget_events` removes members.
    """
    return f"{prefix}occ:{schedule_id}"


def skipped(prefix: str, schedule_id: str) -> str:
    """Sorted set of a schedule's newest 1,000 skipped fire times. Score: the fire time.

    Members: `<fire time>:<reason>`. Reasons: missed, overlap, end, paused. TTL: 30 days
    after the last addition.
    """
    return f"{prefix}skipped:{schedule_id}"


def by_time(prefix: str, owner: str, state: str) -> str:
    """Sorted set of an owner's event ids in one state. Score: first due time.

    The set of state `active` contains all unfinished events, including occurrences. The
    sets of final states contain no occurrences. `forget_events` removes members.
    """
    return f"{prefix}ix:{owner}:{state}"


def finished(prefix: str, owner: str, state: str) -> str:
    """Sorted set of an owner's event ids in one final state. Score: time of the end.

    `forget_events` removes members.
    """
    return f"{prefix}fin:{owner}:{state}"


def schedules(prefix: str, owner: str) -> str:
    """Sorted set of an owner's schedule ids. Score: creation time.

    Members are removed with the schedule.
    """
    return f"{prefix}ix:{owner}:schedules"


def search_term(prefix: str, owner: str, term: str) -> str:
    """Sorted set of the owner's schedule ids that have a search term.

    Score: creation time. An edit or deletion of the schedule removes members.
    """
    return f"{prefix}tm:{owner}:{term}"


def names(prefix: str, owner: str) -> str:
    """Hash of an owner's schedule ids, by the names that the owner gave.

    A field is removed with the schedule.
    """
    return f"{prefix}names:{owner}"


def groups(prefix: str, owner: str) -> str:
    """Hash of an owner's URL groups, by name; a field is removed with the group.

    Values: JSON with `f` format, `c`/`u` created/updated ms, `e` endpoints (URL and
    name), and `d` default settings of messages to the group.
    """
    return f"{prefix}groups:{owner}"


def journal(prefix: str, owner: str) -> str:
    """Stream of the changes of an owner's events: `e` id, `k` kind, `n` attempt.

    Kinds: created, begun, failed, retry, cancel_requested, and the final states. A
    chore trims entries older than the retention.
    """
    return f"{prefix}journal:{owner}"


def deduplication(prefix: str, owner: str, name: str) -> str:
    """String, the id of the event or schedule stored with a deduplication key.

    Value: `<id>`, or `<id> <created ms> <digest of the request>` for a key with a
    digest. TTL: the deduplication window. A key without a digest is removed when its
    event is cancelled or dead, or its schedule is deleted.
    """
    return f"{prefix}dd:{owner}:{name}"


def requests(prefix: str, owner: str, minute: int) -> str:
    """String, number of requests of an owner in one minute of the epoch; TTL 120 s."""
    return f"{prefix}req:{owner}:{minute}"


def month(prefix: str, owner: str, month: str) -> str:
    """String, number of an owner's accepted events that are due in a month (`YYYY-MM`).

    TTL: until 32 days after the latest of these events.
    """
    return f"{prefix}month:{owner}:{month}"


def queue(prefix: str, gate: str) -> str:
    """Hash, the record of a queue (`records.GATE`); removed with the queue.

    `gate` is `q:<owner>:<name>`.
    """
    return f"{prefix}q:{gate.removeprefix('q:')}"


def order(prefix: str, gate: str) -> str:
    """Sorted set of the unfinished event ids of a queue. Score: acceptance number.

    The score of a callback is the score of its parent. An id is removed when its event
    ends.
    """
    return f"{prefix}ql:{gate.removeprefix('q:')}"


def gate(prefix: str, gate: str) -> str:
    """Hash, the record of a gate that is not a queue (`records.GATE`).

    TTL: until two weeks after the last event of the gate. A gate that is pinned or
    paused by hand has no TTL. When the pin or pause of a flow-control key ends, the
    record of its gate gets a TTL of 400 days.
    """
    return f"{prefix}g:{gate}"


def holders(prefix: str, gate: str) -> str:
    """Set of the holders of a gate: ids of events that hold a slot of the gate.

    An id is removed when the attempt or the event ends.
    """
    return f"{prefix}gh:{gate}"


def waiters(prefix: str, gate: str) -> str:
    """Sorted set of ids of events that wait at a gate. Score: first due time.

    Members are removed when the gate admits them.
    """
    return f"{prefix}gw:{gate}"


def begins(prefix: str, gate: str) -> str:
    """List of the times at which attempts of a gate with a rate began.

    Contains the newest times, at most as many as the rate allows in one period. TTL:
    about the period plus one second.
    """
    return f"{prefix}gl:{gate}"


def not_begun(prefix: str, gate: str) -> str:
    """Set of ids of holders whose attempt has not begun, for a gate with a rate.

    An id is removed when the attempt begins, or together with the id in `holders`.
    """
    return f"{prefix}gp:{gate}"


def reserved(prefix: str, gate: str) -> str:
    """Set of ids of holders that reserve their slot while they wait at another gate.

    An id is removed when all gates admit the event, or together with the id in
    `holders`.
    """
    return f"{prefix}gr:{gate}"


def held_destinations(prefix: str) -> str:
    """Hash of the times since which destinations are held, by gate of the destination.

    Every begin checks the gate of a held destination. When no event waits at the gate,
    a check removes the field, unless the destination is paused.
    """
    return f"{prefix}held_destinations"


def health(prefix: str, gate: str) -> str:
    """Hash of a destination's attempts and failures in a time window.

    Fields: `a<n>` and `f<n>`, the number of attempts and of failures in part n of the
    window. TTL: the length of the window.
    """
    return f"{prefix}gf:{gate}"


def waiting_gates(prefix: str) -> str:
    """Set of the gates that are in `due`; permanent."""
    return f"{prefix}waiting_gates"


def queues(prefix: str, owner: str) -> str:
    """Sorted set of an owner's queue names. Score: creation time.

    Members are removed with the queue.
    """
    return f"{prefix}queues:{owner}"


def flow_keys(prefix: str, owner: str) -> str:
    """Sorted set of an owner's flow-control keys. Score: last change of their limits.

    A listing or a chore removes the flow-control keys whose gate has expired.
    """
    return f"{prefix}flow_keys:{owner}"


def owners(prefix: str) -> str:
    """Set of all owners (`<tenant>:<dialect>`) that created anything; permanent."""
    return f"{prefix}owners"


def sequence(prefix: str) -> str:
    """String, the number of the last id that was issued or reserved; permanent."""
    return f"{prefix}seq"


def issued_id(prefix: str, nonce: str) -> str:
    """String, the id that a creation with this nonce assigned; TTL 60 s.

    If the client repeats the call, the second call finds this id. The deletion of a
    queue also stores its nonce here, with the gate of the queue as the value.
    """
    return f"{prefix}issued_id:{nonce}"


def last_report(prefix: str, worker: str) -> str:
    """String, a worker's last report and the answers to it; TTL 60 s.

    Value: `<number of the report> <answer>,<answer>,…`. If the worker's client repeats
    the call, the client gets the stored answers.
    """
    return f"{prefix}last_report:{worker}"


def last_claim_at(prefix: str) -> str:
    """String, the time of the last claim; permanent."""
    return f"{prefix}last_claim_at"


def rq_full(prefix: str) -> str:
    """String, present while the ticker waits for room in RQ.

    Value: `<max waiting jobs> <RQ's list>`. The first begin that finds room in RQ
    removes the key.
    """
    return f"{prefix}rq_full"


def lease_grace_until(prefix: str) -> str:
    """String, the time until which leases of begun events do not end; permanent."""
    return f"{prefix}lease_grace_until"


def next_check(prefix: str) -> str:
    """String, the time when the tickers will next claim; absent if nothing is due."""
    return f"{prefix}next_check"


def full(prefix: str) -> str:
    """String, present while new events are refused; TTL 5 s, renewed by the ticker."""
    return f"{prefix}full"


def epoch(prefix: str) -> str:
    """String, a nonce made when the store is first used; permanent."""
    return f"{prefix}epoch"


def accepted_epoch(prefix: str) -> str:
    """String, the epoch that an operator accepted after a data loss; permanent."""
    return f"{prefix}accepted_epoch"


def layout(prefix: str) -> str:
    """String, the number of the layout of keys and records (`layout`); permanent."""
    return f"{prefix}layout"


def alive(prefix: str, role: str) -> str:
    """String, the time of the last heartbeat of any process of a role; TTL 5 s."""
    return f"{prefix}alive:{role}"


def chore(prefix: str, name: str) -> str:
    """String, the time when a chore last completed; permanent."""
    return f"{prefix}chore:{name}"


def wake(prefix: str) -> str:
    """Channel of messages that wake tickers before the time of their next check."""
    return f"{prefix}wake"


def tenant(prefix: str, tenant_id: str) -> str:
    """Hash, a tenant; permanent.

    Fields: `f` format, `name`, `c` created ms; for each dialect with secrets, the
    encrypted secrets (`encryption`) and `<dialect>.rotated`, ms of the last rotation.
    """
    return f"{prefix}tn:{tenant_id}"


def token(prefix: str, digest: str) -> str:
    """Hash, an API token; `digest` is the token's SHA-256; permanent.

    Fields: `f` format, `tn` tenant id.
    """
    return f"{prefix}tok:{digest}"


def tenants(prefix: str) -> str:
    """Sorted set of tenant ids. Score: the tenant's number; permanent."""
    return f"{prefix}tenants"


def rotated(prefix: str) -> str:
    """String, a nonce that each rotation of signing keys replaces; permanent."""
    return f"{prefix}rotated"


def applications(prefix: str) -> str:
    """Hash of tenant ids, by the name of a registered application; permanent."""
    return f"{prefix}applications"


def tenant_sequence(prefix: str) -> str:
    """String, the number of the newest tenant; permanent."""
    return f"{prefix}tnseq"
