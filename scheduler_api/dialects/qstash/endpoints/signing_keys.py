"""The endpoints of the keys that deliveries are signed with."""

import logging
import time
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.model import Owner
from scheduler_api.core.tenants.accounts import KEYS_KEPT_S, SigningKeys
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.qstash.parsing.filters import read_flags, read_query
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.documented import documented
from scheduler_api.web.query_string import read_parameters

log = logging.getLogger("scheduler.web")


class Keys:
    """Views; each is called with the owner that the request's token stands for."""

    def __init__(self, services: Services) -> None:
        self._tenants = services.tenants
        self._grace_ms = services.settings.qstash_rotation_grace_ms

    @documented(answer=response_schemas.KeyPair)
    def get(self, owner: Owner) -> Response:
        """The pair that receivers are to check signatures with."""
        return responses.respond(_pair(self._tenants.signing(owner.tenant)))

    @documented(
        query=response_schemas.Rotation, answer=response_schemas.Rotated, errors=(400,)
    )
    def rotate(self, owner: Owner) -> Response:
        """Replaces the pair; tells which key is another one, and what no longer works.

        Source: https://upstash.com/docs/qstash/howto/roll-signing-keys
        """
        force = read_flags(read_query(read_parameters(request.environ)), ["force"])[
            "force"
        ]
        rotation = self._tenants.rotate_qstash(
            owner.tenant, grace_ms=self._grace_ms, force=force
        )
        log.info(logfmt.line("keys.rotated", owner=owner, whole=rotation.whole))
        time.sleep(KEYS_KEPT_S)
        shown = _pair(rotation.signing) | {
            "rotated": "both" if rotation.whole else "next",
            "graceEndsAt": rotation.at_ms + self._grace_ms,
        }
        if rotation.breaks_before_ms is not None:
            since = to_iso(rotation.breaks_before_ms)
            shown["breaks"] = f"pairs handed out before {since}"
        return responses.respond(shown)


def _pair(signing: SigningKeys) -> Json:
    return {"current": signing.qstash_current, "next": signing.qstash_next}
