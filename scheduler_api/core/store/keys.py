"""Every Redis key of a cell, by name; the Lua module `keys` builds the same names.

`prefix` is `{<cell>}:` in every function: one hash tag holds a cell together.
Keys without a TTL say who removes them; all others name theirs.
"""

# String, the prefix of the one cell that this database serves; permanent. RQ's own keys
# bear no cell, so two cells in one database would take each other's envelopes.
DATABASE_CELL = "rq:cell"


def due(prefix: str) -> str:
    """Sorted set; member event id, `s:<schedule id>`; score: ms when it is wanted.

    The id of an event with gates follows a `~`; `g:<gate>` is due for its next check.
    """
    return f"{prefix}due"


def leased(prefix: str) -> str:
    """Sorted set; member event as in `due`; score: ms when its holder loses it."""
    return f"{prefix}leased"


def paused_schedules(prefix: str) -> str:
    """Sorted set; member schedule id; score: ms when it was paused.

    A paused schedule with an end stands in `due` instead, so that it ends by itself.
    """
    return f"{prefix}paused_schedules"


def quarantine(prefix: str) -> str:
    """Sorted set; member as in `due`; score: ms when a function could not read it.

    An operator removes members after mending or deleting the record.
    """
    return f"{prefix}quarantine"


def quarantine_reasons(prefix: str) -> str:
    """Hash; field: member of `quarantine`, value: the error; goes with the member."""
    return f"{prefix}quarantine_reasons"


def isolated(prefix: str) -> str:
    """Set; ids of isolated events; removed when the event settles or ends."""
    return f"{prefix}isolated"


def event(prefix: str, event_id: str) -> str:
    """Hash, the small record of an event (`records.EVENT`); `forget_events` removes it.

    Its line is the place of an event that waits at a gate.
    """
    return f"{prefix}e:{event_id}"


def body(prefix: str, event_id: str, revision: str = "") -> str:
    """String, what is to be sent (`codec`); TTL 600 s until its event exists."""
    return f"{prefix}b:{event_id}{'.' + revision if revision else ''}"


def template(prefix: str, schedule_id: str, revision: str) -> str:
    """String, what a schedule's occurrences send; a chore removes superseded ones."""
    return f"{prefix}t:{schedule_id}:{revision}"


def superseded(prefix: str) -> str:
    """Sorted set; member `<schedule id>:<revision>`; score: ms.

    When it was replaced, or last sent again. A chore removes what no occurrence sends
    any more.
    """
    return f"{prefix}superseded"


def log(prefix: str, event_id: str) -> str:
    """Hash; field: attempt number, value: `<kind> <ended ms> <next ms> <JSON>`.

    Kind `a` settled, `i` interrupted, `l` settled too late. `forget_events` removes it.
    """
    return f"{prefix}log:{event_id}"


def schedule(prefix: str, schedule_id: str) -> str:
    """Hash, the record of a schedule (`records.SCHEDULE`); its deletion removes it."""
    return f"{prefix}s:{schedule_id}"


def occurrences(prefix: str, schedule_id: str) -> str:
    """Sorted set; member occurrence id; score: its fire time in ms; as `by_time`."""
    return f"{prefix}occ:{schedule_id}"


def skipped(prefix: str, schedule_id: str) -> str:
    """Sorted set; member `<fire time>:<reason>`; score: that fire time in ms.

    The newest 1,000; TTL 30 days after the last. Reasons: missed, overlap, end, paused.
    """
    return f"{prefix}skipped:{schedule_id}"


def by_time(prefix: str, owner: str, state: str) -> str:
    """Sorted set; member event id; score: first wanted ms; `forget_events` empties it.

    State `active` holds what is unfinished, the others what ended that way;
    `delete_dead_letters` and `replay_dead_letters` move from `dead` to `cleared`.
    """
    return f"{prefix}ix:{owner}:{state}"


def finished(prefix: str, owner: str, state: str) -> str:
    """Sorted set; member event or occurrence id; score: finished ms; as `by_time`."""
    return f"{prefix}fin:{owner}:{state}"


