"""A run at a scheduler that others use too: it outlives the scheduler's restarts, and waits for what others build."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Optional

from luigi.rpc import RemoteScheduler
from luigi.task_status import DISABLED, DONE, FAILED, PENDING, RUNNING, UNKNOWN
from luigi.worker import Worker
from tenacity import Retrying, stop_after_delay, wait_fixed

ATTEMPT_SECONDS = 5.0
RETRY_SECONDS = 1.0
PATIENCE_SECONDS = 60.0
"""How long a scheduler may be away, or start again, without an end to the run."""
LOOK_SECONDS = 1.0
WITHHELD_SECONDS = 30.0
"""How long to ask for a task that nobody holds: longer than a dead worker counts as alive (configs/luigi.cfg)."""
FOR_SHOW = ("/api/ping", "/api/set_task_status_message", "/api/set_task_progress_percentage")
"""Calls whose loss does no harm, because the next of the kind says it all."""

Tasks = Mapping[str, Mapping[str, Any]]
"""Tasks by id, as the scheduler's /api/dep_graph and /api/task_list tell of them."""


class Prospect(Enum):
    """What may become of tasks of which none is given out just now."""

    HELD = "another worker builds one of them, or has the resource that one needs"
    WITHHELD = "one could be given out"
    DROPPED = "one failed in the hands of another, or is not known any more; it may be asked for anew"
    NONE = "nothing more will happen"


class Outlook(NamedTuple):
    """A prospect, and the sentence that says whom it depends on."""

    prospect: Prospect
    reason: str = ""


def outlook(wanted: Tasks, running: Tasks) -> Outlook:
    """What may become of tasks of which the scheduler gives out none to a worker that builds nothing itself.

    Args:
        wanted: the tasks that are not done, each with what it stands on.
        running: all that anybody builds.
    """
    states = {task["status"] for task in wanted.values()}
    if DISABLED in states:
        return Outlook(Prospect.NONE)
    if FAILED in states or UNKNOWN in states:
        return Outlook(Prospect.DROPPED)
    for task_id, task in running.items():
        if task_id in wanted:
            return Outlook(Prospect.HELD, f"{task['name']} is being built by {_worker(task)}")
    ready = [
        task for task in wanted.values() if task["status"] == PENDING and not set(task["deps"]) & set(wanted)
    ]
    for task in ready:
        for other in running.values():
            if shared := sorted(set(task["resources"] or ()) & set(other["resources"] or ())):
                doer = f"{_worker(other)}, which builds {other['name']}"
                return Outlook(Prospect.HELD, f"{task['name']} needs the {shared[0]} of {doer}")
    return Outlook(Prospect.WITHHELD if ready else Prospect.NONE)


def _worker(task: Mapping[str, Any]) -> str:
    """Who builds a task, from what Luigi calls its workers: Worker(salt=1, workers=1, host=a, username=b, pid=2)."""
    named = str(task.get("worker_running"))
    pid, host = re.search(r"\bpid=(\d+)", named), re.search(r"\bhost=([^,)]+)", named)
    return f"process {pid[1]} on {host[1]}" if pid and host else named


def _said(data: Mapping[str, Any]) -> dict[str, Any]:
    """What a link is told with."""
    return {key: data[key] for key in ("task_id", "worker", "status", "tracking_url")}


class CentralScheduler(RemoteScheduler):
    """The scheduler as a run sees it: what is only shown is said once, all else until it is heard."""

    def __init__(self, url: str) -> None:
        super().__init__(url, connect_timeout=ATTEMPT_SECONDS)
        self._given: dict[str, dict[str, Any]] = {}

    def _get_retryer(self) -> Retrying:
        return Retrying(wait=wait_fixed(RETRY_SECONDS), stop=stop_after_delay(PATIENCE_SECONDS), reraise=True)

    def _request(self, url: str, data: dict[str, Any], attempts: int = 3, allow_null: bool = True) -> Any:
        if url == "/api/add_task":
            if data["tracking_url"]:
                # Of itself, Luigi would take a task's resources from it together with giving it a link.
                return self._once(url, {**self._given.get(data["task_id"], {}), **_said(data)})
            self._given[data["task_id"]] = data
        if url in FOR_SHOW:
            return self._once(url, data)
        return super()._request(url, data, attempts, allow_null)

    def _once(self, url: str, data: dict[str, Any]) -> Any:
        """The answer to one attempt; None when there is none."""
        try:
            page = self._fetcher.fetch(self._url + url, {"data": json.dumps(data)}, self._connect_timeout)
            return json.loads(page)["response"]
        except self._fetcher.raises:
            return None

    def give_back(self, task_id: str, worker: str) -> None:
        """Say that the worker has left a task undone, so that others need not wait until that shows."""
        left = {"task_id": task_id, "worker": worker, "status": FAILED, "expl": json.dumps("interrupted")}
        self._once("/api/add_task", left)


class CentralWorker(Worker):
    """A worker that waits for what others build, as long as that can help.

    Attributes:
        waited: it had to.
        to_be_renewed: it ended because tasks have to be given to the scheduler anew.
    """

    def __init__(self, roots: Sequence[str], wait: bool, **told: Any) -> None:
        super().__init__(**told)
        self.waited = False
        self.to_be_renewed = False
        self._roots = roots
        self._wait = wait
        self._said = ""
        self._withheld_from: Optional[float] = None

    def _keep_alive(self, get_work_response: Any) -> bool:
        """Asked by Luigi when this worker builds nothing and is given nothing."""
        if not (self._wait and self.run_succeeded and self.add_succeeded):
            return False
        prospect, reason = self._outlook()
        self.to_be_renewed = prospect is Prospect.DROPPED
        now = time.monotonic()
        if prospect is Prospect.HELD:
            self.waited, self._withheld_from = True, None
            self._say(reason)
        elif prospect is Prospect.WITHHELD:
            self._withheld_from = self._withheld_from or now
            if now - self._withheld_from > WITHHELD_SECONDS:
                return False
        else:
            return False
        time.sleep(LOOK_SECONDS)
        return True

    def _outlook(self) -> Outlook:
        wanted: dict[str, Mapping[str, Any]] = {}
        for root in self._roots:
            # Not through tasks that are done: what they once stood on may have failed since.
            graph = self._scheduler.dep_graph(task_id=root, include_done=False)
            if not graph:
                return Outlook(Prospect.DROPPED)
            if graph[root]["status"] != DONE:
                wanted.update(graph)
        return outlook(wanted, self._scheduler.task_list(status=RUNNING, limit=False))

    def _say(self, reason: str) -> None:
        if reason != self._said:
            self._said = reason
            print(f"waits: {reason}", file=sys.stderr)

    def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
        left = list(self._running_tasks) if kind else []
        try:
            return super().__exit__(kind, error, trace)
        finally:
            for task_id in left:
                self._scheduler.give_back(task_id, self._id)
