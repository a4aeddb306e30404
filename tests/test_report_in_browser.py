"""The report in a real browser, on a phone and on a desk: whole, quiet, readable, and fit to be printed."""

from __future__ import annotations

import base64
import io
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from tests.test_main_job import SHORT, cli

pytestmark = pytest.mark.slow

SMALLEST_TEXT_PX = 12
PAPER_WIDTH = 718
"""A4 at 96 dots per inch, without the margins that browsers leave."""

TEXTS = """
return [...document.body.querySelectorAll('*')]
  .filter(element => [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
  .map(element => [element.textContent.trim().slice(0, 40), parseFloat(getComputedStyle(element).fontSize)])
"""
IMAGES = """
return [...document.images].map(image => ({
  alt: image.alt, complete: image.complete, natural: image.naturalWidth, shown: image.clientWidth,
  rendering: getComputedStyle(image).imageRendering, drawn: image.closest('.drawn') !== null}))
"""
OUT_OF_SIGHT = """
const scrolls = element => element && (/auto|scroll/.test(getComputedStyle(element).overflowX)
  || scrolls(element.parentElement));
return [...document.body.querySelectorAll('*')]
  .filter(element => element.getBoundingClientRect().right > arguments[0] + 1 && !scrolls(element.parentElement))
  .map(element => element.outerHTML.slice(0, 80))
"""
CUT_ON_PAPER = """
return [...document.body.querySelectorAll('*')]
  .filter(element => element.scrollWidth > element.clientWidth + 1 && element.clientWidth)
  .map(element => element.outerHTML.slice(0, 80))
"""


class Screen(NamedTuple):
    """Size in CSS pixels; whether it is a phone, on which a page has to ask for the true width."""

    width: int
    height: int
    mobile: bool


PHONE, DESK = Screen(390, 844, True), Screen(1280, 900, False)


class Page:
    """The report, opened."""

    def __init__(self, driver: Any, address: str) -> None:
        self.driver, self.address = driver, address

    def on(self, screen: Screen) -> Page:
        """Open it anew on a screen."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": screen.width, "height": screen.height, "deviceScaleFactor": 1, "mobile": screen.mobile},
        )
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        self.driver.get(self.address)
        return self

    def ask(self, script: str, *arguments: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def picture(self) -> Image.Image:
        """The whole page, also what has to be scrolled to."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True})
        return Image.open(io.BytesIO(base64.b64decode(shot["data"])))


@pytest.fixture(scope="module")
def page(driver, tmp_path_factory):
    root = tmp_path_factory.mktemp("root")
    code, _, errors = cli("run", "--task", "Report", "--root", root, settings=SHORT)
    assert code == 0, errors
    return Page(driver, (root / "runs/digits/Report/report.html").resolve().as_uri())


@pytest.fixture(params=[PHONE, DESK], ids=["phone", "desk"])
def screen(request):
    return request.param


def test_no_image_is_missing(page, screen):
    images = page.on(screen).ask(IMAGES)
    assert len(images) >= 9
    for image in images:
        assert image["complete"], image
        assert image["natural"] > 0, image
        assert image["shown"] > 0, image
        assert image["alt"], "who cannot see the picture is told what it shows"


def test_small_images_are_not_smoothed_and_letters_in_pictures_stay_large(page, screen):
    images = page.on(screen).ask(IMAGES)
    drawn = [image for image in images if image["drawn"]]
    assert 0 < len(drawn) < len(images)
    for image in drawn:
        assert image["shown"] >= 0.8 * image["natural"], image
        assert image["rendering"] == "auto", image
    for image in images:
        if not image["drawn"]:
            assert image["shown"] <= screen.width, image
            assert image["rendering"] == "pixelated", image


def test_the_browser_has_nothing_to_complain_of(page, screen):
    page.on(screen)
    assert page.driver.get_log("browser") == []


def test_an_error_of_a_script_would_have_been_seen(page):
    page.on(DESK).ask(
        "const wrong = document.createElement('script'); wrong.text = 'nowhere()'; document.body.append(wrong)"
    )
    assert "nowhere is not defined" in page.driver.get_log("browser")[0]["message"]


def test_nothing_is_wider_than_the_screen(page, screen):
    page.on(screen)
    assert page.ask("return window.innerWidth") == screen.width
    assert page.ask("return document.scrollingElement.scrollWidth") <= screen.width
    assert page.ask(OUT_OF_SIGHT, screen.width) == [], "beyond the edge, and not in a box that scrolls"


def test_all_text_can_be_read(page, screen):
    texts = page.on(screen).ask(TEXTS)
    assert len(texts) > 50
    assert [(text, size) for text, size in texts if size < SMALLEST_TEXT_PX] == []


def test_the_page_has_a_title_a_language_and_one_first_heading(page):
    page.on(DESK)
    assert "digits" in page.driver.title
    assert page.ask("return document.documentElement.lang") == "en"
    assert page.ask("return [...document.querySelectorAll('h1')].length") == 1


def test_the_picture_of_the_page_is_as_wide_as_the_screen_and_not_empty(page, screen, tmp_path):
    picture = page.on(screen).picture()
    picture.save(tmp_path / "report.png")
    assert picture.width == screen.width
    assert picture.height == page.ask("return document.documentElement.scrollHeight")
    grey = np.asarray(picture.convert("L"))
    assert 0.01 < np.mean(grey < 128) < 0.5, "dark letters and pictures on a light page"


def test_nothing_is_cut_on_paper(page):
    page.on(Screen(PAPER_WIDTH, 1000, False))
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert page.ask(CUT_ON_PAPER) == []
