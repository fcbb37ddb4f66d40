"""The conformance suite: tests that every registered dialect must pass.

The tests create, read, edit, cancel and replay webhooks through the HTTP API of the
dialect. A worker delivers and retries the webhooks, and real HTTP receivers answer.
"""

import importlib
import pytest
from collections.abc import Iterator
from dataclasses import dataclass
from scheduler_api.core.fsck import walk
from scheduler_api.dialects.outbound import DIALECTS
from tests.clients.receivers import Answer, Receivers, serve_receivers
from tests.dialects.conformance.adaptor import Adaptor, Client, Status
from tests.dialects.conformance.world import World

MINUTE_MS, HOUR_MS = 60_000, 3_600_000
FAILURE = Answer(status=500, body=b"no")


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with serve_receivers() as receivers:
        yield receivers


@dataclass(frozen=True)
class Session:
    """A client of one dialect, with the API under test and the HTTP receivers."""

    world: World
    receivers: Receivers
    client: Client
    adaptor: Adaptor

    def status(self, webhook: str) -> Status:
        return self.adaptor.status(self.client, webhook)

    def other_client(self) -> Client:
        tenant = self.world.new_tenant()
        return Client(self.world.app, tenant, self.adaptor.headers(tenant.token))


@pytest.fixture(params=[dialect.name for dialect in DIALECTS])
def session(
    request: pytest.FixtureRequest, store_url: str, receivers: Receivers
) -> Iterator[Session]:
    adaptor = importlib.import_module(f"tests.dialects.{request.param}.adaptor").ADAPTOR
    world = World(store_url)
    tenant = world.new_tenant()
    client = Client(world.app, tenant, adaptor.headers(tenant.token))
    yield Session(world, receivers, client, adaptor)
    assert [str(fault) for fault in walk.check(world.cell)] == []


def test_an_accepted_webhook_is_pending_until_its_time(session: Session) -> None:
    destination = session.receivers.new_destination()
    webhook = session.adaptor.accept(session.client, destination.url)

    session.world.run_for(0)

    assert session.status(webhook) is Status.PENDING
    assert session.adaptor.url(session.client, webhook) == destination.url
    assert destination.arrivals == []


def test_a_webhook_is_delivered_once_and_the_receiver_can_verify_it(
    session: Session,
) -> None:
    destination = session.receivers.new_destination()
    webhook = session.adaptor.accept(session.client, destination.url)

    session.world.run_for(HOUR_MS)

    assert session.status(webhook) is Status.DELIVERED
    [arrival] = destination.arrivals
    secrets = session.client.tenant.secrets
    session.adaptor.check_request(arrival, secrets, destination.url)
    with pytest.raises(Exception):  # noqa: B017 (each library has its own)
        session.adaptor.check_request(
            arrival, session.other_client().tenant.secrets, destination.url
        )


def test_an_edited_webhook_goes_to_the_new_destination(session: Session) -> None:
    old, new = session.receivers.new_destination(), session.receivers.new_destination()
    webhook = session.adaptor.accept_editable(session.client, old.url)

    assert session.adaptor.edit(session.client, webhook, new.url) == 200
    session.world.run_for(HOUR_MS)

    assert (len(old.arrivals), len(new.arrivals)) == (0, 1)


def test_a_cancelled_webhook_is_never_delivered(session: Session) -> None:
    destination = session.receivers.new_destination()
    webhook = session.adaptor.accept(session.client, destination.url)

    assert session.adaptor.cancel(session.client, webhook) == 200
    session.world.run_for(HOUR_MS)

    assert session.status(webhook) is Status.ABSENT
    assert destination.arrivals == []


def test_a_failed_attempt_is_retried_until_one_succeeds(session: Session) -> None:
    destination = session.receivers.new_destination(FAILURE, Answer())
    webhook = session.adaptor.accept(session.client, destination.url)

    session.world.run_for(24 * HOUR_MS)

    assert session.status(webhook) is Status.DELIVERED
    assert len(destination.arrivals) == 2


def test_a_webhook_is_dead_after_the_last_retry(session: Session) -> None:
    destination = session.receivers.new_destination(FAILURE)
    webhook = session.adaptor.accept(session.client, destination.url)

    session.world.run_for(24 * HOUR_MS)

    assert session.status(webhook) is Status.DEAD
    assert len(destination.arrivals) == 1 + session.adaptor.retries


def test_a_dead_webhook_is_replayed(session: Session) -> None:
    failures = [FAILURE] * (1 + session.adaptor.retries)
    destination = session.receivers.new_destination(*failures, Answer())
    webhook = session.adaptor.accept(session.client, destination.url)
    session.world.run_for(24 * HOUR_MS)

    assert session.adaptor.replay(session.client, webhook) in (200, 201)
    session.world.run_for(MINUTE_MS)

    assert len(destination.arrivals) == len(failures) + 1
    secrets = session.client.tenant.secrets
    session.adaptor.check_request(destination.arrivals[-1], secrets, destination.url)


def test_other_tenants_neither_see_nor_change_a_webhook(session: Session) -> None:
    destination, other = session.receivers.new_destination(), session.other_client()
    webhook = session.adaptor.accept(session.client, destination.url)
    editable = session.adaptor.accept_editable(session.client, destination.url)

    assert session.adaptor.status(other, webhook) is Status.ABSENT
    session.adaptor.edit(other, editable, "http://127.0.0.1:9/")
    assert session.adaptor.cancel(other, webhook) == 404
    session.world.run_for(HOUR_MS)

    assert len(destination.arrivals) == 2


def test_a_request_without_a_token_is_refused(session: Session) -> None:
    anonymous = Client(session.world.app, session.client.tenant, {})
    destination = session.receivers.new_destination()

    with pytest.raises(AssertionError, match="401"):
        session.adaptor.accept(anonymous, destination.url)
