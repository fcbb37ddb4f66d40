"""Tests of `keys`: which secrets sign after a rotation (S-21), and sign alerts."""

import base64
import pytest
import redis
from click.testing import CliRunner, Result
from scheduler_api.cli import main
from scheduler_api.core.store.cell import Cell
from scheduler_api.core.tenants.secrets import MAX_REPLACED, Secrets
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects import outbound
from scheduler_api.settings import Settings

KEY, PREFIX = "x" * 16, "{s1}:"
HOUR_MS = 3_600_000
NAMES = {"v1": "events_v1.signing", "jiter": "jiter.signing"}


@pytest.fixture
def environ(valkey: str) -> dict[str, str]:
    with redis.Redis.from_url(valkey) as client:
        client.flushall()
    environ = {"REDIS_URL": valkey, "SECRET_KEY": KEY}
    CliRunner().invoke(main, ["tenant", "create", "Ada"], env=environ)
    return environ


def run(environ: dict[str, str], options: str) -> Result:
    words = f"keys rotate --tenant 1 --dialect {options}"
    return CliRunner().invoke(main, words.split(), env=environ)


def rotate(environ: dict[str, str], options: str) -> str:
    """Rotate the secret of a dialect; return the new secret."""
    result = run(environ, options)
    assert result.exit_code == 0, result.output
    [line] = result.stdout.splitlines()
    return line.partition("=")[2]


def secrets_of(environ: dict[str, str]) -> Secrets:
    settings = Settings(redis_url=environ["REDIS_URL"], secret_key=KEY)
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        return outbound.tenants(Cell(client, PREFIX), settings).secrets("1")


def now_ms(environ: dict[str, str]) -> int:
    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        return Cell(client, PREFIX).now_ms()


def test_s21_both_secrets_of_v1_sign_for_24_hours(environ: dict[str, str]):
    first, began_ms = secrets_of(environ)[NAMES["v1"]], now_ms(environ)
    second = rotate(environ, "v1")
    secrets = secrets_of(environ)

    assert secrets.at(NAMES["v1"], began_ms + 24 * HOUR_MS - 1) == [first, second]
    assert secrets.at(NAMES["v1"], now_ms(environ) + 24 * HOUR_MS) == [second]


def test_s21_two_rotations_within_the_grace_break_no_receiver(environ: dict[str, str]):
    first = secrets_of(environ)[NAMES["v1"]]
    second, third = rotate(environ, "v1"), rotate(environ, "v1")

    valid = secrets_of(environ).at(NAMES["v1"], now_ms(environ) + 23 * HOUR_MS)
    assert valid == [first, second, third]


def test_the_secret_of_jiter_changes_at_once(environ: dict[str, str]):
    new = rotate(environ, "jiter")

    assert secrets_of(environ).at(NAMES["jiter"], now_ms(environ)) == [new]


@pytest.mark.parametrize("dialect", NAMES)
def test_s21_the_secret_changes_at_a_named_time(environ: dict[str, str], dialect: str):
    old, at_ms = secrets_of(environ)[NAMES[dialect]], now_ms(environ) + HOUR_MS
    new = rotate(environ, f"{dialect} --at {to_iso(at_ms)}")
    secrets = secrets_of(environ)

    assert secrets.at(NAMES[dialect], at_ms - 1) == [old, new]
    assert secrets.at(NAMES[dialect], at_ms) == [new]


@pytest.mark.parametrize("dialect", NAMES)
def test_a_rotation_at_once_ends_all_replaced_secrets(
    environ: dict[str, str], dialect: str
):
    rotate(environ, f"{dialect} --at 2096-01-01T00:00:00Z")
    new = rotate(environ, f"{dialect} --now")

    assert secrets_of(environ).at(NAMES[dialect], now_ms(environ)) == [new]


def test_an_earlier_time_also_ends_secrets_that_were_replaced_before(
    environ: dict[str, str],
):
    old, at_ms = secrets_of(environ)[NAMES["jiter"]], now_ms(environ) + HOUR_MS
    rotate(environ, "jiter --at 2096-01-01T00:00:00Z")
    newest = rotate(environ, f"jiter --at {to_iso(at_ms)}")

    secrets = secrets_of(environ)
    assert secrets.at(NAMES["jiter"], at_ms - 1)[0] == old
    assert secrets.at(NAMES["jiter"], at_ms) == [newest]


def test_only_a_few_replaced_secrets_sign(environ: dict[str, str]):
    for _ in range(MAX_REPLACED):
        rotate(environ, "v1")

    result = run(environ, "v1")

    assert result.exit_code == 1
    assert "4 replaced secrets still sign deliveries" in result.output
    rotate(environ, "v1 --now")


def test_qstash_keys_are_rotated_like_over_http(environ: dict[str, str]):
    before = secrets_of(environ)
    both = run(environ, "qstash")
    after_both = secrets_of(environ)
    only_next = run(environ, "qstash")
    forced = run(environ, "qstash --now")

    assert after_both["qstash.current"] == before["qstash.next"]
    assert after_both["qstash.next"] in both.stdout
    assert "still verify" in both.stderr
    assert after_both["qstash.current"] in only_next.stdout
    assert "can no longer verify" in forced.stderr
    assert secrets_of(environ)["qstash.current"] in only_next.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("v1 --now --at 2096-01-01T00:00:00Z", "give either --now or --at"),
        ("v1 --at 2001-01-01T00:00:00Z", "the time has passed"),
        ("v1 --at soon", "a time looks like 2027-03-01T12:00:00Z"),
        ("qstash --at 2096-01-01T00:00:00Z", "no time is needed"),
        ("hosted", "'hosted' is not one of"),
    ],
)
def test_a_wrong_option_is_reported(
    environ: dict[str, str], options: str, message: str
):
    before = secrets_of(environ)
    result = run(environ, options)

    assert result.exit_code != 0
    assert message in " ".join(result.output.split())
    assert secrets_of(environ) == before


def test_a_replaced_secret_is_stored_encrypted(environ: dict[str, str]):
    old = secrets_of(environ)[NAMES["v1"]]
    new = rotate(environ, "v1")

    with redis.Redis.from_url(environ["REDIS_URL"]) as client:
        stored = repr(client.hgetall(f"{PREFIX}tn:1"))
        audited = repr(client.xrange(f"{PREFIX}audit:1"))
    assert "events_v1.signing.replaced" in stored
    for secret in (old, new):
        assert secret.removeprefix("whsec_") not in stored + audited
        assert secret not in repr(secrets_of(environ))


def test_the_secret_of_alerts_is_printed_and_needs_no_store():
    environ = {"REDIS_URL": "redis://127.0.0.1:1", "SECRET_KEY": KEY}

    def secret(**changes: str) -> str:
        result = CliRunner().invoke(main, ["keys", "alerts"], env=environ | changes)
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    assert len(base64.b64decode(secret().removeprefix("whsec_"))) == 32
    assert secret() == secret(SCHED_OLDER_SECRET_KEYS="o" * 32)
    assert len({secret(), secret(SECRET_KEY="y" * 16), secret(SCHED_CELL="s2")}) == 3
