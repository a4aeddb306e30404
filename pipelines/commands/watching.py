"""A run as it goes: bars on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from pipelines.asking.times import duration
from pipelines.journal import Journal

BAR_COLUMNS = 12
POLL_SECONDS = 0.2
PLAIN_LINE_SECONDS = 5.0


class Watcher:
    """While entered, shows on the console what the journal says."""

    def __init__(self, journal: Journal, console: Console) -> None:
        self._journal = journal
        self._view = view_on(console)
        self._offset = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._show_news()
        self._view.close()

    def _follow(self) -> None:
        while not self._over.wait(POLL_SECONDS):
            self._show_news()

    def _show_news(self) -> None:
        events, self._offset = self._journal.read_from(self._offset)
        for event in events:
            self._view.show(event)


class View(Protocol):
    """Something that shows events."""

    def show(self, event: dict[str, Any]) -> None:
        """Show one event of the journal."""

    def close(self) -> None:
        """Leave the console as a terminal should be left."""


class Bars:
    """One bar for each running task, with the time that is left."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description:<22}"),
            BarColumn(BAR_COLUMNS),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(table_column=Column(no_wrap=True)),
            # The message alone gives way where the terminal is narrow.
            TextColumn(
                "{task.fields[message]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)
            ),
            console=console,
            transient=True,
            expand=True,
        )
        self._progress.start()
        self._bars: dict[str, TaskID] = {}

    def show(self, event: dict[str, Any]) -> None:
        """Move, open or close the task's bar."""
        task = event["key"]
        if event["event"] == "started":
            self._bars[task] = self._progress.add_task(event["task"], total=None, message="")
        elif event["event"] == "progress":
            self._progress.update(
                self._bars[task],
                completed=event["done"],
                total=event["total"] or None,
                message=event["message"],
            )
        else:
            self._progress.remove_task(self._bars.pop(task))
            self._progress.console.print(ending_line(event), highlight=False, markup=False)

    def close(self) -> None:
        """Take the bars away."""
        self._progress.stop()


class Pace(NamedTuple):
    """When a task first told how much was done, and how much that was: it may have gone on from there."""

    began: float
    done: int

    def seconds_left(self, now: float, done: int, total: int) -> float | None:
        """At the pace since then; None where nothing was done since, or the total is not known."""
        return (
            (now - self.began) * (total - done) / (done - self.done) if done > self.done and total else None
        )


class Lines:
    """Plain lines, at most one per task every few seconds, with the time that is left."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown: dict[str, float] = {}
        self._pace: dict[str, Pace] = {}

    def show(self, event: dict[str, Any]) -> None:
        """Print the event, unless the task has had its line just now."""
        task, now = event["key"], time.monotonic()
        if event["event"] == "started":
            self._shown[task] = now
            self._pace.pop(task, None)
            self._print(f"{event['task']}: started")
        elif event["event"] != "progress":
            self._print(ending_line(event))
        else:
            pace = self._pace.setdefault(task, Pace(now, event["done"]))
            if now - self._shown.get(task, 0.0) >= PLAIN_LINE_SECONDS:
                self._shown[task] = now
                left = pace.seconds_left(now, event["done"], event["total"])
                told = "" if left is None else f" (about {duration(left)} left)"
                self._print(f"{event['task']}: {event['done']}/{event['total']}{told} {event['message']}")

    def close(self) -> None:
        """Nothing is left open."""

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def view_on(console: Console) -> View:
    """Bars on a terminal, lines elsewhere."""
    return Bars(console) if console.is_terminal else Lines(console)


@contextmanager
def shown(title: str, console: Console) -> Iterator[Callable[[int, int, str], None]]:
    """For work in this process: gives a function that is told how much is done, of how much, and what."""
    view, began = view_on(console), time.monotonic()
    about = {"task": title, "key": title}
    view.show({**about, "event": "started"})

    def tell(done: int, total: int, message: str) -> None:
        view.show({**about, "event": "progress", "done": done, "total": total, "message": message})

    ending = "failed"
    try:
        yield tell
        ending = "done"
    finally:
        view.show({**about, "event": ending, "seconds": time.monotonic() - began})
        view.close()


def ending_line(event: dict[str, Any]) -> str:
    """How a task ended, in a line."""
    return f"{event['task']}: {event['event']} ({event['seconds']:.1f} s)"
