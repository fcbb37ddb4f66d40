"""Finds the page that a form was sent from, to return to it with its filters."""

from flask import Response, current_app, request
from scheduler_api.dashboard.rendering import to_page
from urllib.parse import urlsplit
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect


def return_to_form(default: str) -> Response:
    """Send the browser back to the page of the form.

    Args:
        default: the path to use if the browser does not say which page that was, or if
            the page was the answer to another form.
    """
    page = urlsplit(request.referrer or "")
    if page.netloc != request.host or not _can_be_opened(page.path):
        return to_page(default)
    return to_page(page._replace(scheme="", netloc="", fragment="").geturl())


def _can_be_opened(path: str) -> bool:
    try:
        current_app.url_map.bind("").match(path, method="GET")
    except (HTTPException, RequestRedirect):
        return False
    # Browsers read `//name` as another host.
    return not path.startswith("//")
