"""Tests of `KeyRing`: it caches the secrets of tenants, but notices rotations."""

import asyncio
import pytest
import redis
import threading
from collections import Counter
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import SECRETS_CACHED_S, Tenants
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.dialects.qstash.credentials import rotate
from tests.clock import Clock
from workers.delivery.key_ring import KeyRing

SECRET_KEY = "a secret key of the tests"


def other_process(client: redis.Redis) -> Tenants:
    """Return a second `Tenants` of the same store, which stands for another process."""
    return Tenants(Cell(client, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS)


class CountedTenants(Tenants):
    """A `Tenants` that counts reads. `secrets` waits until `may_return` is set."""

    def __init__(self, client: redis.Redis) -> None:
        super().__init__(Cell(client, "{s1}:"), secret_key=SECRET_KEY, makers=SECRETS)
        self.reads = Counter[str]()
        self.has_read = threading.Event()
        self.may_return = threading.Event()
        self.may_return.set()

    def secrets(self, tenant_id: str) -> Secrets:
        self.reads[tenant_id] += 1
        secrets = super().secrets(tenant_id)
        self.has_read.set()
        self.may_return.wait(10)
        return secrets

    def rotated(self) -> bytes | None:
        self.reads["rotated"] += 1
        return super().rotated()


@pytest.fixture
def tenants(store_client: redis.Redis) -> CountedTenants:
    return CountedTenants(store_client)


def test_concurrent_deliveries_share_one_read(tenants: CountedTenants):
    tenant = tenants.create("one")
    ring = KeyRing(tenants, clock_s=Clock())

    async def work() -> list[Secrets]:
        return await asyncio.gather(*(ring.of(tenant.id) for _ in range(20)))

    assert asyncio.run(work()) == [tenant.secrets] * 20
    assert tenants.reads == {tenant.id: 1, "rotated": 1}


def test_secrets_are_not_read_again_without_a_rotation(tenants: CountedTenants):
    one, two = tenants.create("one"), tenants.create("two")
    clock = Clock()
    ring = KeyRing(tenants, clock_s=clock)

    async def work() -> None:
        for _ in range(3):
            assert await ring.of(one.id) == one.secrets
            assert await ring.of(two.id) == two.secrets
            clock.now_s += SECRETS_CACHED_S

    asyncio.run(work())

    assert tenants.reads == {one.id: 1, two.id: 1, "rotated": 3}


def test_the_secrets_of_the_newest_tenants_are_preloaded(
    tenants: CountedTenants, store_client: redis.Redis
):
    old, broken, new = (tenants.create(name) for name in ("old", "broken", "new"))
    store_client.hdel(f"{{s1}}:tn:{broken.id}", "f")
    ring = KeyRing(tenants, clock_s=Clock())

    async def work() -> None:
        await ring.preload(2)
        assert tenants.reads == {broken.id: 1, new.id: 1, "rotated": 1}
        assert await ring.of(new.id) == new.secrets
        assert await ring.of(old.id) == old.secrets

    asyncio.run(work())

    assert tenants.reads == {broken.id: 1, new.id: 1, old.id: 1, "rotated": 1}


def test_with_the_background_check_no_delivery_waits(tenants: CountedTenants):
    tenant = tenants.create("one")
    clock = Clock()
    ring = KeyRing(tenants, clock_s=clock)

    async def work() -> None:
        await ring.of(tenant.id)
        clock.now_s += SECRETS_CACHED_S
        running = asyncio.create_task(ring.run())
        async with asyncio.timeout(10):
            while tenants.reads["rotated"] < 2:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.01)
        assert await asyncio.wait_for(ring.of(tenant.id), 1) == tenant.secrets
        running.cancel()

    asyncio.run(work())

    assert tenants.reads == {tenant.id: 1, "rotated": 2}


def test_a_second_after_a_rotation_the_new_secrets_are_used(tenants: CountedTenants):
    tenant = tenants.create("one")
    clock = Clock()
    ring = KeyRing(tenants, clock_s=clock)

    async def work() -> None:
        await ring.of(tenant.id)
        for _ in range(2):
            rotation = rotate(tenants, tenant.id, grace_ms=0)
            clock.now_s += SECRETS_CACHED_S
            assert await ring.of(tenant.id) == rotation.secrets

    asyncio.run(work())


def test_secrets_that_are_rotated_during_their_read_are_read_again(
    tenants: CountedTenants, store_client: redis.Redis
):
    one, two = tenants.create("one"), tenants.create("two")
    clock = Clock()
    ring = KeyRing(tenants, clock_s=clock)
    tenants.may_return.clear()

    async def work() -> None:
        first = asyncio.create_task(ring.of(one.id))
        await asyncio.to_thread(tenants.has_read.wait, 10)
        rotation = rotate(other_process(store_client), one.id, grace_ms=0)
        clock.now_s += SECRETS_CACHED_S
        second = asyncio.create_task(ring.of(two.id))
        async with asyncio.timeout(10):
            while not tenants.reads[two.id]:
                await asyncio.sleep(0.01)
        tenants.may_return.set()
        assert (await first, await second) == (rotation.secrets, two.secrets)

    asyncio.run(work())
