"""Makes gunicorn log in the format of the other code."""

import os
import re
from gunicorn.config import Config
from gunicorn.glogging import Logger
from scheduler_api.core import logfmt
from scheduler_api.settings import from_env
from typing import Any

# What a message about a refused request quotes from this request.
_QUOTED = re.compile(r"(Invalid request from [^'\"]*[^'\":\s]):?\s*['\"].*", re.DOTALL)


class GunicornLog(Logger):
    """gunicorn's logger, with the format that the settings name.

    It keeps handlers of its own, because gunicorn logs in the parent process too, and
    before gevent replaces the locks of a worker.
    """

    def setup(self, cfg: Config) -> None:
        """Configure the loggers; gunicorn calls this."""
        super().setup(cfg)
        formatter = logfmt.formatter(from_env(os.environ).log_format)
        for handler in self.error_log.handlers:
            handler.setFormatter(formatter)

    def warning(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Log a warning, without the text of a refused request, which may be secret."""
        super().warning(_QUOTED.sub(r"\1", str(msg)), *args, **kwargs)
