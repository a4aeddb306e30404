"""How Luigi is called: quiet, without retries of its own, judged by what is on disk."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import lru_cache
from http.client import HTTPException
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import luigi
from luigi.execution_summary import LuigiStatusCode
from luigi.metrics import MetricsCollectors
from luigi.rpc import RPCError
from luigi.scheduler import Scheduler
from luigi.worker import Worker

from ebm_tf.config_files import CONFIG_FOLDER
from ebm_tf.errors import ConfigError, MissingInput
from pipelines.running.central import CentralScheduler, CentralWorker
from pipelines.stage_task import StageTask

LUIGI_CONFIG = CONFIG_FOLDER / "luigi.cfg"
CONNECT_SECONDS = 3.0
FRUITLESS_ROUNDS = 5
"""Times that the tasks are given anew to a central scheduler which each time forgets or drops them."""


def scheduler_arguments(scheduler: str) -> dict[str, object]:
    """Luigi's arguments for "local" or "HOST:PORT".

    Raises:
        ConfigError: it is neither.
        MissingInput: nothing answers there.
    """
    if scheduler == "local":
        return {"local_scheduler": True}
    host, _, port = scheduler.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"--scheduler received {scheduler!r}; give local or HOST:PORT")
    # Asked here, because Luigi's own attempts take minutes to give up.
    question = urlencode({"data": json.dumps({"status": "RUNNING", "upstream_status": ""})})
    try:
        with urlopen(f"http://{scheduler}/api/task_list?{question}", timeout=CONNECT_SECONDS) as answer:
            json.load(answer)["response"]
    except (OSError, ValueError, TypeError, KeyError, HTTPException) as error:
        raise MissingInput(
            f"no Luigi scheduler at {scheduler} ({error}); start one there: python cli.py scheduler --port {port}"
        ) from error
    return {"scheduler_host": host, "scheduler_port": int(port)}


def schedule(
    root_tasks: Sequence[StageTask],
    scheduler: str,
    workers: int,
    accelerators: int = 1,
    wait: bool = True,
    debug: bool = False,
) -> bool:
    """Let Luigi build the tasks and what they stand on.

    Args:
        root_tasks: what is wanted.
        scheduler: "local" or "HOST:PORT".
        workers: tasks at the same time.
        accelerators: how many of them may train or sample, where the scheduler is local.
        wait: at a central scheduler, wait for what others build; when they fail, it is tried here.
        debug: let Luigi's log be heard.

    Returns:
        Whether all of them are there afterwards.

    Raises:
        ConfigError: the scheduler is none.
        MissingInput: it does not answer, or has stopped answering.
    """
    configure(accelerators, debug)
    arguments = scheduler_arguments(scheduler)
    fruitless = 0
    while True:
        parts = Parts([task.task_id for task in root_tasks], wait)
        try:
            result = luigi.build(list(root_tasks), parts, workers=workers, detailed_summary=True, **arguments)
        except RPCError as error:
            raise MissingInput(
                f"the Luigi scheduler at {scheduler} has stopped answering; what is done is kept: "
                "run again when it is back, or with --scheduler local"
            ) from error
        succeeded = result.scheduling_succeeded or result.status is LuigiStatusCode.SUCCESS_WITH_RETRY
        if succeeded and all(task.complete() for task in root_tasks):
            return True
        worker = result.worker
        fruitless = 0 if getattr(worker, "waited", False) else fruitless + 1
        if not succeeded or not getattr(worker, "to_be_renewed", False) or fruitless > FRUITLESS_ROUNDS:
            return False


def configure(accelerators: int, debug: bool) -> None:
    """Lay the shipped config over whatever else Luigi has read, and keep Luigi quiet unless `debug`."""
    _read_shipped_config()
    luigi.configuration.get_config().set("resources", "accelerator", str(accelerators))
    if debug:
        logging.basicConfig(level=logging.INFO)
    for name in ("luigi", "luigi-interface"):
        logging.getLogger(name).setLevel(logging.INFO if debug else logging.CRITICAL + 1)


@lru_cache(maxsize=1)
def _read_shipped_config() -> None:
    luigi.configuration.add_config_path(str(LUIGI_CONFIG))


class Parts:
    """What `luigi.build` makes its scheduler and worker by.

    Args:
        roots: ids of the tasks that are wanted.
        wait: at a central scheduler, wait for what others build.
    """

    def __init__(self, roots: Sequence[str], wait: bool) -> None:
        self._roots = roots
        self._wait = wait

    def create_local_scheduler(self) -> Scheduler:
        """One in this process, for this run."""
        return Scheduler(prune_on_get_work=True, metrics_collector=MetricsCollectors.none)

    def create_remote_scheduler(self, url: str) -> CentralScheduler:
        """The one at the address."""
        return CentralScheduler(url)

    def create_worker(self, scheduler: Any, worker_processes: int, assistant: bool = False) -> Worker:
        """What does the work of this run."""
        told = {"scheduler": scheduler, "worker_processes": worker_processes, "assistant": assistant}
        if isinstance(scheduler, CentralScheduler):
            return CentralWorker(self._roots, self._wait, **told)
        return Worker(**told)
