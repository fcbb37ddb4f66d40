"""Tests of the signing secret of a tenant."""

import base64
from scheduler_api.dialects.events_v1.credentials import new_signing_secret


def test_the_secret_has_the_format_of_standard_webhooks():
    secret = new_signing_secret()

    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret[6:], validate=True)) == 32
