"""The endpoints of `/v2/keys`: the keys that sign deliveries."""

import logging
import time
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.model import Owner
from scheduler_api.core.tenants.accounts import SECRETS_CACHED_S
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.core.timestamps import to_iso
from scheduler_api.dialects.qstash import credentials
from scheduler_api.dialects.qstash.parsing.filters import read_flags, read_query
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.dialects.qstash.settings import QstashSettings
from scheduler_api.services import Services
from scheduler_api.web.access import by
from scheduler_api.web.documented import documented
from scheduler_api.web.query_string import read_parameters

log = logging.getLogger("scheduler.web")


class Keys:
    """Views of signing keys. `owner` is the owner that the token identifies."""

    def __init__(self, services: Services) -> None:
        self._tenants = services.tenants
        self._grace_ms = services.settings.of(QstashSettings).rotation_grace_ms

    @documented(response=response_schemas.KeyPair, read_only=False)
    def get(self, owner: Owner) -> Response:
        """Get the keys that receivers verify signatures with."""
        return responses.respond(_render(self._tenants.secrets(owner.tenant)))

    @documented(
        query=response_schemas.RotationQuery,
        response=response_schemas.RotationResponse,
        errors=(400,),
    )
    def rotate(self, owner: Owner) -> Response:
        """Rotate the signing keys.

        The response contains the new keys, and says which key changed and which older
        pairs of keys no longer verify deliveries.

        Source: https://upstash.com/docs/qstash/howto/roll-signing-keys
        """
        parameters = read_query(read_parameters(request.environ))
        flags = read_flags(parameters, ["force"])
        rotation = credentials.rotate(
            self._tenants,
            owner.tenant,
            grace_ms=self._grace_ms,
            force=flags["force"],
            by=by(),
        )
        log.info(logfmt.line("keys.rotated", owner=owner, both=rotation.replaced_both))
        # Workers cache keys for this long. Respond only after all workers use the new
        # keys.
        time.sleep(SECRETS_CACHED_S)
        answer = _render(rotation.secrets) | {
            "rotated": "both" if rotation.replaced_both else "next",
            "graceEndsAt": rotation.at_ms + self._grace_ms,
        }
        if rotation.breaks_before_ms is not None:
            since = to_iso(rotation.breaks_before_ms)
            answer["breaks"] = f"pairs handed out before {since}"
        return responses.respond(answer)


def _render(secrets: Secrets) -> Json:
    return {
        "current": secrets[credentials.CURRENT_KEY],
        "next": secrets[credentials.NEXT_KEY],
    }
