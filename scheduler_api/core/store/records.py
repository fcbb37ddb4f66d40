"""How records are stored: the short codes of their fields. Pure.

Codes are memory: a million events hold each of them. They stand here and in the Lua
module `records`; everybody else names fields in full.
"""

from collections.abc import Mapping

# A stored record by the names of its fields.
Record = Mapping[str, bytes]


class Fields:
    """The fields of one kind of record: names and stored codes."""

    def __init__(self, **codes: str) -> None:
        self._codes = codes
        self._names = {code.encode(): name for name, code in codes.items()}

    @property
    def names(self) -> Mapping[str, str]:
        """The stored code of each name."""
        return self._codes

    def code(self, name: str) -> str:
        """The stored code of a field.

        Raises: KeyError.
        """
        return self._codes[name]

    def codes(self, *names: str) -> list[str]:
        """The stored codes of some fields, in their order.

        Raises: KeyError.
        """
        return [self._codes[name] for name in names]

    def named(self, record: Mapping[bytes, bytes]) -> dict[str, bytes]:
        """A stored record by names; fields of later versions are left out."""
        names = self._names
        return {names[code]: v for code, v in record.items() if code in names}


# `due_ms`: when it is wanted; `first_due_ms` once a retry moved that. `deadline_ms`: of
# an attempt. `body_revision`: if its body is large or edited. `change`: name of the
# last edit. `interruptions`: in a row. `token`, `lost_token`: of the live, the
# interrupted begin; `renewable_until_ms` no renewal passes. `state`: the final one.
# `reason`: of a dead letter. `schedule`, `revision`: what made it. `strict`: its
# schedule withdraws what it made before a pause; `pauses`: how often that was paused
# before. `previous`, `following`: the occurrences that it waits for, that waits for it.
# `run_again`: the occurrence that it sends again. `gates`: in the order of their
# checks; `waits_at`: the one whose line it is in; `passes`: how often it was passed
# over. `turn_exempt`: a callback waits for no turn.
EVENT = Fields(
    format="f",
    owner="o",
    nonce="x",
    created_ms="c",
    updated_ms="u",
    due_ms="at",
    first_due_ms="w",
    end_ms="end",
    deadline_ms="dl",
    body_revision="b",
    change="ch",
    attempts="n",
    failures="fl",
    interruptions="in",
    token="tok",
    lost_token="ptok",
    renewable_until_ms="un",
    state="st",
    finished_ms="fin",
    reason="y",
    cancel_requested_ms="cr",
    journaled="j",
    deduplication_key="m",
    schedule="s",
    revision="rv",
    strict="sr",
    pauses="pn",
    previous="af",
    following="nx",
    run_again="ro",
    destination="d",
    gates="g",
    waits_at="l",
    passes="ps",
    turn_exempt="qx",
)
# `fire_times`: the next ones, comma-separated, `<due ms>:<ms>` where jitter makes them
# differ; `times_ahead`: how many are wanted. `last_used_ms`: newest fire time used or
# dropped; `last_fired_ms`: newest used. `missed`: how many were dropped.
# `dry_since_ms`: it has no fire time since. `delay_ms`: from a fire time to its
# occurrence. `runs`, `runs_left`: fire times in all, still left. `newest`: occurrence,
# if none may overlap. `last_begun_ms`: when an attempt first began, if it is strict.
# `search_terms`: separated by blanks. `gates`: of its occurrences, each with the limits
# that it brings.
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
    deadline_ms="dl",
    fire_times="times",
    times_ahead="k",
    last_used_ms="last",
    last_fired_ms="lf",
    last_begun_ms="cd",
    missed="missed",
    missed_policy="mp",
    missed_bound="mb",
    planning_asked_ms="pl",
    dry_since_ms="dry",
    delay_ms="dy",
    jitter_ms="jt",
    start_ms="start",
    end_ms="end",
    runs="max",
    runs_left="left",
    overlap="ov",
    newest="open",
    gap="gap",
    fold="fold",
    strict="sr",
    pauses="pn",
    journaled="j",
    deduplication_key="m",
    search_terms="ix",
    destination="d",
    gates="g",
)
# `last_number`: of the last acceptance in a queue; `check_from`: number from which
# checks go on; `drop_until`: number up to which a deleted queue's events are cancelled.
# `*_pinned`: set by hand. Of a destination: `closed_until_ms`: time of the next probe;
# `ramp_rate`: per second when the ramp began; `origin`: kept after a pause until no
# event waits.
GATE = Fields(
    created_ms="c",
    updated_ms="u",
    parallelism="p",
    rate="r",
    period_ms="t",
    parallelism_pinned="pp",
    rate_pinned="pr",
    paused_ms="pz",
    last_number="seq",
    check_from="lk",
    drop_until="dp",
    breaker_open="br",
    closed_until_ms="sh",
    probes_failed="bk",
    ramp_since_ms="rp",
    ramp_rate="rr",
    origin="og",
)
