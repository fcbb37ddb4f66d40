"""How records are stored: the short codes of their fields. Pure.

Codes are memory: a million events hold each of them. They stand here and in the Lua
module `records`; everybody else names fields in full.
"""

from collections.abc import Mapping


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
