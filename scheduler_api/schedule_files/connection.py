"""Requests to an API of a web process, and its errors in plain words."""

import requests
from collections.abc import Mapping
from requests.auth import AuthBase
from scheduler_api.core.errors import SchedulerError
from typing import Any

TIMEOUT_S = 60


class ApiError(SchedulerError):
    """The API refused a request, or did not answer; the message is the API's text."""


class _Token(AuthBase):
    """Sets the header with the token, so that no `.netrc` replaces it."""

    def __init__(self, header: str, value: str) -> None:
        self._header, self._value = header, value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._header] = self._value
        return request


class Connection:
    """An API with the token of a tenant."""

    def __init__(self, base_url: str, *, header: str, token: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session = requests.Session()
        self._session.auth = _Token(header, token)

    def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> Any:
        """Send a request; return the JSON of the response, or None if it is empty.

        Raises: ApiError.
        """
        response = self.request(method, path, json=json, body=body, headers=headers)
        return read_json(response) if response.content else None

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        body: bytes | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> requests.Response:
        """Send a request; return the response if it is no refusal.

        Raises: ApiError.
        """
        try:
            response = self._session.request(
                *(method, self._base_url + path),
                json=json,
                data=body,
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.RequestException as err:
            reason = type(err).__name__
            raise ApiError(f"{self._base_url} does not answer: {reason}") from err
        if response.status_code >= 300:
            raise ApiError(_fault(response))
        return response


def read_json(response: requests.Response) -> Any:
    """Return the JSON of a response.

    Raises: ApiError.
    """
    try:
        return response.json()
    except requests.JSONDecodeError as err:
        raise ApiError(f"{response.url} responds with something else") from err


def _fault(response: requests.Response) -> str:
    """Return the API's text; QStash has it in `error`, the others in `message`."""
    try:
        body = response.json()
    except requests.JSONDecodeError:
        body = None
    fields = body if isinstance(body, dict) else {}
    text = fields.get("message") or fields.get("error")
    if isinstance(text, list):
        text = "; ".join(map(str, text))
    reason = response.headers.get("Scheduler-Reason")
    parts = [str(part) for part in (text, reason) if part]
    return ": ".join(parts) or f"status {response.status_code} {response.reason}"
