"""The processes of a system: their command lines and how long each may take to stop."""

import sys
from collections.abc import Mapping
from pathlib import Path
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.up import embedded_store
from scheduler_api.up.data_folder import DataFolder
from scheduler_api.up.keeper import Role

BIN = Path(sys.executable).parent
Environ = Mapping[str, str]
# The store needs no setting and no secret of the other processes.
STORE_ENVIRON = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")


def store(program: Path, folder: DataFolder, *, environ: Environ) -> Role:
    """Return the role of the store, which starts first and stops last."""
    return Role(
        "store",
        "stores all data",
        (str(program), str(folder.store_conf)),
        {name: environ[name] for name in STORE_ENVIRON if name in environ}
        | embedded_store.allocator(),
        stop_within_s=30,
        pass_fds=(folder.lock_fd,),
    )


def stages(
    settings: EngineSettings, *, workers: int, environ: Environ
) -> list[list[Role]]:
    """Return all other roles, in the order in which the processes start.

    The processes stop in reverse order.
    """
    rq_worker = (str(BIN / "rq"), "worker", "-S", "json")
    deliver = (*rq_worker, "-w", "workers.DeliveryWorker", "deliveries")
    drain_s = settings.drain_grace_s + 5
    web = (str(BIN / "gunicorn"), "-c", "python:scheduler_api.gunicorn_conf")
    return [
        [
            Role(
                "chores",
                "deletes old data, checks the store",
                (*rq_worker, "-w", "workers.ChoresWorker", "housekeeping"),
                environ,
                stop_within_s=10,
            ),
            Role(
                "clock",
                "schedules the chores",
                _module("workers.clock"),
                environ,
                stop_within_s=5,
            ),
        ],
        [
            Role(
                f"worker-{number}",
                "delivers events",
                deliver,
                environ,
                stop_within_s=drain_s,
            )
            for number in range(1, workers + 1)
        ],
        [
            Role(
                "ticker",
                "offers due events to the workers",
                _module("workers.ticker"),
                environ,
                stop_within_s=5,
            ),
            Role(
                "web",
                "serves the HTTP API",
                (*web, "scheduler_api.app:create_app()"),
                environ,
                stop_within_s=15,
            ),
        ],
    ]


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)