def schedules(prefix: str, owner: str) -> str:
    """Sorted set; member schedule id; score: created ms; its deletion removes it."""
    return f"{prefix}ix:{owner}:schedules"


def search_term(prefix: str, owner: str, term: str) -> str:
    """Sorted set; member schedule id; score: created ms; goes with an edit or deletion.

    One for each term that any schedule of the owner is found by.
    """
    return f"{prefix}tm:{owner}:{term}"


def names(prefix: str, owner: str) -> str:
    """Hash; field: a schedule's name for its owner, value: its id; goes with it."""
    return f"{prefix}names:{owner}"


def groups(prefix: str, owner: str) -> str:
    """Hash; field: a group's name, value: its record (JSON); goes with the group.

    `f` format, `c`/`u` created/updated ms, `e` endpoints as URL and name, `d` what
    publishing to it goes by where nothing else is said.
    """
    return f"{prefix}groups:{owner}"


def journal(prefix: str, owner: str) -> str:
    """Stream, what happened to events: `e` id, `k` kind, `n` attempt.

    Kinds: created, begun, failed, retry, cancel_requested, and the final states. A
    chore cuts off what is older than the retention.
    """
    return f"{prefix}journal:{owner}"


def deduplication(prefix: str, owner: str, digest: str) -> str:
    """String, id of the event or schedule that a deduplication key stands for.

    TTL its window. A key that answers for a request holds `<id> <created ms> <digest of
    the request>`; any other goes once its event is cancelled or dead, or its schedule
    deleted.
    """
    return f"{prefix}dd:{owner}:{digest}"


def requests(prefix: str, owner: str, minute: int) -> str:
    """String, requests of an owner in one minute of the epoch; TTL 120 s."""
    return f"{prefix}req:{owner}:{minute}"


def month(prefix: str, owner: str, month: str) -> str:
    """String, events accepted for one month, `YYYY-MM`; TTL 32 days past its event."""
    return f"{prefix}month:{owner}:{month}"


def queue(prefix: str, gate: str) -> str:
    """Hash, a queue (`records.GATE`), by the name of its gate `q:<owner>:<name>`.

    Deletion removes it.
    """
    return f"{prefix}q:{gate.removeprefix('q:')}"


def order(prefix: str, gate: str) -> str:
    """Sorted set; member unfinished event id of a queue; score: acceptance number.

    Whatever ends an event removes it; a callback has the number of its parent.
    """
    return f"{prefix}ql:{gate.removeprefix('q:')}"


def gate(prefix: str, gate: str) -> str:
    """Hash, any other gate (`records.GATE`).

    TTL two weeks after its last event, none while it is pinned or paused by hand, 400
    days for a flow-control key that was kept by hand before.
    """
    return f"{prefix}g:{gate}"


def holders(prefix: str, gate: str) -> str:
    """Set; ids of events that hold a slot; go when the attempt or the event ends."""
    return f"{prefix}gh:{gate}"


def waiters(prefix: str, gate: str) -> str:
    """Sorted set; member waiting event id, until admitted; score: first wanted ms."""
    return f"{prefix}gw:{gate}"


def begins(prefix: str, gate: str) -> str:
    """List; ms of the last begins, as many as the rate; TTL its period and a second."""
    return f"{prefix}gl:{gate}"


def not_begun(prefix: str, gate: str) -> str:
    """Set; ids of holders that have not begun; as `holders`."""
    return f"{prefix}gp:{gate}"


def reserved(prefix: str, gate: str) -> str:
    """Set; ids of holders that wait at a later gate; as `holders`."""
    return f"{prefix}gr:{gate}"


def held_destinations(prefix: str) -> str:
    """Hash; field: gate of a destination that holds events back, value: ms since when.

    Checks of the gate remove it, unless it is paused; absent while there is none.
    """
    return f"{prefix}held_destinations"


def health(prefix: str, gate: str) -> str:
    """Hash; `a<n>`/`f<n>`: attempts/failures in part n of time; TTL the window."""
    return f"{prefix}gf:{gate}"


