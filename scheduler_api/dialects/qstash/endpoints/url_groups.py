"""The endpoints of `/v2/topics`: url groups, which send a message to several URLs.

Source: https://upstash.com/docs/qstash/features/url-groups
"""

import logging
from collections.abc import Iterator
from flask import Response, request
from scheduler_api.core import logfmt
from scheduler_api.core.errors import NotFound
from scheduler_api.core.headers import from_text, to_stored, to_text
from scheduler_api.core.model import Owner
from scheduler_api.core.tenants.url_groups import (
    MAX_ENDPOINTS,
    Endpoint,
    Group,
    Groups,
    TooManyEndpoints,
)
from scheduler_api.dialects.qstash.parsing.drafts import Drafts, Limits, default_headers
from scheduler_api.dialects.qstash.parsing.forwarded_headers import check_size
from scheduler_api.dialects.qstash.parsing.header_values import (
    NAME_MAX_LENGTH,
    BadValue,
    read_name,
    read_text,
)
from scheduler_api.dialects.qstash.parsing.ignored_names import Describer
from scheduler_api.dialects.qstash.parsing.message import canonical
from scheduler_api.dialects.qstash.parsing.request_headers import PARSED
from scheduler_api.dialects.qstash.parsing.requests import read_json
from scheduler_api.dialects.qstash.parsing.targets import read_destination
from scheduler_api.dialects.qstash.rendering import response_schemas, responses
from scheduler_api.dialects.qstash.rendering.responses import Json
from scheduler_api.services import Services
from scheduler_api.web.access import change
from scheduler_api.web.documented import array_of, documented
from scheduler_api.web.refusal import Refusal

NAME = "url group"

log = logging.getLogger("scheduler.web")


