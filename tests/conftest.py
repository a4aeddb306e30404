"""What tests of several subjects need."""

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    """A browser with a profile of its own."""
    browser = pytest.importorskip("tools.browser", reason="selenium is not installed (extra: test)")
    try:
        with browser.browser(tmp_path_factory.mktemp("profile")) as opened:
            yield opened
    except browser.NoBrowser as error:
        pytest.skip(str(error))  # on a machine without a browser: the error says which are looked for


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The folder of the documentation, built as `make docs` does."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder
