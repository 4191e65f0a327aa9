"""Debian's Chromium under Playwright, seeing only what Stopsign tells it: names go where Stopsign's DNS sends them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from playwright.sync_api import sync_playwright

from tests.conftest import find_program

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from playwright.sync_api import Browser, Page

WIDTHS = {"phone": (390, 844), "desktop": (1200, 820)}


@contextmanager
def browser(names: Mapping[str, str]) -> Iterator[Browser]:
    """A browser for which these names lead to these `address:port`, and every other name to nothing. They are
    taken from what Stopsign's DNS answers: a browser cannot be told a resolver's port, and 80 may be taken here."""
    rules = [f"MAP {name} {where}" for name, where in names.items()]
    rules += ["MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=find_program("chromium"),
            args=["--no-sandbox", "--disable-dev-shm-usage", f"--host-resolver-rules={', '.join(rules)}"],
        )
        try:
            yield started
        finally:
            started.close()


@contextmanager
def page(
    started: Browser, *, width: str = "desktop", language: str = "en", scheme: Any = "light", scripts: bool = False
) -> Iterator[Page]:
    """A page in a context of its own. Without `scripts` it can run none; with them only what the test brings, past the
    page's own policy."""
    across, down = WIDTHS[width]
    context = started.new_context(
        viewport={"width": across, "height": down}, locale=language, color_scheme=scheme, java_script_enabled=scripts,
        bypass_csp=scripts,
    )  # fmt: skip
    try:
        yield context.new_page()
    finally:
        context.close()
