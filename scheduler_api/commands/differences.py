"""Which settings differ between the processes of a cell."""

import shlex
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from scheduler_api.core.store.processes import Process
from scheduler_api.settings import VARIABLES
from scheduler_api.web.banners import Banner

SECRETS = {v.name for v in VARIABLES if v.mask}
DIFFERS = (
    "{} differs between processes: {}. Restart them with one value, for example that of"
    " the process that was started last"
)
OF_VERSIONS = "Processes have different settings, because their versions differ: {}"
# How many processes with the same value are named.
NAMED = 5

# The processes that have each value; None: it is not set.
Holders = Mapping[str | None, Sequence[Process]]


def differences(found: Sequence[Process]) -> Iterator[Banner]:
    """Yield each setting that differs, with its values; secrets are not shown."""
    if len({each.settings for each in found}) < 2:
        return
    # Older versions do not report their settings.
    reporting = [each for each in found if each.shared]
    names = sorted({name for each in reporting for name in each.shared})
    by_name = {name: _holders(reporting, name) for name in names}
    differing = {name: held for name, held in by_name.items() if len(held) > 1}
    for name, held in differing.items():
        yield _difference(name, held)
    if not differing:
        yield Banner(OF_VERSIONS.format(_listed(found)))


def _holders(found: Sequence[Process], name: str) -> Holders:
    holders = defaultdict[str | None, list[Process]](list)
    for each in sorted(found, key=lambda each: -each.since_ms):
        holders[each.shared.get(name)].append(each)
    return holders


def _difference(name: str, holders: Holders) -> Banner:
    is_secret = name in SECRETS
    groups = [
        f"{_in_words(value, number if is_secret else None)} in {_listed(each)}"
        for number, (value, each) in enumerate(holders.items())
    ]
    newest = next(iter(holders))
    command = f"export {name}={shlex.quote(newest)}" if newest else f"unset {name}"
    text = DIFFERS.format(name, "; ".join(groups))
    return Banner(text, "" if newest and is_secret else command)


def _in_words(value: str | None, number: int | None) -> str:
    """Return a value in words.

    Args:
        number: which of several values of a secret it is; None: it is no secret.
    """
    if value is None:
        return "not set"
    if number is None:
        return value
    return "another value" if number else "one value"


def _listed(found: Sequence[Process]) -> str:
    names = [f"{each.role} {each.pid} on {each.host}" for each in found[:NAMED]]
    more = len(found) - NAMED
    return ", ".join(names) + (f" and {more} more" if more > 0 else "")
