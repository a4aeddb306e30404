"""Roots and command lines to be disturbed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.warm import WarmRuns
from tests.pipelines.conftest import lab  # noqa: F401  (a fixture)


@pytest.fixture(scope="session")
def warm() -> Iterator[WarmRuns]:
    """The command line, loaded once."""
    runs = WarmRuns()
    yield runs
    runs.end()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Count the kills of all tests."""
    total: Counter[str] = Counter()
    for report in (*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")):
        total.update(dict(report.user_properties).get("kills", {}))
    if total:
        terminalreporter.write_line("kills: " + ", ".join(f"{count} {what}" for what, count in total.items()))
