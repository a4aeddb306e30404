"""One builder at a time, orphans included."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ebm_tf.errors import Busy
from pipelines.artifact import Artifact
from pipelines.lock import holder, locked


def test_a_second_builder_is_told_who_holds_it(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "TrainEBM", "f" * 64)
    assert holder(artifact) is None
    with locked(artifact):
        assert holder(artifact) == f"{os.getpid()} on {socket.gethostname()}"
        with (
            pytest.raises(Busy, match=f"TrainEBM f+ is being built by process {os.getpid()}"),
            locked(artifact),
        ):
            pass
    assert holder(artifact) is None
    with locked(artifact):
        pass


def test_a_child_keeps_the_lock_of_its_parent(tmp_path: Path) -> None:
    artifact = Artifact(tmp_path, "TrainEBM", "f" * 64)
    with locked(artifact) as lock:
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock,))
    try:
        with pytest.raises(Busy), locked(artifact):
            pass
    finally:
        child.communicate(b"\n")
    with locked(artifact):
        pass
