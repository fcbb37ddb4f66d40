"""Renders templates. What people and receivers wrote is escaped everywhere."""

import math
from datetime import UTC, datetime
from flask import Flask, Response, g, render_template
from jinja2 import StrictUndefined
from markupsafe import Markup
from scheduler_api.core.store.statistics import DestinationCounts
from scheduler_api.core.timestamps import duration, to_iso
from zoneinfo import ZoneInfo

DEFAULT_COLOUR = "grey"


def set_up(app: Flask, environment: str) -> None:
    """Add what all templates use to the application.

    Args:
        environment: as in `EngineSettings`.
    """
    name, _, colour = environment.partition(":")
    app.jinja_env.undefined = StrictUndefined
    app.jinja_env.filters |= {
        "time": time_element,
        "local_time": local_time,
        "duration": duration,
        "success": success,
    }
    app.jinja_env.globals |= {
        "environment": name,
        "environment_colour": colour or DEFAULT_COLOUR,
    }


def page(template: str, status: int = 200, **values: object) -> Response:
    """Return a page. Its template also gets the `viewer`, None without a session."""
    html = render_template(template, viewer=g.get("viewer"), **values)
    return Response(html, status=status, mimetype="text/html")


def to_page(path: str) -> Response:
    """Return a response that sends the browser to a page of this server."""
    return Response(status=303, headers={"Location": path})


def time_element(at_ms: int) -> Markup:
    """Return an element with a time in UTC; the browser shows it in its own zone."""
    text = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}">{}</time>').format(to_iso(at_ms), text)


def success(counts: DestinationCounts) -> str:
    """Return the share of attempts that delivered, such as `99.5 %`."""
    share = counts.delivered / ((counts.delivered + counts.failed) or 1)
    # Only what is complete is shown as 100 %.
    return f"{math.floor(share * 1_000) / 10:g} %"


def local_time(at_ms: int, zone: str) -> str:
    """Return a time as the clocks of a zone show it."""
    moment = datetime.fromtimestamp(at_ms / 1000, ZoneInfo(zone))
    return moment.strftime("%a %Y-%m-%d %H:%M:%S")
