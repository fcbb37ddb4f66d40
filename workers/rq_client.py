"""The client for RQ's own commands, which know no setting but the store's URL."""

import os
import redis
import sys
from dataclasses import replace
from scheduler_api.core.settings.engine import SettingsError
from scheduler_api.core.store import connection
from scheduler_api.settings import from_env
from typing import Any


class StoreClient(connection.StoreClient):
    """A client that takes Sentinel URLs, and follows the settings for TLS."""

    @classmethod
    def from_url(cls, url: str, **options: Any) -> redis.Redis:
        """Return a client, which connects on first use.

        If a setting is wrong, end the process with the reason.
        """
        try:
            settings = from_env(os.environ)
        except SettingsError as err:
            sys.exit(str(err))
        return super().from_url(replace(settings, redis_url=url).store_url, **options)