class UrlGroups:
    """Views of url groups. `owner` is the owner that the token identifies."""

    def __init__(self, services: Services) -> None:
        self._groups: Groups = services.groups
        self._limits = Limits.of(services.settings)
        self._drafts = Drafts(self._limits)

    @documented(
        body=response_schemas.NewEndpoints,
        success="The endpoints are added",
        errors=(400, 412, 413),
    )
    def add(self, owner: Owner, name: str) -> Response:
        """Add endpoints to a url group; create the group if necessary."""
        name = read_name(name, NAME)
        endpoints = [self._endpoint(item) for item in self._items()]
        if not endpoints:
            raise BadValue("endpoints", "should have at least one")
        try:
            added = change(owner, "group.add", name)
            self._groups.add(owner, name, endpoints, change=added)
        except TooManyEndpoints as err:
            fault = f"should be at most {MAX_ENDPOINTS} in one url group"
            raise BadValue("endpoints", fault) from err
        _log("group.changed", owner, name)
        return responses.empty()

    @documented(
        body=response_schemas.NamedEndpoints,
        success="The endpoints are removed",
        errors=(400, 404, 413),
    )
    def remove(self, owner: Owner, name: str) -> Response:
        """Remove endpoints from a url group; an empty group is deleted."""
        urls, names = [], []
        for item in self._items():
            if url := _text(item, "url"):
                urls.append(self._stored_url(url))
            elif endpoint_name := _text(item, "name"):
                names.append(endpoint_name)
            else:
                raise BadValue("endpoints", "should each have a url or a name")
        try:
            removed = change(owner, "group.remove", name)
            self._groups.remove(owner, name, urls=urls, names=names, change=removed)
        except NotFound as err:
            raise _not_found(name) from err
        _log("group.changed", owner, name)
        return responses.empty()

    @documented(response=response_schemas.UrlGroup, errors=(404,))
    def get(self, owner: Owner, name: str) -> Response:
        """Get a url group."""
        try:
            return responses.respond(_render(self._groups.get(owner, name)))
        except NotFound as err:
            raise _not_found(name) from err

    @documented(
        response=array_of(response_schemas.UrlGroup),
        success="The url groups, oldest first",
    )
    def all(self, owner: Owner) -> Response:
        """List all url groups, oldest first."""
        groups = self._groups.all_of(owner)
        return responses.respond([_render(group) for group in groups])

    @documented(success="The url group does not exist any more")
    def delete(self, owner: Owner, name: str) -> Response:
        """Delete a url group if it exists; published messages are still delivered."""
        self._groups.delete(owner, name, change=change(owner, "group.delete", name))
        _log("group.deleted", owner, name)
        return responses.empty()

    @documented(
        body=response_schemas.DefaultHeaders,
        success="The default headers are replaced",
        errors=(400, 404, 413),
    )
    def configure(self, owner: Owner, name: str) -> Response:
        """Replace the default headers of messages to a url group."""
        headers = self._headers()
        # `read` checks the headers: it raises BadValue.
        parsed = self._drafts.read(default_headers({"headers": headers}))
        try:
            changed = change(owner, "group.defaults", name)
            defaults = {"headers": headers}
            self._groups.set_defaults(owner, name, defaults, change=changed)
        except NotFound as err:
            raise _not_found(name) from err
        _log("group.changed", owner, name)
        return responses.empty(ignored=Describer().describe(parsed.ignored))

    def _headers(self) -> dict[str, list[str]]:
        field = self._body().get("headers")
        if not isinstance(field, dict):
            raise BadValue("headers", "should be an object")
        headers: dict[str, list[str]] = {}
        for name, value in field.items():
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(each, str) for each in values):
                fault = "should be a text or a list of texts"
                raise BadValue(canonical(name[:40]), fault)
            if not name.lower().startswith(PARSED):
                fault = "should be Content-Type or begin with Upstash-"
                raise BadValue(canonical(name[:40]), fault)
            stored = [to_stored(from_text(each)) for each in values]
            headers.setdefault(canonical(name), []).extend(stored)
        # A name without values is stored too, so it counts.
        pairs = [
            (name, value)
            for name, values in headers.items()
            for value in values or [""]
        ]
        check_size(tuple(pairs), "headers")
        return headers

    def _items(self) -> Iterator[dict[str, object]]:
        items = self._body().get("endpoints")
        if not isinstance(items, list) or not all(isinstance(x, dict) for x in items):
            raise BadValue("endpoints", "should be a list of objects")
        yield from items

    def _body(self) -> dict[str, object]:
        body = read_json(request, limit_bytes=self._limits.body_limit_bytes)
        if not isinstance(body, dict):
            raise Refusal(400, "body should be an object")
        return body

    def _endpoint(self, item: dict[str, object]) -> Endpoint:
        url, name = _text(item, "url"), _text(item, "name")
        if not url:
            raise BadValue("endpoints", "should each have a url")
        if len(name) > NAME_MAX_LENGTH:
            fault = f"should have at most {NAME_MAX_LENGTH} characters"
            raise BadValue("endpoints: name", fault)
        return Endpoint(
            read_destination(url, self._limits.address_policy),
            read_text(name, "endpoints: name"),
        )

    def _stored_url(self, url: str) -> str:
        """Return a URL as it is stored in url groups; keep an invalid URL unchanged."""
        try:
            return read_destination(url, self._limits.address_policy)
        except BadValue:
            return url


def _text(item: dict[str, object], name: str) -> str:
    value = item.get(name)
    if value is not None and not isinstance(value, str):
        raise BadValue(f"endpoints: {name}", "should be a text")
    return value or ""


def _render(group: Group) -> Json:
    return responses.drop_none(
        {
            "name": group.name,
            "createdAt": group.created_ms,
            "updatedAt": group.updated_ms,
            "endpoints": [
                responses.drop_none(
                    {"url": endpoint.url, "name": endpoint.name or None}
                )
                for endpoint in group.endpoints
            ],
            "headers": _readable_defaults(group) or None,
        }
    )


def _readable_defaults(group: Group) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for name, value in default_headers(group.defaults):
        headers.setdefault(name, []).append(to_text(value))
    return headers


def _not_found(name: str) -> NotFound:
    fault = "not found: no url group has this name"
    return NotFound(f"topic {name[:NAME_MAX_LENGTH]} {fault}")


def _log(event: str, owner: Owner, name: str) -> None:
    log.info(logfmt.line(event, owner=owner, group=name))
