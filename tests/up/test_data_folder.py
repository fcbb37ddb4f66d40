"""Tests of keys and credentials in the data folder of `scheduler up`."""

import fakeredis
import pytest
from functools import partial
from pathlib import Path
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.dialects.outbound import SECRETS
from scheduler_api.dialects.qstash.credentials import DEVELOPMENT, rotate
from scheduler_api.up.data_folder import DataFolder, Refusal, memory_bytes

NAME = "SCHEDULER_API_SIGNING_SECRET"
PUBLISHED_TOKEN = (
    "eyJVc2VySUQiOiJkZWZhdWx0VXNlciIsIlBhc3N3b3JkIjoiZGVmYXVsdFBhc3N3b3JkIn0="
)
CURRENT_SIGNING_KEY = "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r"


def new_tenants() -> Tenants:
    cell = Cell(fakeredis.FakeRedis(), "{s1}:")
    return Tenants(cell, secret_key="0123456789abcdef", makers=SECRETS)


def read(folder: DataFolder) -> dict[str, str]:
    lines = folder.credentials.read_text().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_credentials_stay_and_missing_ones_are_added(tmp_path: Path):
    folder = DataFolder(tmp_path)
    tenants = new_tenants()
    folder.keep_credentials(tenants, base_url="http://a", store="redis://b")
    first = read(folder)
    folder.credentials.write_text(
        "".join(f"{name}={v}\n" for name, v in first.items() if name != NAME)
    )

    folder.keep_credentials(tenants, base_url="http://a", store="redis://b")

    assert read(folder) == first
    assert first[NAME].startswith("whsec_")


def test_r10_the_store_gets_half_of_the_memory_and_evicts_nothing(tmp_path: Path):
    folder = DataFolder(tmp_path)
    folder.store_url()

    conf = folder.store_conf.read_text().splitlines()

    assert f"maxmemory {memory_bytes() // 2}" in conf
    assert "maxmemory-policy noeviction" in conf


@pytest.mark.parametrize(
    ("limit", "bytes_"), [("1048576\n", 1_048_576), ("max\n", None), (None, None)]
)
def test_the_limit_of_a_container_counts(
    tmp_path: Path, limit: str | None, bytes_: int | None
):
    file = tmp_path / "memory.max"
    if limit is not None:
        file.write_text(limit)

    found = memory_bytes(file)

    assert found == bytes_ if bytes_ else found > 2**24


def test_s31_two_new_data_folders_have_no_key_or_password_in_common(tmp_path: Path):
    folders = [DataFolder(tmp_path / name) for name in ("one", "two")]

    keys = {folder.secret_key() for folder in folders}
    passwords = {folder.store_url().split("@")[0] for folder in folders}

    assert (len(keys), len(passwords)) == (2, 2)
    assert [folder.secret_key() in keys for folder in folders] == [True, True]


def test_a_file_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    (tmp_path / ".store.conf.new").mkdir()

    with pytest.raises(Refusal, match=r"store\.conf cannot be written"):
        folder.store_url()


def test_published_credentials_are_those_of_the_first_tenant(tmp_path: Path) -> None:
    folder, tenants = DataFolder(tmp_path), new_tenants()

    folder.keep_credentials(
        tenants, base_url="http://a", store="redis://b", development=DEVELOPMENT
    )

    assert tenants.tokens.find(PUBLISHED_TOKEN)
    assert read(folder)["QSTASH_CURRENT_SIGNING_KEY"] == CURRENT_SIGNING_KEY


def test_published_keys_return_after_a_rotation(tmp_path: Path) -> None:
    folder, tenants = DataFolder(tmp_path), new_tenants()
    keep = partial(
        *(folder.keep_credentials, tenants),
        base_url="http://a",
        store="redis://b",
        development=DEVELOPMENT,
    )
    keep()
    first = read(folder)
    rotate(tenants, "1", grace_ms=0)

    keep()

    assert read(folder) == first


def test_a_store_with_a_published_token_needs_the_option(tmp_path: Path) -> None:
    folder, tenants = DataFolder(tmp_path), new_tenants()
    keep = partial(
        folder.keep_credentials, tenants, base_url="http://a", store="redis://b"
    )
    keep(development=DEVELOPMENT)

    with pytest.raises(Refusal, match="everybody knows the token"):
        keep()
