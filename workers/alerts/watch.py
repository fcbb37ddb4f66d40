"""Watches the state of the cell, and sends alerts.

The clock and the chores both watch, so that each notices if the other is gone; neither
delivers events. The store decides who sends a message (`core/store/alerts.py`).
"""

import asyncio
import logging
import orjson
import time
from redis.exceptions import RedisError
from scheduler_api.core import logfmt
from scheduler_api.core.delivery.signing import standard_webhook
from scheduler_api.core.errors import ForeignDatabase, UnknownLayout
from scheduler_api.core.flow_control.held_destinations import HeldDestinations
from scheduler_api.core.store import alerts, keys
from scheduler_api.core.store.alerts import Message
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.connection import connect
from scheduler_api.core.store.epoch import claim_database
from scheduler_api.core.store.processes import read_with_gone
from scheduler_api.core.timestamps import to_iso
from scheduler_api.settings import Settings
from workers import posts, supervision
from workers.alerts.conditions import Limits, Seen, changes
from workers.http_client.failures import Failure

log = logging.getLogger("scheduler.alerts")

INTERVAL_S = 1.0
# After a start or an outage, processes need so long to report.
GRACE_S = 15.0
# How many held origins and routes are examined.
MAX_DESTINATIONS = 500


class AlertWatch:
    """Sends a message when something goes wrong with the cell, or is well again."""

    def __init__(
        self, cell: Cell, settings: Settings, *, grace_s: float = GRACE_S
    ) -> None:
        """
        Args:
            grace_s: for how long no process counts as gone, after a start or an outage.
        """
        self._cell = cell
        self._settings = settings
        self._grace_s = grace_s
        self._began_s = time.monotonic()
        self._secrets = alerts.signing_secrets(settings)
        self._limits = Limits(
            high_water_percent=settings.store_high_water_percent,
            oldest_due_ms=settings.alert_oldest_due_s * 1_000,
        )

    def run(self) -> None:
        """Check every second, also after the store was unreachable."""
        is_checked = False
        while True:
            try:
                if not is_checked:
                    claim_database(self._cell.client, self._cell.prefix)
                    is_checked = True
                self.check()
            except (RedisError, ForeignDatabase, UnknownLayout) as err:
                self._began_s = time.monotonic()
                log.warning(logfmt.line("alerts.not_watched", problem=err))
            time.sleep(INTERVAL_S)

    def check(self) -> None:
        """Send what is to be sent now. Redis: four round trips, more after a change."""
        seen = self._see()
        found = [*changes(seen, self._limits)]
        if not found and not any(m.has_work(seen.now_ms) for m in seen.last.values()):
            return
        if messages := alerts.report(self._cell, found):
            settled = asyncio.run(self._send_all(messages))
            alerts.report(self._cell, settled=settled)

    def _see(self) -> Seen:
        prefix, now_ms = self._cell.prefix, self._cell.now_ms()
        pipe = self._cell.client.pipeline(transaction=False)
        pipe.hgetall(keys.alerts(prefix))
        pipe.hgetall(keys.processes(prefix))
        pipe.info("memory")
        pipe.zrange(keys.due(prefix), 0, 0, withscores=True)
        last, processes, memory, due = pipe.execute()
        held = HeldDestinations(self._cell)
        failing, knows_all_failing = held.failing(limit=MAX_DESTINATIONS)
        has_grace = time.monotonic() - self._began_s < self._grace_s
        found = read_with_gone(processes, now_ms=now_ms)
        return Seen(
            now_ms=now_ms,
            last=alerts.read_last(last),
            processes=None if has_grace else found,
            memory=memory,
            due_ms=int(due[0][1]) if due else None,
            failing=failing,
            knows_all_failing=knows_all_failing,
        )

    async def _send_all(self, messages: list[Message]) -> list[Message]:
        """Send messages at the same time; return those that are not sent again."""
        are_settled = await asyncio.gather(*map(self._send, messages))
        return [each for each, done in zip(messages, are_settled, strict=True) if done]

    async def _send(self, message: Message) -> bool:
        """Send a message; return whether it is not sent again."""
        body = render(message, cell=self._settings.cell)
        headers = standard_webhook(
            self._secrets,
            body,
            message_id=message.id,
            now_ms=int(time.time() * 1_000),
        )
        result = await posts.post(
            self._settings.alert_url, body, self._settings, headers=headers
        )
        notice = {"type": message.notice.type, "what": message.notice.what}
        if posts.is_accepted(result):
            log.info(logfmt.line("alert.sent", **notice))
            return True
        is_hopeless = result.error is Failure.BLOCKED or message.is_last_try
        log.error(
            logfmt.line(
                "alert.not_sent" if is_hopeless else "alert.delayed",
                **notice,
                status=result.status,
                error=result.error,
            )
        )
        return is_hopeless


def render(message: Message, *, cell: str) -> bytes:
    """Return the body of a message."""
    notice = message.notice
    return orjson.dumps(
        {
            "type": notice.type,
            "timestamp": to_iso(message.at_ms),
            "cell": cell,
            "what": notice.what,
            "since": to_iso(notice.since_ms),
            "text": notice.text,
            "command": notice.command or None,
        }
    )


def watch_in_thread(settings: Settings) -> None:
    """Watch in a thread, on a connection of its own, if alerts are wanted."""
    if settings.alert_url:
        cell = Cell(connect(settings.store_url), settings.prefix)
        supervision.run_in_thread(AlertWatch(cell, settings).run, name="alerts")
