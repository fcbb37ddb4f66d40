"""`verify`: says whether a request has a valid signature, and what differs."""

import click
import time
from collections.abc import Iterator, Mapping, Sequence
from scheduler_api.commands.common import AS_JSON, print_json, printable
from scheduler_api.commands.environment import variables_of
from scheduler_api.commands.http_arguments import Headers, read_headers
from scheduler_api.core.delivery.verification import (
    Key,
    Part,
    Received,
    Verdict,
    failed,
)
from scheduler_api.core.tenants.secrets import Secrets
from scheduler_api.credentials import secret_variables
from scheduler_api.dialects.dialect import Dialect
from scheduler_api.dialects.verification import Verification
from scheduler_api.receiver.signatures import SIGNED
from typing import BinaryIO


@click.command("verify")
@click.argument("body", metavar="[BODY]", type=click.File("rb"), default="-")
@click.option(
    "-H",
    "--header",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'|@FILE",
    callback=read_headers,
    help="Header of the request; give all, or those of the signature.",
)
@click.option("--url", metavar="URL", help="URL of the request; QStash signs it.")
@click.option(
    "--key",
    "secrets",
    multiple=True,
    metavar="SECRET",
    help="Signing secret; default: those in the variables of receivers.",
)
@AS_JSON
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    *,
    body: BinaryIO,
    headers: Headers,
    url: str | None,
    secrets: Sequence[str],
    as_json: bool,
) -> None:
    """Verify the signature of a request, and say what differs; exit 1 if it is invalid.

    BODY is a file with the body as it arrived; without it, standard input is read.
    Signatures are those of QStash (Upstash-Signature), of Standard Webhooks
    (webhook-id, webhook-timestamp, webhook-signature) and of Jiter.
    """
    named = {name.lower(): value for name, value in headers.items()}
    found = _dialect(named)
    if found is None:
        label, verdict = None, _unsigned()
    else:
        dialect, verification = found
        if verification.signs_url and url is None:
            raise click.UsageError("give the URL of the request with --url")
        keys = [*_keys(dialect, verification, secrets, variables_of(ctx))]
        received = Received("POST", url or "", named, _read(body))
        label = dialect.label
        verdict = verification.verify(received, keys, time.time_ns() // 1_000_000)
    if as_json:
        print_json(_to_json(label, verdict))
    else:
        for line in _lines(verdict):
            click.echo(printable(line))
    ctx.exit(0 if verdict.is_valid else 1)


def _dialect(headers: Mapping[str, str]) -> tuple[Dialect, Verification] | None:
    for dialect, verification in SIGNED:
        if verification.signature_header.lower() in headers:
            return dialect, verification
    return None


def _unsigned() -> Verdict:
    names = ", ".join(each.signature_header for _, each in SIGNED)
    return failed(
        Part.HEADER, f"The request has no signature: none of the headers {names}."
    )


def _keys(
    dialect: Dialect,
    verification: Verification,
    secrets: Sequence[str],
    variables: Mapping[str, str],
) -> Iterator[Key]:
    """Yield the keys that are given, or else those in variables."""
    named = {f"key {number}": each for number, each in enumerate(secrets, 1)}
    if not named:
        made = Secrets({name: make() for name, make in dialect.secrets.items()})
        names = [*secret_variables(dialect, made)]
        named = {name: variables[name] for name in names if variables.get(name)}
        if not named:
            raise click.UsageError(
                f"give the secret with --key, or set {' or '.join(names)}"
            )
    for name, secret in named.items():
        try:
            yield Key(name, verification.decode(secret))
        except ValueError as err:
            raise click.UsageError(f"{name} is no secret of {dialect.title}") from err


def _read(body: BinaryIO) -> bytes:
    if body.isatty():
        click.echo("reading the body from the terminal, up to Ctrl-D", err=True)
    return body.read()


def _lines(verdict: Verdict) -> Iterator[str]:
    if verdict.is_valid:
        yield from verdict.sentences
    for each in verdict.differences:
        yield f"{each.part}: {each.sentence}"


def _to_json(label: str | None, verdict: Verdict) -> dict[str, object]:
    """Return a verdict as JSON, as the receiver shows it."""
    return {
        "valid": verdict.is_valid,
        "dialect": label,
        "differs": [each.part for each in verdict.differences],
        "explanation": verdict.sentences,
    }
