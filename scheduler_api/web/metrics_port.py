"""Serves the metrics on an address of their own, and nothing else there."""

from collections.abc import Callable, Iterable
from werkzeug import Response
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PATH = "/metrics"


class MetricsPort:
    """WSGI middleware that answers what arrives at the port of the metrics itself.

    gunicorn sets `SERVER_PORT` to the port of the socket; clients cannot choose it.
    """

    def __init__(
        self, app: WSGIApplication, *, port: int, render: Callable[[], Response]
    ) -> None:
        self._app = app
        self._port = str(port)
        self._render = render

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        if environ.get("SERVER_PORT") != self._port:
            return self._app(environ, start_response)
        return self._answer(environ["PATH_INFO"])(environ, start_response)

    def _answer(self, path: str) -> Response:
        if path == PATH:
            return self._render()
        return Response(f"Only {PATH} is here.\n", status=404)
