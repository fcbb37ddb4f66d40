"""Registering an application: a tenant of its own."""

import logging
from flask import Response, request
from scheduler_api.core import logs
from scheduler_api.core.errors import Conflict
from scheduler_api.core.model import Owner
from scheduler_api.dialects.documentation import documented
from scheduler_api.dialects.events_v1 import answers
from scheduler_api.dialects.events_v1.reading import (
    Refused,
    invalid,
    load,
    read_object,
)
from scheduler_api.dialects.events_v1.schemas import NewApplication
from scheduler_api.dialects.events_v1.shown import OneApplication, OneSecret
from scheduler_api.services import Services

CLOSED = "Applications are registered by an operator here"
TAKEN = "appName already exists"

log = logging.getLogger("scheduler.web")


class Applications:
    """Views."""

    def __init__(self, services: Services) -> None:
        self._open = services.settings.v1_register
        self._tenants = services.tenants

    @documented(
        body=NewApplication,
        answer=OneApplication,
        statuses=(201,),
        errors=(400, 403, 413),
        needs_token=False,
    )
    def register(self) -> Response:
        """Makes a tenant; its key and its secret are told now."""
        if not self._open:
            raise Refused(403, CLOSED)
        name = load(NewApplication(), read_object(request))["app_name"]
        try:
            new = self._tenants.register(name)
        except Conflict as err:
            raise invalid(TAKEN) from err
        log.info(logs.line("tenant.registered", tenant=new.id, application=name))
        return answers.respond_data(
            {
                "appName": name,
                "apiKey": new.token,
                "signingSecret": new.signing.events_v1,
            },
            201,
        )

    @documented(answer=OneSecret)
    def keys(self, owner: Owner) -> Response:
        """What the receivers of this application check signatures with."""
        signing = self._tenants.signing(owner.tenant)
        return answers.respond_data({"signingSecret": signing.events_v1})
