"""How gunicorn runs the web process; `gunicorn -c python:scheduler_api.gunicorn_conf`.

gunicorn takes every name below that is a setting of its own. A wrong environment ends
it with the message of `SettingsError`.
"""

import os
from scheduler_api.core import gc_tuning
from scheduler_api.settings import from_env

_settings = from_env(os.environ)
_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host

bind = f"{_host}:{_settings.port}"
workers = _settings.web_workers
worker_class = "scheduler_api.web.gunicorn_worker.WebWorker"
proc_name = "scheduler_api web"
preload_app = False

# Destinations stand in the path and forwarded headers are many. The line has gunicorn's
# own ceiling: the next step, 0, lets anybody fill the memory with one line.
limit_request_line = 8190
limit_request_field_size = 16_384
limit_request_fields = 500

graceful_timeout = 10
timeout = 60
# Node, httpx and others keep an idle connection for 5 s: were it closed here as early,
# they would now and then send into one that is just being closed.
keepalive = 7
accesslog = None
loglevel = "warning"


def post_worker_init(_worker: object) -> None:
    """The application is loaded."""
    gc_tuning.collect_rarely()
