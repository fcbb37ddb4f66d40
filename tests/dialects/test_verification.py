"""Tests that the verification of each dialect finds what differs in a delivery.

The official receivers of QStash and of Standard Webhooks agree on what is valid.
"""

import base64
import hmac
import json
import jwt
import pytest
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from qstash import Receiver
from scheduler_api.core.delivery.verification import Part, Received, Verdict
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.outbound import DIALECTS
from scheduler_api.dialects.qstash.credentials import CURRENT_KEY, NEXT_KEY
from scheduler_api.dialects.qstash.signing import jwt as qstash_token
from standardwebhooks import Webhook
from tests.clients.receivers import Arrival, Receivers, serve_receivers
from tests.dialects.conformance.adaptor import Adaptor, Client
from tests.dialects.conformance.world import World
from tests.dialects.events_v1.adaptor import ADAPTOR as EVENTS_V1
from tests.dialects.jiter.adaptor import ADAPTOR as JITER
from tests.dialects.qstash.adaptor import ADAPTOR as QSTASH

HOUR_MS = 3_600_000
ADAPTORS: dict[str, Adaptor] = {
    "jiter": JITER,
    "qstash": QSTASH,
    "events_v1": EVENTS_V1,
}
BY_NAME = {dialect.name: dialect for dialect in DIALECTS}
SECRETS = {
    name: {secret: make() for secret, make in dialect.secrets.items()}
    for name, dialect in BY_NAME.items()
}
URL = "http://127.0.0.1:8080/receiver/orders?first=1"
BODY = json.dumps({"a": 1, "ö": [1, 2]}).encode()
COMPACT = '{"a":1,"ö":[1,2]}'.encode()


def verify(
    dialect: Dialect, received: Received, secrets: Secrets, now_ms: int | None = None
) -> Verdict:
    verification = dialect.verification
    assert verification is not None
    now_ms = int(time.time() * 1000) if now_ms is None else now_ms
    return verification.verify(received, verification.keys(secrets), now_ms)


def parts(verdict: Verdict) -> list[Part]:
    assert len(verdict.sentences) == max(1, len(verdict.differences))
    return [difference.part for difference in verdict.differences]


@pytest.fixture(scope="module")
def receivers() -> Iterator[Receivers]:
    with serve_receivers() as receivers:
        yield receivers


@pytest.mark.parametrize("name", sorted(ADAPTORS))
def test_a_delivery_of_a_worker_is_valid(
    name: str, store_url: str, receivers: Receivers
) -> None:
    world, destination = World(store_url), receivers.new_destination(suffix="?a=%20ö")
    tenant = world.new_tenant()
    adaptor = ADAPTORS[name]
    client = Client(world.app, tenant, adaptor.headers(tenant.token))
    webhook = adaptor.accept(client, destination.url)

    world.run_for(HOUR_MS)

    [arrival] = destination.arrivals
    url = destination.url.partition("?")[0] + "?a=%20%C3%B6"
    received = _received(arrival, url)
    verdict = verify(BY_NAME[name], received, tenant.secrets)
    assert parts(verdict) == []
    assert verdict.key in ("the current key", "the present secret")
    verification = BY_NAME[name].verification
    assert verification is not None
    assert verification.attempt(received.headers) == 1
    assert received.headers[verification.id_header.lower()].startswith(webhook)
    other = world.new_tenant().secrets
    assert parts(verify(BY_NAME[name], received, other)) == [Part.KEY]


def _received(arrival: Arrival, url: str) -> Received:
    return Received(arrival.method, url, arrival.headers, arrival.body)


