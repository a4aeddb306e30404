"""Chromium without a window, for tests of pages and for pictures of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowser(Exception):
    """There is none on this machine; the text says what is needed."""


@contextmanager
def browser(profile: Path, *flags: str) -> Iterator[webdriver.Chrome]:
    """A browser with a profile of its own, whose console is kept.

    Args:
        profile: empty folder.
        flags: further ones of its command line.

    Raises:
        NoBrowser: it or its driver is not installed.
    """
    found = next((place for name in BROWSERS if (place := shutil.which(name))), None)
    driver = shutil.which("chromedriver")
    if found is None or driver is None:
        raise NoBrowser(f"no browser to open a page in: needs chromedriver and one of {', '.join(BROWSERS)}")
    options = webdriver.ChromeOptions()
    options.binary_location = found
    for flag in (*FLAGS, f"--user-data-dir={profile}", *flags):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with webdriver.Chrome(options, webdriver.ChromeService(driver)) as opened:
        yield opened
