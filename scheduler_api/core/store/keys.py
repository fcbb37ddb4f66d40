"""Builds the names of all Redis keys of a cell, like the Lua module `keys`.

`prefix` is `{<cell>}:`, so all keys of a cell share one hash tag. Times are in epoch
milliseconds. Each docstring gives the type and the contents of the key, and says what
removes the contents, or that the key expires after a TTL.
"""

# String, the prefix of the only cell that may use this database. Never expires. RQ's
# keys do not contain the prefix, so two cells in one database would share their jobs.
DATABASE_CELL = "rq:cell"


def due(prefix: str) -> str:
    """Sorted set of events, schedules and gates. Score: when the member is due.

    Members: `<event id>` for an event without gates, `~<event id>` for an event with
    gates, `s:<schedule id>`, and `g:<gate>`. A gate is due at its next check.
    """
    return f"{prefix}due"


def leased(prefix: str) -> str:
    """Sorted set of leased events. Score: end of the lease.

    Members: `<event id>` or `~<event id>`, as in `due`.
    """
    return f"{prefix}leased"


def paused_schedules(prefix: str) -> str:
    """Sorted set of ids of paused schedules without an end. Score: time of the pause.

    A paused schedule with an end is in `due` instead, because a claim must end the
    schedule in time.
    """
    return f"{prefix}paused_schedules"


def quarantine(prefix: str) -> str:
    """Sorted set of the events, schedules and gates whose records are unreadable.

    Members: `<event id>`, `s:<schedule id>`, and `g:<gate>`. Score: when a Lua function
    quarantined the member. An operator repairs or deletes the record, and then removes
    the member.
    """
    return f"{prefix}quarantine"


def quarantine_reasons(prefix: str) -> str:
    """Hash of error texts, by member of `quarantine`.

    A field is removed with the member.
    """
    return f"{prefix}quarantine_reasons"


def isolated(prefix: str) -> str:
    """Set of ids of isolated events.

    An event is isolated after two interrupted attempts in a row. Its id is removed when
    an attempt is settled, or when the event ends.
    """
    return f"{prefix}isolated"


def event(prefix: str, event_id: str) -> str:
    """Hash, the record of an event (`records.EVENT`); removed by `forget_events`."""
    return f"{prefix}e:{event_id}"


def body(prefix: str, event_id: str, revision: str = "") -> str:
    """String, the content of an event (`codec`); removed by `forget_events`.

    Large content is written before the event is stored. Until the event is stored, the
    key has a TTL of 600 s.
    """
    return f"{prefix}b:{event_id}{'.' + revision if revision else ''}"


def shared_body(prefix: str, owner: str, name: str) -> str:
    """String, a body that several events share, as content without a URL.

    It is written before the events are stored, with a TTL of 600 s until then; removed
    with the last of them.
    """
    return f"{prefix}sb:{owner}:{name}"


def sharers(prefix: str, owner: str, name: str) -> str:
    """Set of the ids of the events that share a body."""
    return f"{prefix}sbe:{owner}:{name}"


def template(prefix: str, schedule_id: str, revision: str) -> str:
    """String, the content of a schedule's occurrences.

    An edit of the schedule stores a new template. A chore removes the old template when
    no occurrence uses the old template any more.
    """
    return f"{prefix}t:{schedule_id}:{revision}"


def superseded(prefix: str) -> str:
    """Sorted set of replaced templates, as `<schedule id>:<revision>`.

    Score: the time when an edit replaced the template, or when a replay last used the
    template. A chore removes a member together with its template.
    """
    return f"{prefix}superseded"


def log(prefix: str, event_id: str) -> str:
    """Hash of an event's attempts, by number; removed by `forget_events`.

    Value: `<kind> <end ms> <next ms> <JSON>`: the end of this attempt, and the time of
    the next attempt. Kinds: `a` settled, `i` interrupted, `l` settled too late.
    """
    return f"{prefix}log:{event_id}"


