"""A Flask application that only responds 200, as a baseline for measurements."""

from flask import Flask


def create_app() -> Flask:
    """Create the application."""
    app = Flask(__name__)
    app.add_url_rule("/", "empty", lambda: "", methods=["POST"])
    return app
