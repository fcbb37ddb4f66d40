"""The API reference: a page for each OpenAPI document, which needs no session."""

from collections.abc import Iterable
from flask import Response, abort, current_app, render_template
from functools import cache
from scheduler_api.credentials import BASE_URL, TOKEN
from scheduler_api.dashboard import api_reference
from scheduler_api.dashboard.rendering import page
from scheduler_api.web import openapi
from scheduler_api.web.documented import Document


class ReferencePages:
    """Shows the documents that `scheduler_api.web.openapi` writes."""

    def __init__(self, documents: Iterable[Document]) -> None:
        self._documents = {each.name: each for each in documents}
        # A page has no part that depends on the request.
        self._text = cache(self._render)

    def list(self) -> Response:
        """Show which documents there are."""
        return page("reference.html", documents=self._documents.values())

    def show(self, name: str) -> Response:
        """Show a document."""
        if name not in self._documents:
            abort(404)
        return Response(self._text(name), mimetype="text/html")

    def _render(self, name: str) -> str:
        document = self._documents[name]
        written = openapi.write(current_app, document)
        operations = api_reference.operations(written)
        return render_template(
            "reference_document.html",
            viewer=None,
            document=document,
            groups=api_reference.grouped(operations),
            schemas=api_reference.named_schemas(written),
            variables=(BASE_URL, TOKEN),
        )
