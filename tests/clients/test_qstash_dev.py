"""Tests of `up --qstash-dev`, and of regions, with QStash's official clients."""

import pytest
from collections.abc import Iterator
from qstash import QStash, Receiver
from tests.clients.node import Run
from tests.clients.receivers import Arrival, Destination, Receivers
from tests.clients.system import System, running
from tests.system.processes import free_port
from typing import NamedTuple

pytestmark = [pytest.mark.slow]

# What QStash CLI prints for its development server.
TOKEN = "eyJVc2VySUQiOiJkZWZhdWx0VXNlciIsIlBhc3N3b3JkIjoiZGVmYXVsdFBhc3N3b3JkIn0="
KEYS = ("sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r", "sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs")
TOMORROW_S = 86_400


class Restarted(NamedTuple):
    """A system that was restarted, and a message from before."""

    port: int
    folder: System
    message_id: str


def client_of(port: int) -> QStash:
    return QStash(TOKEN, base_url=f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def restarted(
    tmp_path_factory: pytest.TempPathFactory, no_proxy: None
) -> Iterator[Restarted]:
    system = System(tmp_path_factory.mktemp("dev") / "data", free_port())
    with running(system, "--qstash-dev"):
        sent = client_of(system.port).message.publish(
            url="http://127.0.0.1:1/", body="later", delay=TOMORROW_S
        )
    with running(system, "--qstash-dev", SCHED_QSTASH_REGION="us-east-1"):
        folder = System(system.data / "qstash-dev", system.port)
        yield Restarted(system.port, folder, sent.message_id)


@pytest.mark.client
def test_the_node_client_needs_only_qstash_dev(restarted: Restarted, node: str) -> None:
    environ = {"QSTASH_DEV": "true", "QSTASH_DEV_PORT": str(restarted.port)}

    Run(node, "development.test.mjs", environ).check()


def test_the_python_client_works_with_the_published_token_and_keys(
    restarted: Restarted, receivers: Receivers
) -> None:
    destination = receivers.new_destination()

    client_of(restarted.port).message.publish_json(url=destination.url, body=[1])

    [arrival] = destination.wait_for()
    verify(Receiver(*KEYS), arrival, destination)


def test_messages_and_keys_stay_after_a_restart(restarted: Restarted) -> None:
    client = client_of(restarted.port)

    message = client.message.get(restarted.message_id)
    keys = client.signing_key.get()

    assert message.body == "later"
    assert (keys.current, keys.next) == KEYS


@pytest.mark.client
def test_the_node_client_picks_url_and_keys_by_region(
    restarted: Restarted, node: str
) -> None:
    ours, theirs = (restarted.folder.new_tenant(name) for name in ("ours", "theirs"))
    regions = {
        f"{region}_{name}": value
        for region, environ in (("US_EAST_1", ours), ("EU_CENTRAL_1", theirs))
        for name, value in environ.items()
        if name.startswith("QSTASH_")
    }

    Run(node, "regions.test.mjs", {"QSTASH_REGION": "US_EAST_1", **regions}).check()


def test_receivers_with_the_python_client_can_pick_keys_by_region(
    restarted: Restarted, receivers: Receivers
) -> None:
    destination = receivers.new_destination()
    by_region = {
        "US-EAST-1": Receiver(*KEYS),
        "EU-CENTRAL-1": Receiver("sig_current", "sig_next"),
    }

    client_of(restarted.port).message.publish(url=destination.url, body="hello")

    [arrival] = destination.wait_for()
    verify(by_region[arrival.headers["upstash-region"]], arrival, destination)


def verify(receiver: Receiver, arrival: Arrival, destination: Destination) -> None:
    """Raises: SignatureError."""
    receiver.verify(
        signature=arrival.signature,
        body=arrival.body.decode(),
        url=destination.url,
    )