def attempt_feed(prefix: str) -> str:
    """Stream of the newest finished attempts, written only while somebody reads it.

    Fields of an entry: `e` event id, `n` number of the attempt. A reader adds an entry
    without an event id to create the key. TTL: 30 s, which the readers renew.
    """
    return f"{prefix}attempt_feed"


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
    """Sorted set of the ids of an owner's schedules that have a search term.

    Score: creation time of the schedule. An edit that removes the term from the
    schedule, or the deletion of the schedule, removes the member.
    """
    return f"{prefix}tm:{owner}:{term}"


def names(prefix: str, owner: str) -> str:
    """Hash of an owner's schedule ids, by the names that the owner gave.

    A field is removed with the schedule.
    """
    return f"{prefix}names:{owner}"


def groups(prefix: str, owner: str) -> str:
    """Hash of an owner's URL groups, by name. A field is removed with the group.

    Values: JSON with `f` format, `c` created ms, `u` updated ms, `e` endpoints (URL and
    name of each), and `d` default settings of messages to the group.
    """
    return f"{prefix}groups:{owner}"


def journal(prefix: str, owner: str) -> str:
    """Stream of the changes of an owner's events.

    Fields of an entry: `e` event id, `k` kind, and `n` number of the attempt. Kinds:
    created, begun, failed, retry, cancel_requested, and the final states. A chore
    removes entries that are older than the retention.
    """
    return f"{prefix}journal:{owner}"


def deduplication(prefix: str, owner: str, name: str) -> str:
    """String, the id of the event or schedule stored with a deduplication key.

    Value: `<id>`, or `<id> <created ms> <digest of the request>`. TTL: the
    deduplication window. If the value has no digest, the key is also removed when the
    event is cancelled or dead, or when the schedule is deleted.
    """
    return f"{prefix}dd:{owner}:{name}"


def erasing(prefix: str, owner: str, schedule_id: str) -> str:
    """String, present while a schedule is being erased. TTL: 30 days.

    Value: the text by which the operator named the schedule.
    """
    return f"{prefix}erasing:{owner}:{schedule_id}"


def requests(prefix: str, owner: str, minute: int) -> str:
    """String, number of requests of an owner in one minute. TTL: 120 s.

    `minute` is the number of full minutes since the epoch.
    """
    return f"{prefix}req:{owner}:{minute}"


def requests_now(prefix: str, tenant: str) -> str:
    """String, number of requests of a limited tenant. TTL: 1 s from the first one."""
    return f"{prefix}rps:{tenant}"


def month(prefix: str, owner: str, month: str) -> str:
    """String, number of an owner's accepted events that are due in a month.

    `month` is `YYYY-MM`. The key expires 32 days after the latest of these events is
    due.
    """
    return f"{prefix}month:{owner}:{month}"


def counts(prefix: str, holder: str, hour: int | str) -> str:
    """Hash of what became of a tenant's attempts in one hour. TTL: 26 h.

    `holder` is the tenant's id, or `operator` for all tenants together. `hour` is the
    number of full hours since the epoch. Fields, all numbers: `d<minute>` and
    `f<minute>`, attempts that delivered or failed in a minute of the hour; `c:<code>`,
    failures by cause; `l<part>:<bucket>`, first attempts by lateness in each twelfth of
    the hour; `late_ms`, the sum of their lateness (`statistics`).
    """
    return f"{prefix}counts:{holder}:{hour}"


def totals(prefix: str) -> str:
    """Hash of what has happened in the cell. Never expires.

    Fields, all numbers that only grow: `delivered`; `failed:<code>`, failures by cause;
    `late:<bucket>`, first attempts by lateness; `late_ms`, the sum of their lateness;
    `duration:<bucket>`, attempts by duration; `duration_ms`, the sum of their
    durations; `created`, events that were stored; `claimed`, offers of events;
    `lost_leases`, attempts whose lease ended (`statistics`).
    """
    return f"{prefix}totals"


def destination_counts(prefix: str, holder: str, hour: int | str) -> str:
    """Hash of what became of a tenant's attempts in one hour, by origin. TTL: 26 h.

    `holder` and `hour` as in `counts`. Value: `<delivered> <failed> <1 if the last
    attempt failed, or 0> <time of the last failure in ms, or 0> <its cause>`. The field
    `` has the attempts of all origins beyond the first 1,000.
    """
    return f"{prefix}destination_counts:{holder}:{hour}"


