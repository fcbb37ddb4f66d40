"""Tests of the processes that `scripts/up` runs."""

import os
from data_folder import DataFolder
from pathlib import Path
from roles import store


def test_s24_the_store_gets_no_secret_and_no_setting(tmp_path: Path):
    folder = DataFolder(tmp_path / "data")
    secrets = {"SECRET_KEY": folder.secret_key(), "REDIS_URL": folder.store_url()}
    others = {"SCHED_HOST": "127.0.0.1", "A_PASSWORD_OF_SOMEBODY": "a" * 16}

    role = store(folder, environ={"PATH": "/bin", "TZ": "UTC"} | secrets | others)

    os.close(folder.lock_fd)
    assert role.environ == {"PATH": "/bin", "TZ": "UTC"}
