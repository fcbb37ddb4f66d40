"""The signing keys of a QStash tenant: format, rotation, environment variables."""

import secrets as random
import string
from collections.abc import Mapping
from dataclasses import dataclass
from scheduler_api.core.settings.engine import EngineSettings
from scheduler_api.core.tenants.accounts import Tenants
from scheduler_api.core.tenants.secrets import RotationRefused, Secrets
from scheduler_api.core.tenants.token_forms import with_user
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.dialect import Development, RotationEffect, RotationOrder
from scheduler_api.dialects.qstash.settings import QstashSettings

CURRENT_KEY, NEXT_KEY = "qstash.current", "qstash.next"
_LETTERS = string.ascii_letters + string.digits
_KEY_LENGTH = 28

# As in version 2.12 of the JavaScript client. Its token is the base64 of an object with
# the user `defaultUser` and this password.
DEVELOPMENT = Development(
    dialect="qstash",
    token="defaultPassword",
    secrets={
        CURRENT_KEY: "sig_7kYjw48mhY7kAjqNGcy6cr29RJ6r",
        NEXT_KEY: "sig_5ZB6DVzB1wjE8S6rZ7eenA8Pdnhs",
    },
    environment="QSTASH_DEV=true QSTASH_DEV_PORT={port}",
)
ROTATION_EFFECT = RotationEffect(
    "The next key becomes the current one, and signs; a new next key is made. Receivers"
    " that have the present pair of keys still verify. Give them the new pair before"
    " the rotation after this one. If the last rotation was recent, only the next key"
    " changes.",
    "Both keys change even if the last rotation was recent. Receivers with a pair from"
    " before the last rotation refuse deliveries until they get the new pair.",
)


@dataclass(frozen=True, slots=True)
class Rotation:
    """The result of a rotation.

    Attributes:
        replaced_both: False if only the next key changed.
        at_ms: the time of the rotation, in epoch ms.
        breaks_before_ms: receivers with a pair of keys issued before this time can no
            longer verify deliveries; None if every receiver still can.
    """

    secrets: Secrets
    replaced_both: bool
    at_ms: int
    breaks_before_ms: int | None


def new_key() -> str:
    """Return a random signing key in the format of the hosted service."""
    return "sig_" + "".join(random.choice(_LETTERS) for _ in range(_KEY_LENGTH))


def rotate(
    tenants: Tenants,
    tenant_id: str,
    *,
    grace_ms: int,
    force: bool = False,
    by: str | None = None,
) -> Rotation:
    """Replace the keys of a tenant so that receivers can still verify deliveries.

    Deliveries are signed with the current key; receivers accept the current key and the
    next key. A rotation makes the next key the current key, and creates a new next key.
    The new current key is in the old pair and in the new pair, so receivers with either
    pair can verify deliveries. A second rotation within `grace_ms` replaces only the
    next key, so that the old pair works for at least `grace_ms`.

    Atomic. If the client repeats the call, the second call counts as a second rotation.

    Args:
        force: replace both keys even within `grace_ms`; receivers with a pair from
            before the last rotation can then no longer verify deliveries.
        by: who rotates the keys, for the audit log.

    Raises: NotFound (unknown tenant), WrongSecretKey.
    """

    def replaces_both(last_ms: int | None, now_ms: int) -> bool:
        return force or last_ms is None or now_ms - last_ms >= grace_ms

    def replace(old: Secrets, last_ms: int | None, now_ms: int) -> Mapping[str, str]:
        current = NEXT_KEY if replaces_both(last_ms, now_ms) else CURRENT_KEY
        return {CURRENT_KEY: old[current], NEXT_KEY: new_key()}

    done = tenants.rotate(tenant_id, "qstash", replace, by=by)
    both = replaces_both(done.last_ms, done.at_ms)
    return Rotation(done.secrets, both, done.at_ms, done.last_ms if both else None)


def rotate_for(settings: EngineSettings, tenants: Tenants, order: RotationOrder) -> str:
    """Rotate the keys as `POST /v2/keys/rotate` does; both keys if it is to be now.

    Raises: NotFound, RotationRefused, WrongSecretKey.
    """
    if order.switch_ms is not None and order.switch_ms > order.now_ms:
        raise RotationRefused(
            "QStash's receivers verify with two keys, so no time is needed: the next"
            " key becomes the current one"
        )
    grace_ms = settings.of(QstashSettings).rotation_grace_ms
    force = order.switch_ms is not None
    done = rotate(tenants, order.tenant, grace_ms=grace_ms, force=force, by=order.by)
    if done.breaks_before_ms is not None:
        before = to_iso(done.breaks_before_ms)
        return (
            f"Receivers with keys from before {before} can no longer verify deliveries."
        )
    if done.replaced_both:
        return "Receivers with the old pair of keys still verify deliveries."
    return "Only the next key has changed, so that the old pair still verifies."


def client_variables(
    tenant_id: str, token: str, secrets: Secrets, base_url: str
) -> dict[str, str]:
    """Return the environment variables of a tenant's clients and receivers."""
    return {
        "QSTASH_URL": base_url,
        "QSTASH_TOKEN": with_user(tenant_id, token),
        "QSTASH_CURRENT_SIGNING_KEY": secrets[CURRENT_KEY],
        "QSTASH_NEXT_SIGNING_KEY": secrets[NEXT_KEY],
    }
