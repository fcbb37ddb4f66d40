"""Redis connections that count their round trips to the server."""

import redis
import redis.asyncio
from typing import Any


class RoundTrips:
    """A counter of round trips: each write to the server begins one round trip."""

    def __init__(self) -> None:
        self.count = 0


class CountingConnection(redis.Connection):
    """A connection that counts its round trips in `trips`."""

    def __init__(self, trips: RoundTrips, **options: Any) -> None:
        self.trips = trips
        super().__init__(**options)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self.trips.count += 1
        super().send_packed_command(command, check_health)


class AsyncCountingConnection(redis.asyncio.Connection):
    """An asynchronous connection that counts its round trips in `trips`."""

    def __init__(self, trips: RoundTrips, **options: Any) -> None:
        self.trips = trips
        super().__init__(**options)

    async def send_packed_command(
        self, command: Any, check_health: bool = True
    ) -> None:
        self.trips.count += 1
        await super().send_packed_command(command, check_health)
