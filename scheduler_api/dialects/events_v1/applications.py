"""The endpoints for applications; an application is a tenant."""

import logging
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import Conflict
from scheduler_api.core.model import Owner
from scheduler_api.dialects.events_v1 import rendering
from scheduler_api.dialects.events_v1.credentials import SIGNING_SECRET
from scheduler_api.dialects.events_v1.parsing import invalid, load, read_object
from scheduler_api.dialects.events_v1.request_schemas import NewApplication
from scheduler_api.dialects.events_v1.response_schemas import (
    ApplicationResponse,
    SecretResponse,
)
from scheduler_api.dialects.events_v1.settings import EventsV1Settings
from scheduler_api.services import Services
from scheduler_api.web.documented import documented
from scheduler_api.web.refusal import Refusal

CLOSED = "Applications are registered by an operator here"
TAKEN = "appName already exists"
# Who creates a tenant over this API, for the audit log.
BY = "registration"

log = logging.getLogger("scheduler.web")


class Applications:
    """The views for applications."""

    def __init__(self, services: Services) -> None:
        self._is_open = services.settings.of(EventsV1Settings).register
        self._tenants = services.tenants

    @documented(
        body=NewApplication,
        response=ApplicationResponse,
        statuses=(201,),
        errors=(400, 403, 413),
        needs_token=False,
    )
    def register(self) -> Response:
        """Register an application; its API key is only in this response."""
        if not self._is_open:
            raise Refusal(403, CLOSED)
        name = load(NewApplication(), read_object(request))["app_name"]
        try:
            new = self._tenants.register(name, by=BY)
        except Conflict as err:
            raise invalid(TAKEN) from err
        log.info(logfmt.line("tenant.registered", tenant=new.id, application=name))
        return rendering.respond_data(
            {
                "appName": name,
                "apiKey": new.token,
                "signingSecret": new.secrets[SIGNING_SECRET],
            },
            201,
        )

    @documented(response=SecretResponse, read_only=False)
    def keys(self, owner: Owner) -> Response:
        """Return the secret with which receivers verify signatures."""
        secrets = self._tenants.secrets(owner.tenant)
        return rendering.respond_data({"signingSecret": secrets[SIGNING_SECRET]})