def queue(prefix: str, gate: str) -> str:
    """Hash, the record of a queue (`records.GATE`); removed with the queue.

    `gate` is `q:<owner>:<name>`.
    """
    return f"{prefix}q:{gate.removeprefix('q:')}"


def order(prefix: str, gate: str) -> str:
    """Sorted set of ids of a queue's unfinished events. Score: acceptance number.

    A callback has the same score as its parent event. An id is removed when its event
    ends.
    """
    return f"{prefix}ql:{gate.removeprefix('q:')}"


def gate(prefix: str, gate: str) -> str:
    """Hash, the record of a gate that is not a queue (`records.GATE`).

    Normally, the record expires two weeks after the last event of the gate. While the
    gate is pinned or paused by hand, the record has no TTL. When the pin or pause of a
    flow-control key ends, the record of its gate gets a TTL of 400 days.
    """
    return f"{prefix}g:{gate}"


def holders(prefix: str, gate: str) -> str:
    """Set of the ids of events that hold a slot of a gate.

    An id is removed when the attempt of the event ends, or when the event ends.
    """
    return f"{prefix}gh:{gate}"


def waiters(prefix: str, gate: str) -> str:
    """Sorted set of ids of events that wait at a gate. Score: first due time.

    An id is removed when the gate admits the event, or when the event ends.
    """
    return f"{prefix}gw:{gate}"


def begins(prefix: str, gate: str) -> str:
    """List of the times at which events of a gate with a rate began their attempts.

    The list contains only the newest times, at most as many as the rate allows in one
    period. TTL: about the period plus one second.
    """
    return f"{prefix}gl:{gate}"


def not_begun(prefix: str, gate: str) -> str:
    """Set of the ids in `holders` whose attempt has not begun.

    Only a gate with a rate has this set. An id is removed when the attempt begins, or
    when the id is removed from `holders`.
    """
    return f"{prefix}gp:{gate}"


def reserved(prefix: str, gate: str) -> str:
    """Set of the ids in `holders` whose events wait at another gate.

    Such an event keeps its slot while it waits. An id is removed when all gates admit
    the event, or when the id is removed from `holders`.
    """
    return f"{prefix}gr:{gate}"


def held_destinations(prefix: str) -> str:
    """Hash of held origins and routes, by gate.

    Value: when the hold began or, for an open breaker, the time of the next probe.
    While an origin or route is held, an attempt begins only if the gate admits the
    event. A check of the gate ends the hold when no event waits at the gate, unless the
    origin is paused or the breaker was used recently.
    """
    return f"{prefix}held_destinations"


def health(prefix: str, gate: str) -> str:
    """Hash of the attempts at an origin or route in a time window.

    Fields: `a<n>`, the number of attempts in part n of the window, `f<n>`, the number
    of failures in this part, `s<n>`, the number of successes, and `delays`, the number
    of responses in a row that asked for a delay. TTL: a little longer than the window.
    """
    return f"{prefix}gf:{gate}"


def routes_of(prefix: str, gate: str) -> str:
    """Sorted set of the tracked routes of an origin. Score: time of the last report.

    `gate` is the gate of the origin; members are digests of routes. TTL: an hour after
    the last report.
    """
    return f"{prefix}gt:{gate}"


def routes(prefix: str) -> str:
    """Sorted set of the gates of all tracked routes. Score: time of the last report.

    TTL: an hour after the last report.
    """
    return f"{prefix}routes"


def waiting_gates(prefix: str) -> str:
    """Set of the gates that are in `due`. Never expires."""
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
    """Set of all owners that have created anything. Never expires.

    Members: `<tenant>:<dialect>`.
    """
    return f"{prefix}owners"


def sequence(prefix: str) -> str:
    """String, the number of the last id that was issued or reserved. Never expires."""
    return f"{prefix}seq"


def issued_id(prefix: str, nonce: str) -> str:
    """String, the id that the call with this nonce assigned to an event. TTL: 60 s.

    If the client repeats the call, the second call finds this id. The deletion of a
    queue also writes such a key, with the gate of the queue as the value.
    """
    return f"{prefix}issued_id:{nonce}"