def waiting_gates(prefix: str) -> str:
    """Set; gates that stand in `due`; permanent."""
    return f"{prefix}waiting_gates"


def queues(prefix: str, owner: str) -> str:
    """Sorted set; member queue's name; score: created ms; its deletion removes it."""
    return f"{prefix}queues:{owner}"


def flow_keys(prefix: str, owner: str) -> str:
    """Sorted set; member flow-control key; score: ms of its last change of limits.

    Listing removes what was forgotten, and so does a chore.
    """
    return f"{prefix}flow_keys:{owner}"


def owners(prefix: str) -> str:
    """Set; every `<tenant>:<dialect>` that ever owned anything; permanent."""
    return f"{prefix}owners"


def sequence(prefix: str) -> str:
    """String, the last id number handed out (some in blocks); permanent."""
    return f"{prefix}seq"


def issued_id(prefix: str, nonce: str) -> str:
    """String, id that a creation was given, for its repetition in silence; TTL 60 s.

    Of the deletion of a queue it is the queue's gate.
    """
    return f"{prefix}issued_id:{nonce}"


def last_report(prefix: str, worker: str) -> str:
    """String, a worker's last report: its number, a blank, answers each with a comma.

    For its repetition in silence; TTL 60 s.
    """
    return f"{prefix}last_report:{worker}"


def last_claim_at(prefix: str) -> str:
    """String, ms of the last claim; permanent."""
    return f"{prefix}last_claim_at"


def rq_full(prefix: str) -> str:
    """String, RQ's list that a claim waits for, behind how many jobs it may hold.

    Permanent; a begin that finds room removes it.
    """
    return f"{prefix}rq_full"


def lease_grace_until(prefix: str) -> str:
    """String, ms until which no begun lease may end; permanent."""
    return f"{prefix}lease_grace_until"


def next_check(prefix: str) -> str:
    """String, ms at which the tickers will check again; permanent."""
    return f"{prefix}next_check"


def full(prefix: str) -> str:
    """String, present while intake is refused; TTL 5 s, renewed by the ticker."""
    return f"{prefix}full"


def epoch(prefix: str) -> str:
    """String, made when the store is first used; permanent."""
    return f"{prefix}epoch"


def accepted(prefix: str) -> str:
    """String, the epoch that an operator accepted after a loss of data; permanent."""
    return f"{prefix}accepted"


def layout(prefix: str) -> str:
    """String, the number of the layout of keys and records (`layout`); permanent."""
    return f"{prefix}layout"


def alive(prefix: str, role: str) -> str:
    """String, ms of the last sign of life of any process of a role; TTL 5 s."""
    return f"{prefix}alive:{role}"


def chore(prefix: str, name: str) -> str:
    """String, ms when a chore last ran to its end; permanent."""
    return f"{prefix}chore:{name}"


def wake(prefix: str) -> str:
    """Channel that tickers listen on: something is due before their next check."""
    return f"{prefix}wake"


def tenant(prefix: str, tenant_id: str) -> str:
    """Hash, a tenant; permanent.

    `f` format, `name`, `c` created ms, `qr` ms of the last rotation; encrypted
    (`encryption`): `jiter` signing secret, `qstash_current` and `qstash_next` signing
    keys, `events_v1` signing secret.
    """
    return f"{prefix}tn:{tenant_id}"


def token(prefix: str, digest: str) -> str:
    """Hash, named by the SHA-256 of a token; `f` format, `tn` tenant id; permanent."""
    return f"{prefix}tok:{digest}"


def tenants(prefix: str) -> str:
    """Sorted set; member tenant id; score: its number; permanent."""
    return f"{prefix}tenants"


def rotated(prefix: str) -> str:
    """String, a nonce of the last rotation of any tenant's signing keys; permanent."""
    return f"{prefix}rotated"


def applications(prefix: str) -> str:
    """Hash; field: name of a registered application, value: tenant id; permanent."""
    return f"{prefix}applications"


def tenant_sequence(prefix: str) -> str:
    """String, the last tenant number handed out; permanent."""
    return f"{prefix}tnseq"
