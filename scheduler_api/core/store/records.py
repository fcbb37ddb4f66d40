"""The fields of stored records: full names and the short codes Redis stores. Pure.

Codes are short to save memory: every event stores them. Only this module and the Lua
module `records` use codes; all other code uses full names.
"""

from collections.abc import Mapping

# A stored record, by field name.
Record = Mapping[str, bytes]


class Fields:
    """The fields of one kind of record: names and stored codes."""

    def __init__(self, **codes: str) -> None:
        self._codes = codes
        self._names = {code.encode(): name for name, code in codes.items()}

    @property
    def names(self) -> Mapping[str, str]:
        """The stored code of each field name."""
        return self._codes

    def code(self, name: str) -> str:
        """The stored code of a field.

        Raises: KeyError.
        """
        return self._codes[name]

    def codes(self, *names: str) -> list[str]:
        """The stored codes of several fields, in order.

        Raises: KeyError.
        """
        return [self._codes[name] for name in names]

    def named(self, record: Mapping[bytes, bytes]) -> dict[str, bytes]:
        """Convert a stored record to field names; skip unknown fields."""
        names = self._names
        return {names[code]: v for code, v in record.items() if code in names}


EVENT = Fields(
    format="f",
    owner="o",
    nonce="x",  # of the call that created the event
    created_ms="c",
    updated_ms="u",
    due_ms="at",  # when the next attempt is due
    first_due_ms="w",  # the first due_ms; set when a retry or wait changes due_ms
    end_ms="end",  # no attempt begins after this time
    deadline_ms="dl",  # time limit of one attempt
    body_revision="b",  # set if the body is large or was edited
    change="ch",  # nonce of the last edit
    attempts="n",
    failures="fl",
    interruptions="in",  # in a row
    token="tok",  # of the running attempt
    interrupted_token="ptok",  # of the last interrupted attempt
    renewable_until_ms="un",  # the lease cannot be renewed after this time
    state="st",  # set when the event has ended
    finished_ms="fin",
    reason="y",  # why it is a dead letter
    cancel_requested_ms="cr",
    journaled="j",
    deduplication_key="m",
    schedule="s",
    revision="rv",  # of the schedule
    strict="sr",  # copied from the schedule
    pauses="pn",  # the schedule's `pauses` when the event was created
    previous="af",  # the occurrence for which this one waits
    following="nx",  # the occurrence that waits for this one
    replay_of="ro",  # the occurrence whose content is sent again
    destination="d",
    gates="g",  # names, in the order in which they are checked
    waits_at="l",  # the gate at which the event waits
    passed_over="ps",  # how often the event was due and its gates did not admit it
    turn_exempt="qx",  # set for a callback: it does not wait for its turn in a queue
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
    # Separated by commas: `<due ms>` or, with jitter, `<due ms>:<fire time ms>`.
    fire_times="times",
    times_ahead="k",  # how many fire times to store
    last_used_ms="last",  # the newest fire time that was used, skipped or missed
    last_fired_ms="lf",  # the newest fire time that created an occurrence
    first_begun_ms="cd",  # when the first attempt began; strict schedules only
    missed="missed",  # how many fire times were missed
    missed_policy="mp",
    missed_limit="mb",
    planning_requested_ms="pl",
    exhausted_since_ms="dry",  # set while no fire time is stored
    delay_ms="dy",  # an occurrence is due this long after its fire time
    jitter_ms="jt",
    start_ms="start",
    end_ms="end",
    runs="max",  # maximum number of runs
    runs_left="left",
    overlap="ov",
    newest_occurrence="open",  # stored only if occurrences may not overlap
    gap="gap",
    fold="fold",
    strict="sr",  # set if a pause or deletion withdraws occurrences (withdrawal.lua)
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
    parallelism_pinned="pp",  # set by hand
    rate_pinned="pr",  # set by hand
    paused_ms="pz",
    # Of a queue:
    last_number="seq",  # acceptance number of the newest event
    check_from="lk",  # the next check starts at this acceptance number
    cancel_until="dp",  # set by a deletion: last acceptance number to cancel
    # Of a destination:
    breaker_open="br",
    closed_until_ms="sh",  # time of the next probe
    probes_failed="bk",
    ramp_since_ms="rp",
    ramp_rate="rr",  # per second at the start of the ramp
    origin="og",  # scheme, host and port; set by a pause, kept while events wait
)