def signed(name: str, body: bytes = COMPACT, *, at_ms: int | None = None) -> Received:
    """A request as a worker signs it."""
    now_ms = int(time.time() * 1000) if at_ms is None else at_ms
    if name == "qstash":
        current = SECRETS[name][CURRENT_KEY]
        token = qstash_token(current, body, url=URL, jti="1", now_ms=now_ms)
        return Received("POST", URL, {"upstash-signature": token}, body)
    [secret] = SECRETS[name].values()
    if name == "events_v1":
        key = base64.b64decode(secret.removeprefix("whsec_"))
        stamp = str(now_ms // 1000)
        mac = _mac(key, f"id.{stamp}.".encode() + body)
        headers = {
            "webhook-id": "id",
            "webhook-timestamp": stamp,
            "webhook-signature": f"v1,{mac}",
        }
        return Received("POST", URL, headers, body)
    mac = _mac(secret.encode(), f"{now_ms}:".encode() + body)
    headers = {"x-jiter-signature": mac, "x-jiter-request-timestamp": str(now_ms)}
    return Received("POST", URL, headers, body)


def _mac(key: bytes, message: bytes) -> str:
    return base64.b64encode(hmac.digest(key, message, "sha256")).decode()


def signature_header(name: str) -> str:
    verification = BY_NAME[name].verification
    assert verification is not None
    return verification.signature_header.lower()


def with_signature(received: Received, name: str, value: str | None) -> Received:
    headers = {**received.headers}
    headers.pop(signature_header(name))
    if value is not None:
        headers[signature_header(name)] = value
    return replace(received, headers=headers)


Change = Callable[[Received, str], Received]


def _reencoded(received: Received, _name: str) -> Received:
    return replace(received, body=json.dumps(json.loads(received.body)).encode())


def _other_body(received: Received, _name: str) -> Received:
    return replace(received, body=b'{"a":2}')


def _with_break(received: Received, _name: str) -> Received:
    return replace(received, body=received.body + b"\n")


def _unsigned(received: Received, name: str) -> Received:
    return with_signature(received, name, None)


def _malformed(received: Received, name: str) -> Received:
    return with_signature(received, name, "v1,no.signature")


def _truncated(received: Received, name: str) -> Received:
    value = received.headers[signature_header(name)]
    return with_signature(received, name, value[:-8])


CHANGES: list[tuple[str, Change, dict[str, Part]]] = [
    ("unsigned", _unsigned, dict.fromkeys(ADAPTORS, Part.HEADER)),
    ("malformed", _malformed, dict.fromkeys(ADAPTORS, Part.FORMAT)),
    ("re-encoded", _reencoded, dict.fromkeys(ADAPTORS, Part.BODY)),
    ("line break", _with_break, dict.fromkeys(ADAPTORS, Part.BODY)),
    # An HMAC does not tell a changed body from another key.
    (
        "other body",
        _other_body,
        {"qstash": Part.BODY, "jiter": Part.KEY, "events_v1": Part.KEY},
    ),
    (
        "truncated",
        _truncated,
        {"qstash": Part.KEY, "jiter": Part.FORMAT, "events_v1": Part.FORMAT},
    ),
]


@pytest.mark.parametrize("name", sorted(ADAPTORS))
@pytest.mark.parametrize(
    ("change", "expected"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_s20_a_changed_request_is_invalid_and_the_part_is_named(
    name: str, change: Change, expected: dict[str, Part]
) -> None:
    received = change(signed(name), name)

    verdict = verify(BY_NAME[name], received, Secrets(SECRETS[name]))

    assert parts(verdict) == [expected[name]]
    assert not _official_accepts(name, received)


@pytest.mark.parametrize("name", sorted(ADAPTORS))
@pytest.mark.parametrize("shift_ms", [-400_000, 400_000])
def test_s20_old_and_future_requests_are_invalid_with_the_clock_difference(
    name: str, shift_ms: int
) -> None:
    now_ms = int(time.time() * 1000)
    received = signed(name, at_ms=now_ms + shift_ms)

    verdict = verify(BY_NAME[name], received, Secrets(SECRETS[name]), now_ms)

    assert parts(verdict) == [Part.TIME]
    assert " s " in verdict.sentences[0] and "clock" in verdict.sentences[0]
    assert not _official_accepts(name, received)


@pytest.mark.parametrize("name", sorted(ADAPTORS))
def test_the_official_receivers_agree_that_an_unchanged_request_is_valid(
    name: str,
) -> None:
    received = signed(name)

    assert verify(BY_NAME[name], received, Secrets(SECRETS[name])).is_valid
    assert _official_accepts(name, received)


def _official_accepts(name: str, received: Received) -> bool:
    """Whether the receiver of an official library accepts a request.

    Jiter's is a middleware for node; the tests of clients run it.
    """
    try:
        if name == "qstash":
            Receiver(*SECRETS[name].values()).verify(
                signature=received.headers["upstash-signature"],
                body=received.body.decode(),
                url=received.url,
            )
        elif name == "events_v1":
            [secret] = SECRETS[name].values()
            Webhook(secret).verify(received.body.decode(), dict(received.headers))
        else:
            return verify(BY_NAME[name], received, Secrets(SECRETS[name])).is_valid
    except Exception:
        return False
    return True


def test_a_re_encoded_body_is_explained() -> None:
    received = _reencoded(signed("qstash"), "qstash")

    [sentence] = verify(
        BY_NAME["qstash"], received, Secrets(SECRETS["qstash"])
    ).sentences

    assert "the signed one is compact JSON, as JSON.stringify writes it" in sentence


TOKEN_CHANGES = [
    ({"sub": "http://127.0.0.1:8080/receiver/orders"}, Part.URL),
    ({"sub": URL.replace("http:", "https:")}, Part.URL),
    ({"iss": "Somebody"}, Part.CLAIM),
    ({"exp": 1}, Part.TIME),
    ({"nbf": int(time.time()) + 1_000}, Part.TIME),
    ({"iat": int(time.time()) + 1_000}, Part.TIME),
    ({"body": "AAAA"}, Part.BODY),
    ({"exp": "soon"}, Part.CLAIM),
    ({"body": 1}, Part.CLAIM),
]


@pytest.mark.parametrize(
    ("changed", "part"), TOKEN_CHANGES, ids=map(str, range(len(TOKEN_CHANGES)))
)
def test_s20_each_claim_of_a_token_is_compared(
    changed: dict[str, object], part: Part
) -> None:
    key, original = SECRETS["qstash"][CURRENT_KEY], signed("qstash")
    claims = jwt.decode(
        original.headers["upstash-signature"], key, algorithms=["HS256"]
    )
    token = _token(claims | changed, key)
    received = with_signature(original, "qstash", token)

    verdict = verify(BY_NAME["qstash"], received, Secrets(SECRETS["qstash"]))

    assert parts(verdict) == [part]
    assert verdict.key == "the current key"
    assert not _official_accepts("qstash", received)


def _token(claims: dict[str, object], key: str) -> str:
    """A token whose claims nobody has checked; PyJWT refuses to write some."""
    head, body = (
        base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=")
        for each in ({"alg": "HS256", "typ": "JWT"}, claims)
    )
    mac = hmac.digest(key.encode(), head + b"." + body, "sha256")
    signature = base64.urlsafe_b64encode(mac).rstrip(b"=")
    return b".".join((head, body, signature)).decode()


@pytest.mark.parametrize("algorithm", ["none", "HS512"])
def test_s20_a_token_with_another_algorithm_is_invalid(algorithm: str) -> None:
    key = SECRETS["qstash"][CURRENT_KEY] * 3
    token = jwt.encode({}, "" if algorithm == "none" else key, algorithm=algorithm)
    received = with_signature(signed("qstash"), "qstash", token)

    verdict = verify(BY_NAME["qstash"], received, Secrets(SECRETS["qstash"]))

    assert parts(verdict) == [Part.ALGORITHM]


def test_the_next_key_is_recognised() -> None:
    swapped = Secrets(
        {
            CURRENT_KEY: SECRETS["qstash"][NEXT_KEY],
            NEXT_KEY: SECRETS["qstash"][CURRENT_KEY],
        }
    )

    verdict = verify(BY_NAME["qstash"], signed("qstash"), swapped)

    assert (verdict.is_valid, verdict.key) == (True, "the next key")


def test_spellings_of_one_url_are_the_same() -> None:
    received = replace(signed("qstash"), url=URL.replace("http://", "HTTP://"))

    assert verify(BY_NAME["qstash"], received, Secrets(SECRETS["qstash"])).is_valid


@pytest.mark.parametrize("name", ["jiter", "events_v1"])
@pytest.mark.parametrize(("ends_in_ms", "is_valid"), [(60_000, True), (-60_000, False)])
def test_s21_a_replaced_secret_is_valid_until_it_ends(
    name: str, ends_in_ms: int, is_valid: bool
) -> None:
    now_ms = int(time.time() * 1000)
    [(field, old)] = SECRETS[name].items()
    new = BY_NAME[name].secrets[field]()
    secrets = Secrets({field: new}, {field: [(now_ms + ends_in_ms, old)]})

    verdict = verify(BY_NAME[name], signed(name), secrets, now_ms)

    assert (verdict.is_valid, verdict.key) == (is_valid, "an older secret")
    assert parts(verdict) == ([] if is_valid else [Part.KEY])


def test_one_of_several_signatures_is_enough() -> None:
    received = signed("events_v1")
    value = received.headers["webhook-signature"]
    other = f"v1,{_mac(b'other', b'')} v1a,AAAA v2,x {value}"

    several = with_signature(received, "events_v1", other)
    unknown = with_signature(received, "events_v1", "v2,AAAA")

    secrets = Secrets(SECRETS["events_v1"])
    assert verify(BY_NAME["events_v1"], several, secrets).is_valid
    assert parts(verify(BY_NAME["events_v1"], unknown, secrets)) == [Part.ALGORITHM]


@pytest.mark.parametrize("name", sorted(ADAPTORS))
@pytest.mark.parametrize(
    "value", ["", "...", "\xff.\xff.\xff", "v1,", "a.b.c", "[" * 10_000, "e30.e30.e30"]
)
def test_s20_any_signature_is_judged(name: str, value: str) -> None:
    received = with_signature(signed(name, b"[" * 100_000), name, value)

    assert not verify(BY_NAME[name], received, Secrets(SECRETS[name])).is_valid
