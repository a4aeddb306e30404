"""What tests of several subjects need."""

import pytest


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A browser with a profile of its own."""
    browser = pytest.importorskip("tools.browser", reason="selenium is not installed (extra: test)")
    try:
        with browser.browser(tmp_path_factory.mktemp("profile")) as opened:
            yield opened
    except browser.NoBrowser as error:
        pytest.skip(str(error))
