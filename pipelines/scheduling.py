"""How Luigi is called: quiet, without retries, judged by what is on disk."""

from __future__ import annotations

import json
import logging
from http.client import HTTPException
from urllib.parse import urlencode
from urllib.request import urlopen

import luigi
from luigi.execution_summary import LuigiStatusCode

from ebm_tf.errors import ConfigError, MissingInput
from pipelines.stage_task import StageTask

CONNECT_SECONDS = 3.0
LUIGI_SETTINGS = {
    ("worker", "check_complete_on_run"): "true",
    ("worker", "keep_alive"): "false",
    ("worker", "wait_interval"): "0.2",
    # Luigi's default adds up to five seconds to each wait.
    ("worker", "wait_jitter"): "0.1",
    ("scheduler", "retry_count"): "1",
    # Otherwise a task that was just done is refused for ten seconds.
    ("scheduler", "stable_done_cooldown_secs"): "0",
    ("core", "no_configure_logging"): "true",
}


def scheduler_arguments(scheduler: str) -> dict[str, object]:
    """Luigi's arguments for "local" or "HOST:PORT".

    Raises:
        ConfigError: it is neither.
        MissingInput: nothing answers there.
    """
    if scheduler == "local":
        return {"local_scheduler": True}
    host, _, port = scheduler.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(f"--scheduler received {scheduler!r}; give local or HOST:PORT")
    # Asked here, because Luigi's own attempts take minutes to give up.
    question = urlencode({"data": json.dumps({"status": "RUNNING", "upstream_status": ""})})
    try:
        with urlopen(f"http://{scheduler}/api/task_list?{question}", timeout=CONNECT_SECONDS) as answer:
            json.load(answer)["response"]
    except (OSError, ValueError, TypeError, KeyError, HTTPException) as error:
        raise MissingInput(f"no Luigi scheduler at {scheduler} ({error}); start luigid there") from error
    return {"scheduler_host": host, "scheduler_port": int(port)}


def schedule(root_task: StageTask, scheduler: str, workers: int, debug: bool = False) -> bool:
    """Let Luigi build the task and what it stands on; True when it is there afterwards."""
    settings = luigi.configuration.get_config()
    for (section, key), value in LUIGI_SETTINGS.items():
        settings.set(section, key, value)
    if debug:
        logging.basicConfig(level=logging.INFO)
    for name in ("luigi", "luigi-interface"):
        logging.getLogger(name).setLevel(logging.INFO if debug else logging.CRITICAL + 1)
    result = luigi.build(
        [root_task], workers=workers, detailed_summary=True, **scheduler_arguments(scheduler)
    )
    succeeded = result.status in (LuigiStatusCode.SUCCESS, LuigiStatusCode.SUCCESS_WITH_RETRY)
    return succeeded and root_task.complete()
