"""Tests of the files for containers in `docs/containers/`."""

import pytest
import re
from scheduler_api.core.settings.engine import EngineSettings
from tests.deploys import compose
from tests.procfile import PROCFILE, ROOT

DOCKERFILE = compose.dockerfile().read_text()
GIVEN = {"SECRET_KEY": "0123456789abcdef0123456789abcdef"}


def test_the_containers_run_the_commands_of_the_procfile():
    commands = {
        name: service["command"]
        for name, service in compose.SERVICES.items()
        if name != "store"
    }

    assert commands == PROCFILE


def test_s31_the_compose_file_has_no_key_and_opens_no_network():
    for role in PROCFILE:
        environ = compose.environ(role, GIVEN)
        assert environ.keys() == {"REDIS_URL", "SECRET_KEY", "SCHED_STATE_DIR"}
        assert environ["SECRET_KEY"] == GIVEN["SECRET_KEY"]

    with pytest.raises(KeyError, match="SECRET_KEY"):
        compose.environ("worker", {})
    assert compose.SERVICES["web"]["ports"] == ["127.0.0.1:8080:8080"]
    assert "ports" not in compose.SERVICES["store"]


def test_a_worker_has_time_to_finish_its_deliveries():
    assert compose.stop_within_s("worker") >= EngineSettings.drain_grace_s + 5


def test_a_process_writes_to_its_folder_for_state_only():
    for role in PROCFILE:
        assert compose.SERVICES[role]["read_only"] is True
        [volume] = compose.SERVICES[role]["volumes"]
        assert volume == f"state:{compose.environ(role, GIVEN)['SCHED_STATE_DIR']}"


def test_the_image_has_the_version_of_python_that_is_tested():
    version = (ROOT / ".python-version").read_text().strip()
    images = re.findall("^FROM (\\S+)", DOCKERFILE, re.MULTILINE)

    assert {*images} == {f"python:{version}-slim"}
