"""Dates and durations in words, and clocks that are wrong."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from pipelines.asking.times import age, date_in_words, duration, recency, started

AT = datetime(2024, 5, 1, 12, 0, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    "seconds, words",
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (3601, "1 h"),
        (86_400 + 4 * 3600, "1 d 4 h"),
        (86_400 + 300, "1 d"),
        (-5, "0.0 s"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    "text, expected",
    [
        ("2024-05-01T12:00:00+00:00", AT),
        ("2024-05-01T14:00:00+02:00", AT),
        ("2024-05-01T12:00:00", AT),
        ("yesterday", None),
        ("", None),
        (7, None),
        (None, None),
        ("0001-01-01T00:00:00+10:00", None),
    ],
)
def test_dates_of_records_are_in_utc_or_not_known(text: object, expected: datetime | None) -> None:
    assert started({"started": text}) == expected
    assert started({}) is None


def test_ages_are_told_in_the_largest_unit() -> None:
    for passed, words in ((0.5, "just now"), (61, "1 min ago"), (7199, "1 h ago"), (3 * 86_400, "3 d ago")):
        assert age(AT - timedelta(seconds=passed), AT) == words
    assert date_in_words(AT - timedelta(hours=3), AT) == "2024-05-01 09:00 UTC (3 h ago)"
    assert date_in_words(None, AT) == "at a time that is not known"


def test_clocks_that_are_a_little_apart_are_not_wrong() -> None:
    assert age(AT + timedelta(seconds=60), AT) == "just now"
    assert age(AT + timedelta(hours=1), AT) == "in the future: a clock is or was wrong"


def test_dates_of_the_future_are_no_newer_than_any() -> None:
    dates = [AT + timedelta(days=900), None, AT - timedelta(days=1), AT]
    assert sorted(dates, key=lambda date: recency(date, AT), reverse=True)[:2] == [AT, AT - timedelta(days=1)]
