"""`events follow`: prints attempts as they finish."""

import click
import orjson
import time
from collections.abc import Iterator
from redis.exceptions import RedisError
from scheduler_api.commands.attempt_words import attempt_json, attempt_words
from scheduler_api.commands.common import api_of, open_cell, printable, to_seconds
from scheduler_api.commands.environment import pass_settings
from scheduler_api.core import public_ids
from scheduler_api.core.delivery.causes import cause_of
from scheduler_api.core.model import AttemptKind
from scheduler_api.core.queries import followed_attempts
from scheduler_api.core.queries.followed_attempts import FollowedAttempt
from scheduler_api.core.queries.sentences import count
from scheduler_api.core.store.attempt_feed import AttemptFeed, Entry
from scheduler_api.core.store.cell import Cell
from scheduler_api.settings import Settings

# How long the store keeps a read waiting that has nothing to return.
WAIT_MS = 1_000
# The pause between two reads, so that a busy cell is read in batches.
PAUSE_S = 0.25
AWAY_S = 1.0
# How many attempts a read takes, and how many of them are printed.
MAX_READ, MAX_PRINTED = 1_000, 250


@click.command("follow")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@pass_settings
def follow(settings: Settings, /, *, as_json: bool) -> None:
    """Print each attempt when it has finished, until Ctrl-C.

    Each line has the time, the event, the number of the attempt, its result and its
    destination. Up to 1,000 lines per second; then a line says how many are left out.
    """
    cell = open_cell(settings)
    feed = AttemptFeed(cell)
    feed.open()
    try:
        for found, left_out in _batches(cell, feed):
            for each in found:
                _print(each, as_json=as_json)
            if left_out:
                _print_left_out(left_out, as_json=as_json)
    except KeyboardInterrupt:
        return


def _batches(
    cell: Cell, feed: AttemptFeed
) -> Iterator[tuple[list[FollowedAttempt], int]]:
    """Yield what has finished, and how much more; wait while the store is away."""
    is_away, entries = False, list[Entry]()
    while True:
        try:
            entries = entries or feed.read(wait_ms=WAIT_MS, most=MAX_READ)
            found = followed_attempts.read(cell, entries[:MAX_PRINTED])
        except RedisError as err:
            if not is_away:
                click.echo(f"waiting for the store: {err}", err=True)
            is_away = True
            time.sleep(AWAY_S)
            continue
        if is_away:
            click.echo("the store answers again", err=True)
        if entries:
            yield found, max(0, len(entries) - MAX_PRINTED)
            time.sleep(PAUSE_S)
        is_away, entries = False, []


def _print(followed: FollowedAttempt, *, as_json: bool) -> None:
    attempt, content = followed.attempt, followed.content
    event = public_ids.event_id(followed.owner, attempt.event_id)
    if as_json:
        about = {
            "event": event,
            "tenant": followed.owner.tenant,
            "api": api_of(followed.owner),
            "destination": content.url if content else None,
        }
        click.echo(orjson.dumps({**about, **attempt_json(attempt)}))
        return
    url = content.url if content else "unreadable"
    words = [f"attempt {attempt.number}: {attempt_words(attempt)}"]
    has_failed = cause_of(attempt) is not None
    if has_failed and attempt.kind is AttemptKind.SETTLED and not attempt.next_ms:
        words.append("no attempt follows")
    line = "  ".join((to_seconds(attempt.ended_ms), event, "; ".join(words), url))
    click.secho(printable(line), fg="red" if has_failed else None)


def _print_left_out(number: int, *, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps({"leftOut": number}))
    else:
        click.echo(f"and {count(number, 'more attempt')}")
