"""Dates and durations in words; a clock that is or was wrong is said, and breaks nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Optional

UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))
SKEW = timedelta(minutes=2)
"""How far two machines' clocks may be apart before a date counts as one of the future."""
LONG_AGO = datetime.min.replace(tzinfo=timezone.utc)


def now() -> datetime:
    """The time of this machine's clock, in UTC."""
    return datetime.now(timezone.utc)


def started(record: Mapping[str, Any]) -> Optional[datetime]:
    """When an artifact's build, or the last attempt at it, began, in UTC; None where its record does not tell."""
    try:
        began = datetime.fromisoformat(record["started"])
        return (began if began.tzinfo else began.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def recency(date: Optional[datetime], at: datetime) -> datetime:
    """What to sort by, the newest being the largest: dates that are not known or of the future count as the oldest.

    A clock that once stood in the future would otherwise keep its artifacts first for good.
    """
    return LONG_AGO if date is None or date > at + SKEW else date


def age(date: Optional[datetime], at: datetime) -> str:
    """Such as "3 h ago"; of a date of the future that it is one."""
    if date is None:
        return "at a time that is not known"
    if date > at + SKEW:
        return "in the future: a clock is or was wrong"
    passed = (at - date).total_seconds()
    return next((f"{int(passed // size)} {unit} ago" for size, unit in UNITS if passed >= size), "just now")


def date_in_words(date: Optional[datetime], at: datetime) -> str:
    """Such as "2024-05-01 12:30 UTC (3 h ago)"."""
    if date is None:
        return age(date, at)
    return f"{date:%Y-%m-%d %H:%M} UTC ({age(date, at)})"


def duration(seconds: float) -> str:
    """Such as "0.4 s", "12 s", "3 min 20 s", "2 h 5 min" or "1 d 4 h"."""
    if seconds < 9.95:
        return f"{max(seconds, 0):.1f} s"
    whole = round(seconds)
    for (size, unit), (finer, below) in zip(UNITS, UNITS[1:]):
        if whole >= size:
            count, rest = divmod(whole, size)
            return f"{count} {unit}" + (f" {rest // finer} {below}" if rest >= finer else "")
    return f"{whole} s"
