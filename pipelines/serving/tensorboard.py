"""TensorBoard over the artifacts of a root, and its address as the scheduler's page links to it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import NoReturn, Optional

from ebm_tf.errors import MissingInput
from pipelines.artifact import Artifact
from pipelines.serving.address import free_port, url_of

HOST = "127.0.0.1"
PORT = 6006
DATA = "tensorboard"
"""Folder of an artifact that has what TensorBoard shows; a stage may write it beside its checkpoints first."""
# TensorBoard imports TensorFlow, whose greetings are of no use here.
ENVIRONMENT = {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONWARNINGS": "ignore"}


def tracking_url(artifact: Artifact) -> Optional[str]:
    """Where TensorBoard shows the artifact, built or in work; None while it has nothing to show.

    The address is that of the TensorBoard that was last started for the root, or else the one it has by default. Runs
    are chosen by the short fingerprint, which is in the artifact's path before and after it is published.
    """
    places = (artifact.path, artifact.output, artifact.checkpoints, *artifact.checkpoints.glob("*"))
    if not any((place / DATA).is_dir() for place in places):
        return None
    return f"{_address(artifact.root)}/?runFilter={artifact.short}#timeseries"


def prepare(root: Path, host: str, port: int) -> tuple[str, list[str]]:
    """Make sure that TensorBoard can be started, and note its address for `tracking_url`.

    Args:
        root: folder that holds artifacts/.
        host: name or address to listen at.
        port: 0 stands for a free one.

    Returns:
        Its address, and the command that becomes it.

    Raises:
        ConfigError: the host is none of this machine's.
        MissingInput: the port is in use, or the root has no artifacts or cannot be written.
    """
    artifacts = root.absolute() / "artifacts"
    if not artifacts.is_dir():
        raise MissingInput(f"{artifacts} is not there; run something first, or give another --root")
    port = free_port(host, port)
    url = url_of(host, port)
    note = _note(root)
    note.parent.mkdir(parents=True, exist_ok=True)
    fresh = note.with_name(f"{note.name}-{os.getpid()}")
    fresh.write_text(json.dumps({"url": url}) + "\n", encoding="utf-8")
    fresh.replace(note)
    # Hidden folders, which work in progress is in, are read like others.
    where = ["--logdir", str(artifacts), "--host", host, "--port", str(port)]
    return url, [sys.executable, "-m", "tensorboard.main", *where]


def become(command: list[str]) -> NoReturn:
    """Turn this process into the command's."""
    sys.stdout.flush()
    os.execve(command[0], command, {**os.environ, **ENVIRONMENT})


def _note(root: Path) -> Path:
    return root / "runs" / ".tensorboard.json"


def _address(root: Path) -> str:
    try:
        url = json.loads(_note(root).read_text(encoding="utf-8"))["url"]
    except (OSError, ValueError, TypeError, KeyError):
        url = None
    return url if isinstance(url, str) and url.startswith("http://") else url_of(HOST, PORT)
