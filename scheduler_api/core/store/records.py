"""The fields of stored records: their full names, and their short codes in Redis. Pure.

Short codes save memory, because every stored event contains them. Only this module and
the Lua module `records` use codes. All other code uses full names.
"""

from collections.abc import Mapping

# Maps the full field names of a record to the stored values.
Record = Mapping[str, bytes]


class Fields:
    """The fields of one kind of record: the full name and the code of each."""

    def __init__(self, **codes: str) -> None:
        self._codes = codes
        self._names = {code.encode(): name for name, code in codes.items()}

    @property
    def names(self) -> Mapping[str, str]:
        """Maps each full field name to its code."""
        return self._codes

    def code(self, name: str) -> str:
        """Return the code of a field, given its full name.

        Raises: KeyError.
        """
        return self._codes[name]

    def codes(self, *names: str) -> list[str]:
        """Return the codes of several fields, in the order of the given names.

        Raises: KeyError.
        """
        return [self._codes[name] for name in names]

    def named(self, record: Mapping[bytes, bytes]) -> dict[str, bytes]:
        """Replace the codes of a stored record by full names; skip unknown codes."""
        names = self._names
        return {names[code]: v for code, v in record.items() if code in names}


EVENT = Fields(
    format="f",
    owner="o",
    nonce="x",  # nonce of the call that created the event
    created_ms="c",
    updated_ms="u",
    due_ms="at",  # when the next attempt is due
    first_due_ms="w",  # original due_ms; set when a retry or wait changes due_ms
    end_ms="end",  # no attempt begins after this time
    deadline_ms="dl",  # time limit of one attempt
    body_revision="b",  # set if the body is large or was edited
    change="ch",  # nonce of the last edit
    attempts="n",
    failures="fl",
    interruptions="in",  # number of interrupted attempts in a row
    token="tok",  # token of the running attempt
    interrupted_token="ptok",  # token of the last interrupted attempt
    may_repeat="mr",  # set by an interruption: later attempts are possible duplicates
    renewable_until_ms="un",  # the lease cannot be renewed after this time
    state="st",  # set when the event has ended
    finished_ms="fin",
    reason="y",  # why the event ended without a delivery
    cancel_requested_ms="cr",
    journaled="j",
    deduplication_key="m",
    schedule="s",
    revision="rv",  # revision of the schedule
    strict="sr",  # copied from the schedule
    pauses="pn",  # the schedule's `pauses` when the event was created
    previous="af",  # id of the occurrence that must end first
    following="nx",  # id of the occurrence that waits for the end of this one
    replay_of="ro",  # id of the occurrence whose content is sent again
    destination="d",  # digests of origin and route, separated by a dot
    gates="g",  # names, in the order in which they are checked
    waits_at="l",  # the gate at which the event waits
    waits_since_ms="ls",  # since when it waits there, or at another gate of this kind
    passed_over="ps",  # how often the gates did not admit the due event
    turn_exempt="qx",  # set for a callback, which need not wait for its turn in a queue
)
SCHEDULE = Fields(
    format="f",
    owner="o",
    created_ms="c",
    updated_ms="u",
    revision="rv",
    state="st",
    name="nm",
    expression="ex",
    time_zone="tz",
    deadline_ms="dl",  # time limit of one attempt
    # Separated by commas. Each is `<due ms>`, or `<due ms>:<fire time ms>` with jitter.
    fire_times="times",
    times_ahead="k",  # how many fire times are planned ahead
    last_used_ms="last",  # newest fire time that fired, was skipped, or missed
    last_fired_ms="lf",  # newest fire time that created an occurrence
    # When the first attempt of any occurrence began; set only for strict schedules.
    first_begun_ms="cd",
    missed="missed",  # how many fire times were missed
    missed_policy="mp",
    missed_limit="mb",
    planning_requested_ms="pl",
    exhausted_since_ms="dry",  # set while no fire time is stored
    delay_ms="dy",  # time from the fire time until the occurrence is due
    jitter_ms="jt",
    start_ms="start",
    end_ms="end",
    runs="max",  # maximum number of runs
    runs_left="left",
    overlap="ov",
    newest_occurrence="open",  # event id; set only if occurrences may not overlap
    gap="gap",
    fold="fold",
    strict="sr",  # set if a pause or deletion withdraws occurrences
    pauses="pn",  # how often the schedule was paused
    journaled="j",
    deduplication_key="m",
    search_terms="ix",  # separated by blanks
    destination="d",
    gates="g",  # gates of the occurrences, encoded with limits
)
GATE = Fields(
    created_ms="c",
    updated_ms="u",
    parallelism="p",
    rate="r",
    period_ms="t",
    parallelism_pinned="pp",  # a limit that was set by hand
    rate_pinned="pr",  # a limit that was set by hand
    paused_ms="pz",
    # Fields of queues only.
    last_number="seq",  # acceptance number of the newest event
    check_from="lk",  # the next check starts at this acceptance number
    # Set by a deletion: events up to this acceptance number are to be cancelled.
    cancel_until="dp",
    # Fields of origins and routes only.
    breaker="br",  # `1` open, `s` slowed; during a ramp, the state before the ramp
    closed_until_ms="sh",  # time of the next probe
    probes_failed="bk",
    ramp_since_ms="rp",
    ramp_rate="rr",  # rate per second at the start of the ramp
    trickle_rate="tr",  # rate per second while slowed, and of overdue events while open
    trickle_parallelism="tp",
    # How long events may be held, by dialect: `<dialect>=<ms>`, separated by blanks.
    longest_holds="lh",
    recent="rc",  # outcomes of the last attempts that began while held: `1` or `0`
    since_ms="si",  # when the breaker changed its state
    url="ur",  # the origin or route, for people
    cause="ca",  # how the last attempt failed
    failed_ms="fa",  # when the last attempt failed
    # Scheme, host and port. A pause sets this field. The field stays while events wait.
    origin="og",
)
# The value of `breaker` in the state slowed. The same as in lib/breaker.lua.
SLOWED_BREAKER = b"s"
# The codes of the fields that are set only while a gate holds events back.
CLOSING = GATE.codes("paused_ms", "breaker")
