"""Makes gunicorn log in the format of the other code."""

import os
import re
from collections import Counter
from collections.abc import Mapping
from gunicorn.config import Config
from gunicorn.glogging import Logger
from scheduler_api.core import logfmt
from scheduler_api.core.log_limit import LogLimit, describe
from scheduler_api.settings import from_env
from typing import Any

# Malformed requests are logged up to this often in a minute, and then counted.
REFUSED_PER_MINUTE = 10

_REFUSED = "Invalid request"
# What a message about a refused request quotes from this request.
_QUOTED = re.compile(r"(Invalid request from [^'\"]*[^'\":\s]):?\s*['\"].*", re.DOTALL)


class GunicornLog(Logger):
    """gunicorn's logger, with the format that the settings name.

    It keeps handlers of its own, because gunicorn logs in the parent process too, and
    before gevent replaces the locks of a worker.
    """

    def __init__(self, cfg: Config) -> None:
        self._limit = LogLimit(
            limit=REFUSED_PER_MINUTE, period_s=60, sum_up=self._sum_up
        )
        super().__init__(cfg)

    def setup(self, cfg: Config) -> None:
        """Configure the loggers; gunicorn calls this."""
        super().setup(cfg)
        formatter = logfmt.formatter(from_env(os.environ).log_format)
        for handler in self.error_log.handlers:
            handler.setFormatter(formatter)

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log a warning, without the text of a refused request, which may be secret."""
        text = str(msg)
        if text.startswith(_REFUSED) and not self._limit.admits("", "refused"):
            return
        super().warning(_QUOTED.sub(r"\1", text), *args, **kwargs)

    def _sum_up(self, left_out: Mapping[str, Counter[str]]) -> None:
        for counts in left_out.values():
            super().warning(f"{_REFUSED}: {describe(counts)}")
