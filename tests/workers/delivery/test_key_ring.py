"""Signing keys: at hand without a read, and never older than a rotation allows."""

import asyncio
import pytest
import redis
import threading
from collections import Counter
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import SECRETS_CACHED_S, Secrets, Tenants
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.dialects.qstash.credentials import rotate
from workers.delivery.key_ring import KeyRing

SECRET_KEY = "a secret key of the tests"


def plain(client: redis.Redis) -> Tenants:
    """Tenants as another process sees them."""
    return Tenants(Cell(client, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS)


class Counted(Tenants):
    """Counts what is asked of the store; reads wait until they may go on."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(Cell(client, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS)
        self.asked = Counter[str]()
        self.read = threading.Event()
        self.may_answer = threading.Event()
        self.may_answer.set()

    def secrets(self, tenant_id: str) -> Secrets:
        self.asked[tenant_id] += 1
        found = super().secrets(tenant_id)
        self.read.set()
        self.may_answer.wait(10)
        return found

    def rotated(self) -> bytes | None:
        self.asked["rotated"] += 1
        return super().rotated()


class Clock:
    """Stands until it is moved."""

    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def tenants(store_client: redis.Redis) -> Counted:
    return Counted(store_client)


def test_deliveries_at_once_share_one_read(tenants: Counted):
    tenant = tenants.create("one")
    ring = KeyRing(tenants, clock_s=Clock())

    async def ask() -> list[Secrets]:
        return await asyncio.gather(*(ring.of(tenant.id) for _ in range(20)))

    assert asyncio.run(ask()) == [tenant.secrets] * 20
    assert tenants.asked == {tenant.id: 1, "rotated": 1}


def test_keys_that_nobody_rotated_are_not_read_again(tenants: Counted):
    one, two = tenants.create("one"), tenants.create("two")
    clock = Clock()
    ring = KeyRing(tenants, clock_s=clock)

    async def ask() -> None:
        for _ in range(3):
            assert await ring.of(one.id) == one.secrets
            assert await ring.of(two.id) == two.secrets
            clock.now_s += SECRETS_CACHED_S

    asyncio.run(ask())

    assert tenants.asked == {one.id: 1, two.id: 1, "rotated": 3}


def test_the_newest_tenants_are_read_ahead(tenants: Counted, store_client: redis.Redis):
    old, broken, new = (tenants.create(name) for name in ("old", "broken", "new"))
    store_client.hdel(f"{{s1}}:tn:{broken.id}", "f")
    ring = KeyRing(tenants, clock_s=Clock())

    async def ask() -> None:
        await ring.preload(2)
        assert tenants.asked == {broken.id: 1, new.id: 1, "rotated": 1}
        assert await ring.of(new.id) == new.secrets
        assert await ring.of(old.id) == old.secrets

    asyncio.run(ask())

    assert tenants.asked == {broken.id: 1, new.id: 1, old.id: 1, "rotated": 1}


def test_while_it_runs_no_delivery_waits(tenants: Counted):
    tenant = tenants.create("one")
    clock = Clock()
    ring = KeyRing(tenants, clock_s=clock)

    async def work() -> None:
        await ring.of(tenant.id)
        clock.now_s += SECRETS_CACHED_S
        running = asyncio.create_task(ring.run())
        async with asyncio.timeout(10):
            while tenants.asked["rotated"] < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(ring.of(tenant.id), 1) == tenant.secrets
        running.cancel()

    asyncio.run(work())

    assert tenants.asked == {tenant.id: 1, "rotated": 2}


def test_a_second_after_a_rotation_nothing_is_signed_with_older_keys(tenants: Counted):
    tenant = tenants.create("one")
    clock = Clock()
    ring = KeyRing(tenants, clock_s=clock)

    async def ask() -> None:
        await ring.of(tenant.id)
        for _ in range(2):
            rotation = rotate(tenants, tenant.id, grace_ms=0)
            clock.now_s += SECRETS_CACHED_S
            assert await ring.of(tenant.id) == rotation.secrets

    asyncio.run(ask())


def test_keys_that_were_rotated_while_they_were_read_are_read_again(
    tenants: Counted, store_client: redis.Redis
):
    one, two = tenants.create("one"), tenants.create("two")
    clock = Clock()
    ring = KeyRing(tenants, clock_s=clock)
    tenants.may_answer.clear()

    async def ask() -> None:
        first = asyncio.create_task(ring.of(one.id))
        await asyncio.to_thread(tenants.read.wait, 10)
        rotation = rotate(plain(store_client), one.id, grace_ms=0)
        clock.now_s += SECRETS_CACHED_S
        second = asyncio.create_task(ring.of(two.id))
        async with asyncio.timeout(10):
            while not tenants.asked[two.id]:
                await asyncio.sleep(0.01)
        tenants.may_answer.set()
        assert (await first, await second) == (rotation.secrets, two.secrets)

    asyncio.run(ask())
