"""A window of a browser that notes everything that must not happen on a page."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Request,
    Response,
    sync_playwright,
)
from typing import Any
from urllib.parse import urlsplit

AXE = Path(__file__).parents[1] / "js/node_modules/axe-core/axe.min.js"
WAIT_MS = 20_000
# What a refusal causes in the console; tests that provoke one say so.
REFUSED = "Failed to load resource: the server responded with a status of {}"
SERIOUS = ("serious", "critical")
# The pages that anybody who is signed in can open, without ids.
PATHS = (
    *("/overview", "/events", "/schedules", "/queues", "/queues/flow-control"),
    *("/destinations", "/dead-letters", "/dead-letters/jobs"),
    *("/settings/tokens", "/settings/keys", "/create"),
)
# The pages that need no session. The long ones are made like the page of Jiter, and axe
# takes seconds on each.
PUBLIC = ("/sign-in", "/docs", "/docs/jiter")
LONG = ("/docs/qstash", "/docs/v1")
CHROMIUM = "chromium"
CHROMIUM_FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
]


@contextmanager
def chromium() -> Iterator[Browser]:
    """Context manager that runs Debian's browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which(CHROMIUM), args=CHROMIUM_FLAGS
        )
        yield browser
        browser.close()


class Visit:
    """A window with its own cookies.

    `problems` has console errors, violations of the content security policy, failed
    responses and requests to other hosts, as text.
    """

    def __init__(
        self,
        browser: Browser,
        base: str,
        *,
        color_scheme: Any = "light",
        width: int = 1200,
    ) -> None:
        self.base = base
        self.problems: list[str] = []
        self.expected: set[int] = set()
        self._host = urlsplit(base).netloc
        self._context = browser.new_context(
            base_url=base,
            color_scheme=color_scheme,
            viewport={"width": width, "height": 800},
        )
        self._context.set_default_timeout(WAIT_MS)
        self.page = self._context.new_page()
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", self._note_request)
        self.page.on("response", self._note_response)
        self.page.on("dialog", lambda dialog: dialog.accept())

    def sign_in(self, token: str) -> None:
        """Sign in by the form; wait for the overview."""
        self.page.goto("/sign-in")
        self.page.get_by_label("API token").fill(token)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url("**/overview")

    def go(self, path: str) -> None:
        """Open a page of the system."""
        self.page.goto(path)

    def press(self, name: str) -> None:
        """Press the button with this name, and wait for the next page."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=name, exact=True).first.click()

    def text(self) -> str:
        """Return what a person sees."""
        return self.page.locator("body").inner_text()

    def wait_for_text(self, text: str) -> None:
        """Wait until the page shows a text, by its own refresh or at once."""
        self.page.get_by_text(text).first.wait_for()

    def shows(self, path: str, text: str) -> bool:
        """Open a page; return whether it shows a text."""
        self.go(path)
        return text in self.text()

    def accessibility_problems(self) -> list[str]:
        """Return the serious problems that axe finds on the present page."""
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("axe.run()")
        return [
            f"{self.page.url} {each['id']}: {each['nodes'][0]['html']}"
            for each in found["violations"]
            if each["impact"] in SERIOUS
        ]

    def scrolls_sideways(self) -> bool:
        """Whether the page is wider than the window."""
        script = "document.documentElement.scrollWidth > window.innerWidth"
        return bool(self.page.evaluate(script))

    def close(self) -> None:
        """Close the window."""
        self._context.close()

    def _note_console(self, message: ConsoleMessage) -> None:
        expected = tuple(REFUSED.format(status) for status in self.expected)
        if message.type in ("error", "warning") and not message.text.startswith(
            expected or "\0"
        ):
            self.problems.append(f"{self.page.url}: {message.text}")

    def _note_request(self, request: Request) -> None:
        if urlsplit(request.url).netloc != self._host:
            self.problems.append(f"a request to another host: {request.url}")

    def _note_response(self, response: Response) -> None:
        if response.status >= 400 and response.status not in self.expected:
            self.problems.append(f"{response.status} {response.url}")
