"""The documentation in a real browser, on a phone and on a desk, without a network but its own server's."""

from __future__ import annotations

import functools
import http.server
import threading

import pytest

from tests.test_report_in_browser import DESK, OUT_OF_SIGHT, PHONE, Page

pytestmark = pytest.mark.slow

BROKEN_IMAGES = "return [...document.images].filter(i => !(i.complete && i.naturalWidth)).map(i => i.src)"
EQUATIONS = """
return [...document.querySelectorAll('math')].map(m => m.getBoundingClientRect()).map(r => [r.width, r.height])
"""
LOADED = "return performance.getEntriesByType('resource').map(entry => entry.name)"


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing of what it serves."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(site):
    """Where the site is served, for as long as the tests take."""
    serve = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


PAGES = (
    "index.html",
    "method.html",
    "settings.html",
    "own_images.html",
    "divergence.html",
    "paper_scale.html",
    "pipeline.html",
    "datasets.html",
    "citing.html",
    "tree/index.html",
    "tree/ebm_tf/losses.py.html",
)


@pytest.mark.parametrize("screen", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_whole_and_quiet_and_fits_the_screen(driver, address, name, screen):
    page = Page(driver, address + name).on(screen)
    assert page.ask("return document.documentElement.scrollWidth") <= screen.width
    assert page.ask(OUT_OF_SIGHT, screen.width) == []
    assert page.ask(BROKEN_IMAGES) == []
    assert [entry["message"] for entry in driver.get_log("browser") if entry["level"] == "SEVERE"] == []
    assert [loaded for loaded in page.ask(LOADED) if not loaded.startswith(address)] == []


def test_equations_are_drawn(driver, address):
    sizes = Page(driver, address + "method.html").on(DESK).ask(EQUATIONS)
    assert len(sizes) > 40
    assert all(width > 3 and height > 8 for width, height in sizes)


def test_the_search_finds_a_setting(driver, address):
    page = Page(driver, address + "index.html").on(DESK)
    page.ask("document.querySelector('[data-bs-target=\"#mkdocs_search_modal\"]').click()")
    found = driver.execute_async_script(
        """
        const done = arguments[0], box = document.getElementById('mkdocs-search-query');
        const look = () => {
          box.value = 'reservoir'; box.dispatchEvent(new Event('keyup', {bubbles: true}));
          const links = [...document.querySelectorAll('#mkdocs-search-results a')].map(a => a.href);
          links.length ? done(links) : setTimeout(look, 200);
        };
        look();
        """
    )
    assert any("settings.html" in link for link in found)
