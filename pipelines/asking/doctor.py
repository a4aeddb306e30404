"""Is this machine ready: versions, devices, disk, data sets, trained weights."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from pipelines.provenance import REPOSITORY, host, versions

DEVICES_SECONDS = 120
DEVICES_PROGRAM = """
import json, tensorflow as tf
print(json.dumps([{"type": d.device_type, "name": d.name} for d in tf.config.list_physical_devices()]))
"""
DATASETS_PROGRAM = """
import json
from ebm_tf.datasets.registry import SOURCES
print(json.dumps({name: source.licence for name, source in SOURCES.items()}))
"""


def examine(root: Path) -> dict[str, Any]:
    """Versions, devices, free disk at the root and data sets; what cannot be found out says why."""
    place = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    return {
        "versions": versions(),
        "host": host(),
        "cores": os.cpu_count(),
        "devices": _ask(DEVICES_PROGRAM),
        "free_disk_mb": shutil.disk_usage(place).free >> 20,
        "datasets": _ask(DATASETS_PROGRAM),
        "weights": {task: _artifacts(root, task) for task in ("TrainEBM", "TrainFeatureExtractor")},
    }


def _artifacts(root: Path, task: str) -> list[str]:
    """The finished artifacts of a task below the root."""
    return sorted(path.parent.name for path in (root / "artifacts" / task).glob("[0-9a-f]*/params.json"))


def _ask(program: str) -> Any:
    """What a fresh process prints as JSON; its own process, because TensorFlow is never imported here."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", program]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=DEVICES_SECONDS, env=environment
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {DEVICES_SECONDS} s"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or ["failed"])[-1]
    return json.loads(done.stdout.splitlines()[-1])
