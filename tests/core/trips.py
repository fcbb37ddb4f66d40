"""Connections that count how often they go out to the server."""

import redis
import redis.asyncio
from typing import Any


class Trips:
    """Counts what goes out to the server in one write."""

    def __init__(self) -> None:
        self.count = 0


class Counting(redis.Connection):
    """A connection whose owner counts its round trips."""

    def __init__(self, trips: Trips, **options: Any) -> None:
        self.trips = trips
        super().__init__(**options)

    def send_packed_command(self, command: Any, check_health: bool = True) -> None:
        self.trips.count += 1
        super().send_packed_command(command, check_health)


class AsyncCounting(redis.asyncio.Connection):
    """The same for the asynchronous client."""

    def __init__(self, trips: Trips, **options: Any) -> None:
        self.trips = trips
        super().__init__(**options)

    async def send_packed_command(
        self, command: Any, check_health: bool = True
    ) -> None:
        self.trips.count += 1
        await super().send_packed_command(command, check_health)
