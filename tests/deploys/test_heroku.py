"""Tests of the files that Heroku reads."""

import json
import os
import redis
import subprocess
import sys
from pathlib import Path
from scheduler_api.core.store import keys
from scheduler_api.core.store.layout import LAYOUT
from scheduler_api.settings import VARIABLES
from tests.procfile import PROCFILE, RELEASE, ROOT
from typing import Any

APP: Any = json.loads((ROOT / "app.json").read_text())
LAYOUT_KEY = keys.layout("{s1}:")


def release(url: str) -> subprocess.CompletedProcess[str]:
    """Run the release step with the environment of an app."""
    settings = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}",
        "REDIS_URL": url,
        "SECRET_KEY": "0123456789abcdef",
    }
    return subprocess.run(
        ["sh", "-c", RELEASE],
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_app_has_one_process_of_each_kind():
    assert APP["formation"] == {role: {"quantity": 1} for role in PROCFILE}


def test_s31_an_app_gets_a_secret_of_its_own():
    assert APP["env"]["SECRET_KEY"].keys() == {"description", "generator"}


def test_an_app_sets_only_variables_that_exist():
    names = {variable.name for variable in VARIABLES}

    assert APP["env"].keys() - names == {"RQ_CONNECTION_CLASS"}


def test_the_page_has_the_same_add_on_and_variables():
    page = (ROOT / "docs" / "heroku.md").read_text()
    variables = [f"{n}={v['value']}" for n, v in APP["env"].items() if "value" in v]

    assert all(variable in page for variable in variables)
    assert f"addons:create {APP['addons'][0]['plan']}\n" in page


def test_a_release_prepares_an_empty_store(bare_valkey: redis.Redis, valkey: str):
    result = release(valkey)

    assert result.returncode == 0, result.stderr
    assert bare_valkey.get(LAYOUT_KEY) == str(LAYOUT).encode()


def test_a_release_fails_on_a_store_of_another_layout(
    bare_valkey: redis.Redis, valkey: str
):
    bare_valkey.set(LAYOUT_KEY, LAYOUT + 1)

    result = release(valkey)

    assert result.returncode == 1
    assert "run the version that wrote it" in result.stderr
