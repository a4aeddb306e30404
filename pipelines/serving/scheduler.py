"""Luigi's central scheduler with its page, as a server that keeps what it knows."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from socket import socket
from typing import Any

import luigi.scheduler
from luigi.contrib.prometheus_metric import PrometheusMetricsCollector
from luigi.metrics import MetricsCollectors
from luigi.server import app
from tornado.httpserver import HTTPServer

from pipelines.interruption import SIGNALS
from pipelines.serving.scheduler_state import StateFolder

SAVE_SECONDS = 3.0


class Metrics(PrometheusMetricsCollector):
    """Luigi's numbers, also of tasks that ended here and began before the scheduler did."""

    def handle_task_failed(self, task: Any) -> None:
        """Count it, and say how long it took where that is known."""
        self._date(task)
        super().handle_task_failed(task)

    def handle_task_disabled(self, task: Any, config: Any) -> None:
        """Count it, and say how long it took where that is known."""
        self._date(task)
        super().handle_task_disabled(task, config)

    def _date(self, task: Any) -> None:
        if task.time_running is None:
            task.time_running = task.updated


class KeepingScheduler(luigi.scheduler.Scheduler):
    """Luigi's scheduler with its state in a `StateFolder`.

    Args:
        folder: where the state is kept.
        accelerators: tasks that train or sample at the same time.
        say: told in a line what went wrong with the state; nothing of that ends the scheduler.
    """

    def __init__(self, folder: StateFolder, accelerators: int, say: Callable[[str], None]) -> None:
        super().__init__(
            resources={"accelerator": accelerators},
            metrics_collector=MetricsCollectors.custom,
            metrics_custom_import=f"{Metrics.__module__}.{Metrics.__qualname__}",
        )
        self._folder = folder
        self._say = say
        self._failing = ""

    def load(self) -> None:
        """Take up what was saved."""
        if trouble := self._folder.load(self._state):
            self._say(trouble)

    def dump(self) -> None:
        """Save what has changed."""
        try:
            self._folder.save(self._state)
            self._failing = ""
        except OSError as error:
            if str(error) != self._failing:
                self._failing = str(error)
                self._say(f"the state cannot be saved ({error}); that is tried again every few seconds")


def serve(
    sockets: Sequence[socket], scheduler: KeepingScheduler, ready: Callable[[], None], debug: bool
) -> int:
    """Answer until a signal comes; the state is saved every few seconds and at the end.

    Args:
        sockets: listening ones.
        scheduler: what answers.
        ready: called once it does.
        debug: let Luigi's and Tornado's logs be heard.

    Returns:
        The signal's number.
    """
    if not debug:
        logging.getLogger("tornado.access").setLevel(logging.ERROR)
    return asyncio.run(_serve(sockets, scheduler, ready))


async def _serve(sockets: Sequence[socket], scheduler: KeepingScheduler, ready: Callable[[], None]) -> int:
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()

    def stop(number: int) -> None:
        if not stopped.done():
            stopped.set_result(number)

    for number in SIGNALS:
        loop.add_signal_handler(number, stop, number)
    scheduler.load()
    server = HTTPServer(app(scheduler))
    server.add_sockets(sockets)
    ready()
    while not stopped.done():
        await asyncio.wait([stopped], timeout=SAVE_SECONDS)
        scheduler.prune()
        scheduler.dump()
    server.stop()
    return int(stopped.result())
