"""Tests of what outlives the processes of a store that has lost its data (R-07)."""

import pytest
import redis
from flask.testing import FlaskClient
from pathlib import Path
from scheduler_api.app import create_app
from scheduler_api.core.ids import to_number
from scheduler_api.core.model import Content, Draft, Owner
from scheduler_api.core.store import keys, layout
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.store.epoch import ID_MARGIN, EpochWatch, accept
from scheduler_api.core.store.epoch_memory import Memory, StoreMemory
from scheduler_api.core.store.events import EventStore
from scheduler_api.core.tenants.accounts import NewTenant, Tenants
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.settings import Settings
from tests.conftest import LosingStore
from workers.ticker import Ticker

PREFIX = "{s1}:"
SECRET_KEY = "k" * 32
OWNER = Owner("1", "jiter")
DRAFT = Draft(Content("http://127.0.0.1:9/", b"{}"), 10_000, ascending=True)
BODY = {
    "payload": "x",
    "destination": "https://a.example/",
    "scheduledTime": "2999-01-01T00:00:00Z",
}


@pytest.fixture
def client(bare_valkey: redis.Redis) -> redis.Redis:
    return bare_valkey


def start_ticker(client: redis.Redis, folder: str = "") -> Ticker:
    """Return a new ticker process after its first second."""
    settings = Settings(redis_url="", secret_key=SECRET_KEY, state_dir=folder)
    ticker = Ticker(client, settings, remembers=True)
    check_again(ticker)
    check_again(ticker)
    return ticker


def check_again(ticker: Ticker) -> None:
    ticker._checked_at = 0.0
    ticker.tick()


def is_alive(client: redis.Redis) -> bool:
    return bool(client.exists(keys.alive(PREFIX, "ticker")))


def test_r07_a_new_ticker_does_not_take_an_emptied_store_for_a_new_one(
    client: redis.Redis,
) -> None:
    start_ticker(client)
    client.flushall()

    later = start_ticker(client)
    before = is_alive(client)
    accept(client, PREFIX)
    check_again(later)

    assert not before
    assert is_alive(client)
    client.delete(keys.alive(PREFIX, "ticker"))
    start_ticker(client)
    assert is_alive(client)


def test_r07_a_store_without_its_files_is_noticed_after_a_restart_of_everything(
    losing_store: LosingStore, tmp_path: Path
) -> None:
    start_ticker(losing_store.client, str(tmp_path))
    losing_store.stop()
    empty = tmp_path / "empty"
    empty.mkdir()

    losing_store.start()
    losing_store.restart(older=empty)
    start_ticker(losing_store.client, str(tmp_path))
    without_folder = start_ticker(losing_store.client)

    assert not is_alive(losing_store.client)
    assert without_folder._watch.is_lost


