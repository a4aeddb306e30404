"""Which processes train together and which of them this one is, from TF_CONFIG or from the settings.

No TensorFlow here: the pipeline asks before anything has run.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from ebm_tf.config import Compute, addresses
from ebm_tf.errors import ConfigError

TF_CONFIG = "TF_CONFIG"
EXAMPLE = '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
AGAIN = "start every worker again, and training goes on from the last checkpoint"
JOBS = ("chief", "worker")
"""Kinds of workers that train, as TF_CONFIG names them; a chief is worker 0, and moves the others one on."""


@dataclass(frozen=True)
class Cluster:
    """Workers as "host:port", the chief first, and the place of this process among them."""

    workers: tuple[str, ...]
    index: int

    @property
    def address(self) -> str:
        """Of this process."""
        return self.workers[self.index]

    @property
    def chief(self) -> str:
        """The address of worker 0, which keeps the results."""
        return self.workers[0]

    def named(self, index: int) -> str:
        """What people are told, such as "worker 1 (host:port)"."""
        return f"{'the chief' if index == 0 else f'worker {index}'} ({self.workers[index]})"


def cluster_of(compute: Compute, environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that a config with compute.strategy=multi_worker is to train in.

    Args:
        environment: where TF_CONFIG is looked for; it and compute.workers may both be given if they say the same.

    Raises:
        ConfigError: there is none, or two, or it is no cluster.
    """
    text = environment.get(TF_CONFIG, "").strip()
    told = _of_tf_config(text) if text else None
    given = _of_settings(compute, told)
    if told is not None and given is not None and told != given:
        raise ConfigError(
            f"TF_CONFIG makes this worker {told.index} of {', '.join(told.workers)}, but compute.workers and "
            f"compute.worker make it worker {given.index} of {', '.join(given.workers)}; give one of them"
        )
    found = told or given
    if found is None:
        raise ConfigError(
            f"compute.strategy is multi_worker, but there is no cluster; give TF_CONFIG as {EXAMPLE}, or "
            "compute.workers and compute.worker"
        )
    return found


def demand_chief(compute: Compute, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to run tasks on a worker that is not the chief; nothing to refuse where one process trains alone.

    Raises:
        ConfigError: it is another one, or the cluster is none.
    """
    if compute.strategy != "multi_worker":
        return
    cluster = cluster_of(compute, environment)
    if cluster.index:
        raise ConfigError(
            f"this is {cluster.named(cluster.index)}, and tasks run on the chief ({cluster.chief}) alone; use the "
            "command join here, with the same --config and --set"
        )


def demand_other_worker(compute: Compute, environment: Mapping[str, str] = os.environ) -> Cluster:
    """The cluster that this process may join.

    Raises:
        ConfigError: it is the chief, or there is nothing to join.
    """
    if compute.strategy != "multi_worker":
        raise ConfigError(
            f"compute.strategy is {compute.strategy}, which one process does alone; to train in several, set "
            "compute.strategy=multi_worker on each of them"
        )
    cluster = cluster_of(compute, environment)
    if not cluster.index:
        raise ConfigError(
            f"this is {cluster.named(0)}, which runs the task that trains: run --task TrainEBM; join is for the "
            "other workers"
        )
    return cluster


def _of_settings(compute: Compute, told: Optional[Cluster]) -> Optional[Cluster]:
    """The cluster of compute.workers; which of them this is, TF_CONFIG may say."""
    if not compute.workers:
        return None
    index = compute.worker
    if index is None and told is not None:
        index = told.index
    if index is None:
        raise ConfigError(
            f"compute.workers names {len(compute.workers)}, but not which of them this is; give compute.worker, from "
            f"0 (the chief) to {len(compute.workers) - 1}"
        )
    return Cluster(compute.workers, index)


def _of_tf_config(text: str) -> Cluster:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise ConfigError(f"TF_CONFIG is no JSON ({error}); give {EXAMPLE}") from error
    jobs = _mapping(_mapping(values, "it").get("cluster"), "cluster")
    task = _mapping(values.get("task"), "task")
    if others := [name for name, members in jobs.items() if members and name not in JOBS]:
        raise _wrong(f"cluster has {' and '.join(others)}, but only chief and worker can take part")
    counts = {job: len(_list(jobs.get(job, []), f"cluster.{job}")) for job in JOBS}
    if counts["chief"] > 1:
        raise _wrong(f"cluster.chief has {counts['chief']} addresses, and there can be one")
    kind, index = task.get("type"), task.get("index")
    if kind not in JOBS:
        raise _wrong(f"task.type is {kind!r}; give chief or worker")
    if isinstance(index, str) and index.isdecimal():
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < counts[kind]:
        raise _wrong(
            f"task.index is {index!r}, and cluster.{kind} has {counts[kind]} addresses, counted from 0"
        )
    try:
        workers = addresses([*jobs.get("chief", []), *jobs.get("worker", [])])
    except ValueError as error:
        raise _wrong(f"cluster {error}") from error
    return Cluster(workers, index + (counts["chief"] if kind == "worker" else 0))


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        received = "missing" if value is None else repr(value)
        raise _wrong(f"{what} is {received}, and should be a mapping")
    return value


def _list(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list):
        raise _wrong(f"{what} is {value!r}, and should be a list of addresses")
    return value


def _wrong(what: str) -> ConfigError:
    return ConfigError(f"TF_CONFIG: {what}; give {EXAMPLE}")
