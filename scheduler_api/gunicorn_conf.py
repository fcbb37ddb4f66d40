"""gunicorn's settings: `gunicorn -c python:scheduler_api.gunicorn_conf`.

gunicorn reads the names in this module that are gunicorn settings, and ignores all
other names. If an environment variable is wrong, or the limit of open files is too low,
gunicorn exits with the message of `SettingsError`.
"""

import os
import threading
import warnings
from scheduler_api.core import gc_tuning, traces
from scheduler_api.settings import from_env
from scheduler_api.web.connections import connections_max
from scheduler_api.web.readiness import EXTENSION, WATCH
from typing import Any

# When gevent replaces the standard library's sockets in a worker, it warns that the
# asynchronous client of redis-py keeps the original ones. The web process does not use
# that client.
warnings.filterwarnings("ignore", "Monkey-patching ssl", RuntimeWarning)

_settings = from_env(os.environ)
_host = f"[{_settings.host}]" if ":" in _settings.host else _settings.host

bind = [f"{_host}:{_settings.port}"]
if _settings.metrics_address:
    bind.append(_settings.metrics_address)
workers = _settings.web_workers
worker_class = "scheduler_api.web.gunicorn_worker.WebWorker"
# Before a process has this many connections, it closes some of them; see `connections`.
worker_connections = connections_max(1_000)
proc_name = "scheduler_api web"
preload_app = False
# Nothing uses gunicorn's socket for commands. Its folder is in the home of the user,
# which a service may not have.
control_socket_disable = True

# These limits are higher than gunicorn's defaults, because a path may contain an entire
# destination URL, and a request may contain many headers to forward. For the request
# line, 8190 is the largest limit that gunicorn accepts. The value 0 would mean no
# limit, and a single request line could then fill the memory.
limit_request_line = 8190
limit_request_field_size = 16_384
limit_request_fields = 500

# The application itself reads the headers of trusted proxies. Without these lines,
# gunicorn would obey SCRIPT_NAME and X-Forwarded-Proto of any client on this machine,
# and of all clients whose requests a proxy on this machine passes on.
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}

graceful_timeout = 10
timeout = 60
# Node, httpx and other clients close idle connections after 5 s. The server waits
# longer, so that the client closes the connection first. If the server closed it first,
# a request that is sent at that moment would fail.
keepalive = 7
accesslog = None
loglevel = "error" if _settings.log_level == "error" else "warning"
logger_class = "scheduler_api.web.gunicorn_log.GunicornLog"


def post_worker_init(worker: Any) -> None:
    """Make the garbage collector of a worker run less often, and report the worker.

    gunicorn calls this function after the worker has loaded the application.
    """
    gc_tuning.collect_rarely()
    sign = worker.wsgi.extensions[EXTENSION]
    high_water = {"high_water_percent": _settings.store_high_water_percent}
    threading.Thread(
        target=sign.report_forever, kwargs=high_water, name="reports", daemon=True
    ).start()
    watch = worker.wsgi.extensions[WATCH]
    threading.Thread(target=watch.run_forever, name="epoch", daemon=True).start()


def worker_exit(_server: Any, worker: Any) -> None:
    """Report the end of a worker, and send the last spans; gunicorn calls it there."""
    app = getattr(worker, "wsgi", None)
    if app is not None:
        app.extensions[EXTENSION].end()
        if spans := app.extensions[traces.EXTENSION]:
            spans.close()
