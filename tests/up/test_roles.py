"""Tests of the processes that `scheduler up` runs."""

import os
from pathlib import Path
from scheduler_api.up import embedded_store
from scheduler_api.up.data_folder import DataFolder
from scheduler_api.up.roles import store


def test_s24_the_store_gets_no_secret_and_no_setting(tmp_path: Path):
    folder = DataFolder(tmp_path / "data")
    secrets = {"SECRET_KEY": folder.secret_key(), "REDIS_URL": folder.store_url()}
    others = {"SCHED_HOST": "127.0.0.1", "A_PASSWORD_OF_SOMEBODY": "a" * 16}

    role = store(
        Path("valkey-server"),
        folder,
        environ={"PATH": "/bin", "TZ": "UTC"} | secrets | others,
    )

    os.close(folder.lock_fd)
    assert role.environ == {"PATH": "/bin", "TZ": "UTC"} | embedded_store.allocator()
