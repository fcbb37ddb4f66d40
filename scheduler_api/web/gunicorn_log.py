"""Makes gunicorn log like the other code: same handler, same format."""

from gunicorn.config import Config
from gunicorn.glogging import Logger


class GunicornLog(Logger):
    """gunicorn's logger, without handlers of its own."""

    def setup(self, cfg: Config) -> None:
        """Configure the loggers; gunicorn calls this."""
        super().setup(cfg)
        for log in (self.error_log, self.access_log):
            log.handlers.clear()
            log.propagate = True
