"""The registry entry of Jiter."""

from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.jiter.credentials import (
    SIGNING_SECRET,
    client_variables,
    new_signing_secret,
)
from scheduler_api.dialects.jiter.cron_grammar import GRAMMAR
from scheduler_api.dialects.jiter.outbound import JiterOutbound
from scheduler_api.dialects.jiter.settings import JiterSettings

JITER = Dialect(
    name="jiter",
    label="jiter",
    settings=JiterSettings,
    grammar=GRAMMAR,
    secrets={SIGNING_SECRET: new_signing_secret},
    client_variables=client_variables,
    outbound=JiterOutbound,
)