def last_report(prefix: str, worker: str) -> str:
    """String, the number of a worker's last report, and its answers. TTL: 60 s.

    Value: `<number of the report> <answer>,<answer>,…`. If the worker's client repeats
    the call, the client gets the stored answers.
    """
    return f"{prefix}last_report:{worker}"


def last_claim_at(prefix: str) -> str:
    """String, the time of the last claim. Never expires."""
    return f"{prefix}last_claim_at"


def server(prefix: str) -> str:
    """String, the server process that has the store. Never expires.

    Value: `<run id> <time of the last claim when it took the store over>`. The time is
    '' if the store has always had this server.
    """
    return f"{prefix}server"


def lost_tail(prefix: str) -> str:
    """String, present after the store has lost its newest writes: how many ms of them.

    TTL: an hour. If it has lost more than a minute, the key does not expire; the
    command `accept-store` deletes it.
    """
    return f"{prefix}lost_tail"


def repeats_before(prefix: str) -> str:
    """String, a time in ms. Never expires.

    The store has lost its newest writes: it may not know of deliveries of events that
    were due before this time.
    """
    return f"{prefix}repeats_before"


def clock_step(prefix: str) -> str:
    """String, the last step of the store's clock: the times before and after it, in ms.

    TTL: an hour. If tickers wait for an operator, the key does not expire; the command
    `accept-clock` deletes it.
    """
    return f"{prefix}clock_step"


def turned_away(prefix: str) -> str:
    """Hash: gate of an origin -> the gate at which workers make its events wait.

    TTL: a second after the first of its fields was set.
    """
    return f"{prefix}turned_away"


def rq_full(prefix: str) -> str:
    """String, present while the ticker waits for room in RQ.

    Value: `<max waiting jobs> <RQ's list>`. The first begin that finds room in RQ
    removes the key.
    """
    return f"{prefix}rq_full"


def lease_grace_until(prefix: str) -> str:
    """String, the end of the grace period after the last outage. Never expires.

    During the grace period, no lease of a begun event ends.
    """
    return f"{prefix}lease_grace_until"


def next_check(prefix: str) -> str:
    """String, the time of the tickers' next claim.

    The key is absent if no claim is needed.
    """
    return f"{prefix}next_check"


def full(prefix: str) -> str:
    """String, present while the store refuses new events.

    TTL: 5 s. The ticker renews the key.
    """
    return f"{prefix}full"


def confirmed(prefix: str) -> str:
    """String, written to find out how far disk and replicas are. TTL: a minute."""
    return f"{prefix}confirmed"


def epoch(prefix: str) -> str:
    """String, a nonce that is created when the store is first used. Never expires."""
    return f"{prefix}epoch"


def accepted_epoch(prefix: str) -> str:
    """String, the epoch that an operator accepted after a data loss. Never expires."""
    return f"{prefix}accepted_epoch"


def layout(prefix: str) -> str:
    """String, the number of the layout of keys and records. Never expires.

    See the module `layout`.
    """
    return f"{prefix}layout"


def alive(prefix: str, role: str) -> str:
    """String, the time of the last report of any process of a role. TTL: 5 s."""
    return f"{prefix}alive:{role}"


def processes(prefix: str) -> str:
    """Hash of the processes, by a random id. TTL: a minute after the last report.

    Value: `<ms of the first report> <ms of the last report> <JSON>`. A report of any
    process removes the fields of processes that have not reported for a minute.
    """
    return f"{prefix}processes"


def alerts(prefix: str) -> str:
    """Hash of what operators were told of the state of the cell, by subject (`alerts`).

    Value: `<1 if something is wrong, or 0> <ms of the last message> <its id, or - if it
    is settled> <tries> <ms of the next try> <message in JSON>`. The field `` counts the
    messages of a minute. A field is removed some seconds after its subject is well
    again. Never expires.
    """
    return f"{prefix}alerts"


def chore(prefix: str, name: str) -> str:
    """String, the time when a chore last completed. Never expires."""
    return f"{prefix}chore:{name}"


def wake(prefix: str) -> str:
    """Channel of messages that wake tickers before the time of their next check."""
    return f"{prefix}wake"