def test_r30_an_older_store_is_noticed_after_a_restart_of_everything(
    losing_store: LosingStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    start_ticker(losing_store.client, str(tmp_path))
    older = losing_store.copy()
    EventStore(Cell(losing_store.client, PREFIX)).create_many(OWNER, [DRAFT])
    start_ticker(losing_store.client, str(tmp_path))

    losing_store.restart(older=older)
    start_ticker(losing_store.client, str(tmp_path))

    assert "store.older" in caplog.text
    assert losing_store.client.exists(keys.lost_tail(PREFIX))


@pytest.mark.parametrize("issued", [5, 3 * ID_MARGIN + 5])
def test_r30_ids_of_an_emptied_store_are_not_issued_again(
    client: redis.Redis, issued: int
) -> None:
    store = EventStore(Cell(client, PREFIX))
    client.set(keys.sequence(PREFIX), issued)
    start_ticker(client)
    client.flushall()
    start_ticker(client)

    memory = StoreMemory(store.cell, "").load()
    accept(client, PREFIX, newest_id=memory.newest_id)
    [accepted] = store.create_many(OWNER, [DRAFT])

    assert to_number(accepted.id) > issued + ID_MARGIN


def test_r30_an_emptied_store_takes_no_event_from_a_process_that_knew_it(
    client: redis.Redis,
) -> None:
    ticker = start_ticker(client)
    http, tenant = start_web(client)
    before = create(http, tenant)
    client.flushall()
    # The token is still cached.
    lost = create(http, tenant)
    events = client.keys(keys.event(PREFIX, "*"))
    accept(client, PREFIX)
    check_again(ticker)

    assert (before, lost, events) == (200, 503, [])


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_r07_an_emptied_store_is_noticed_by_the_first_request_with_a_cached_token(
    client: redis.Redis, method: str
) -> None:
    start_ticker(client)
    http, tenant = start_web(client)
    headers = {"X-API-Key": tenant.token}
    before = http.get("/api/events", headers=headers).status_code
    client.flushall()

    path = "/api/events" if method == "GET" else "/api/cronjobs/1"
    lost = http.open(path, method=method, headers=headers)

    assert (before, lost.status_code) == (200, 503)


def start_web(client: redis.Redis) -> tuple[FlaskClient, NewTenant]:
    port = client.connection_pool.connection_kwargs["port"]
    url = f"redis://127.0.0.1:{port}/0"
    layout.ensure(client, PREFIX)
    tenant = Tenants(
        Cell(client, PREFIX), secret_key=SECRET_KEY, makers=SECRETS
    ).create("a")
    http = create_app(Settings(redis_url=url, secret_key=SECRET_KEY)).test_client()
    http.get("/readyz")
    return http, tenant


def create(http: FlaskClient, tenant: NewTenant) -> int:
    headers = {"X-API-Key": tenant.token}
    return http.post("/api/events", json=BODY, headers=headers).status_code


PATHS = {
    "jiter": ("/api/events", "X-API-Key", "{}"),
    "qstash": ("/v2/messages/m", "Authorization", "Bearer {}"),
    "v1": ("/v1/events", "X-API-Key", "{}"),
    "operators": ("/cron/preview?expression=*+*+*+*+*", "X-API-Key", "{}"),
}


@pytest.mark.parametrize("dialect", PATHS)
def test_r07_while_the_store_is_lost_tokens_get_503(
    client: redis.Redis, dialect: str
) -> None:
    start_ticker(client)
    http, _ = start_web(client)
    path, header, form = PATHS[dialect]
    headers = {header: form.format("token")}
    before = http.get(path, headers=headers).status_code
    client.flushall()
    lost = http.get(path, headers=headers)
    health = [http.get(path).status_code for path in ("/healthz", "/readyz")]
    again = http.get(path, headers=headers)
    accept(client, PREFIX)
    http.get("/readyz")
    accepted = http.get(path, headers=headers).status_code

    assert (before, accepted) == (401, 401)
    assert (lost.status_code, again.status_code) == (503, 503)
    assert lost.headers["Retry-After"] == "1"
    assert health == [200, 503]


def test_r07_wrong_tokens_at_a_lost_store_are_no_failed_logins(
    client: redis.Redis,
) -> None:
    start_ticker(client)
    http, _ = start_web(client)
    client.flushall()

    for _ in range(50):
        answer = http.get("/api/events", headers={"X-API-Key": "token"})

    assert answer.status_code == 503
    accept(client, PREFIX)
    http.get("/readyz")
    assert http.get("/api/events", headers={"X-API-Key": "token"}).status_code == 401


def test_an_unreadable_file_is_logged_and_ignored(
    client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "store-s1.json").write_text("[")

    assert StoreMemory(Cell(client, PREFIX), str(tmp_path)).load() == Memory()
    assert "memory.unreadable" in caplog.text


def test_a_folder_that_takes_no_file_is_logged(
    client: redis.Redis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    memory = StoreMemory(Cell(client, PREFIX), str(tmp_path / "missing"))

    memory.keep(Memory("e", 1), is_lost=False)

    assert "memory.not_written" in caplog.text
    assert memory.load() == Memory("e", ID_MARGIN)


def test_only_the_newest_memory_is_kept(client: redis.Redis, tmp_path: Path) -> None:
    cell = Cell(client, PREFIX)
    for newest_id in (1, 2, ID_MARGIN, 2 * ID_MARGIN):
        StoreMemory(cell, "").keep(Memory("e", newest_id), is_lost=False)
    StoreMemory(cell, str(tmp_path)).keep(Memory("f", 7, "s", 9), is_lost=False)

    assert StoreMemory(cell, "").load() == Memory("f", ID_MARGIN)
    assert StoreMemory(cell, str(tmp_path)).load() == Memory("f", ID_MARGIN, "s", 9)
    StoreMemory(cell, str(tmp_path)).forget()
    assert StoreMemory(cell, str(tmp_path)).load() == Memory()


def test_a_store_that_was_never_known_is_not_lost(client: redis.Redis) -> None:
    watch = EpochWatch(Cell(client, PREFIX))

    watch.require_same_store()

    assert not watch.is_lost
