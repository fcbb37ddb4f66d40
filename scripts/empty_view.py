"""A Flask application that only answers 200: what any other is measured against."""

from flask import Flask


def create_app() -> Flask:
    """The application."""
    app = Flask(__name__)
    app.add_url_rule("/", "empty", lambda: "", methods=["POST"])
    return app