def tenant(prefix: str, tenant_id: str) -> str:
    """Hash, the record of a tenant. Never expires.

    Fields: `f` format, `name`, `c` created ms, and, while the tenant is being removed,
    `removed`, the time when that began in ms. For each dialect with secrets, also
    the encrypted secrets (`encryption`), and `<dialect>.rotated`, the time of the last
    rotation in ms. After a rotation, `<secret>.replaced`, encrypted JSON: the replaced
    secrets, each with the time until which deliveries are signed with it.
    `limit.<name>` limits of the tenant that differ from the defaults. `stored.bytes`
    bytes of content that the tenant had when a chore counted them, and `stored.since`
    bytes that were stored later; both only if the bytes are or were limited.
    """
    return f"{prefix}tn:{tenant_id}"


def token(prefix: str, digest: str) -> str:
    """Hash, the record of an API token. Expires only after the token was rotated.

    `digest` is the SHA-256 of the token. Fields: `f` format, `name`, `c` created ms,
    and one of these: `tn` tenant id; `ro` tenant id of a read-only token; `op`, `full`
    or `read`, of an operator's token. Earlier versions know only `f` and `tn`. So they
    refuse a read-only token, and never take it for another one.
    """
    return f"{prefix}tok:{digest}"


def tokens(prefix: str, holder: str) -> str:
    """Sorted set of the digests of a tenant's tokens. Score: created ms.

    `holder` is the tenant's id, or `operator`. A digest is removed when its token is
    revoked, or at the first change after the token has expired.
    """
    return f"{prefix}tokens:{holder}"


def sign_in(prefix: str, digest: str) -> str:
    """String, what an address that signs in stands for. TTL: 10 min.

    Value: `<digest of the token> <tenant to see>`. `digest` is the SHA-256 of the
    secret in the address. The key is removed when somebody signs in with it.
    """
    return f"{prefix}sign_in:{digest}"


def signed_out(prefix: str, session: str) -> str:
    """String, present after somebody signed out. TTL: the longest life of a session."""
    return f"{prefix}signed_out:{session}"


def audit(prefix: str, holder: str) -> str:
    """Stream of the newest 1,000 changes that people made to a tenant's objects.

    `holder` is the tenant's id, or `operator`. Fields of an entry: `by`, `action`,
    `object`, and `before` and `after` as JSON (`audit`). Removed with the tenant.
    """
    return f"{prefix}audit:{holder}"


def letter_job(prefix: str, tenant_id: str, job_id: str) -> str:
    """Hash, a job that retries or deletes dead letters. TTL: 30 days from its last use.

    Fields: those of `recovery.letter_jobs.LetterJob`. The calls that retry or delete
    the letters count them in the field `done`.
    """
    return f"{prefix}letter_job:{tenant_id}:{job_id}"


def letter_jobs(prefix: str, tenant_id: str) -> str:
    """Sorted set of the ids of a tenant's jobs. Score: creation time.

    TTL: 30 days from the last creation.
    """
    return f"{prefix}letter_jobs:{tenant_id}"


def letter_job_lease(prefix: str, tenant_id: str, job_id: str) -> str:
    """String, a random name of the process that works on a job. TTL: 15 s."""
    return f"{prefix}letter_job_lease:{tenant_id}:{job_id}"


def open_letter_jobs(prefix: str) -> str:
    """Sorted set of all jobs that have work left, as `<tenant id>:<job id>`.

    Score: creation time. A member is removed when its job is done, stopped or gone.
    """
    return f"{prefix}open_letter_jobs"


def tenants(prefix: str) -> str:
    """Sorted set of tenant ids. Score: the tenant's number. Never expires."""
    return f"{prefix}tenants"


def removed(prefix: str, tenant_id: str) -> str:
    """String, exists while a tenant is being removed, and for a day afterwards.

    Nothing is stored for such a tenant, also not by requests that began before.
    """
    return f"{prefix}removed:{tenant_id}"


def rotated(prefix: str) -> str:
    """String, a nonce that each rotation of signing keys replaces. Never expires."""
    return f"{prefix}rotated"


def applications(prefix: str) -> str:
    """Hash of tenant ids, by the name of a registered application. Never expires."""
    return f"{prefix}applications"


def tenant_sequence(prefix: str) -> str:
    """String, the number of the newest tenant. Never expires."""
    return f"{prefix}tnseq"
