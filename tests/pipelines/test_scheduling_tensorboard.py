"""TensorBoard over a root, and the links that lead there."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from pipelines.artifact import Artifact
from pipelines.serving.tensorboard import tracking_url
from tests.pipelines.served import REPOSITORY
from tests.waiting import until

WRITE_EVENTS = """
import sys
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
for folder in sys.argv[1:]:
    writer = EventFileWriter(folder)
    writer.add_event(Event(step=1, wall_time=1.0, summary=Summary(value=[Summary.Value(tag="x", simple_value=2.0)])))
    writer.close()
"""


def artifact_in(root: Path) -> Artifact:
    """An artifact that is not there yet."""
    return Artifact(root, "TrainEBM", "0123456789abcdef" * 4)


def test_a_link_holds_before_and_after_publication(tmp_path: Path) -> None:
    artifact = artifact_in(tmp_path)
    assert tracking_url(artifact) is None
    record = artifact.checkpoints / "record"
    (record / "tensorboard").mkdir(parents=True)
    link = "http://127.0.0.1:6006/?runFilter=0123456789abcdef#timeseries"
    assert tracking_url(artifact) == link
    record.rename(artifact.output)
    assert tracking_url(artifact) == link
    artifact.output.rename(artifact.path)
    assert tracking_url(artifact) == link


@pytest.mark.parametrize("note", ["", "[]", '{"url": 5}', '{"url": "javascript:alert(1)"}', '{"other": 1}'])
def test_a_note_that_is_no_address_is_not_linked_to(tmp_path: Path, note: str) -> None:
    artifact = artifact_in(tmp_path)
    (artifact.path / "tensorboard").mkdir(parents=True)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / ".tensorboard.json").write_text(note)
    assert str(tracking_url(artifact)).startswith("http://127.0.0.1:6006/?")


def refused(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The command where it does not become TensorBoard."""
    line = [sys.executable, str(REPOSITORY / "cli.py"), "tensorboard", *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def test_a_root_without_artifacts_is_a_line(tmp_path: Path) -> None:
    done = refused("--root", str(tmp_path), "--port", "0")
    assert done.returncode == 4
    assert done.stderr == (
        f"error: {tmp_path / 'artifacts'} is not there; run something first, or give another --root\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_a_port_in_use_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = refused("--root", str(tmp_path), "--port", port)
    assert done.returncode == 4
    assert done.stderr == (
        f"error: port {port} of 127.0.0.1 is in use; give another with --port, or 0 for a free one\n"
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_it_shows_what_is_finished_and_what_is_in_work(tmp_path: Path) -> None:
    working = artifact_in(tmp_path)
    done = Artifact(tmp_path, "TrainEBM", "f" * 64)
    folders = [str(place / "tensorboard") for place in (working.output, done.path)]
    subprocess.run([sys.executable, "-c", WRITE_EVENTS, *folders], check=True, capture_output=True)
    line = [
        sys.executable,
        str(REPOSITORY / "cli.py"),
        "tensorboard",
        "--root",
        str(tmp_path),
        "--port",
        "0",
        "--json",
    ]
    with subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            text = ""
            while not text.endswith("}\n"):
                text += process.stdout.readline()
            told = json.loads(text)
            assert told["pid"] == process.pid
            assert tracking_url(working) == f"{told['url']}/?runFilter=0123456789abcdef#timeseries"

            def runs() -> Any:
                try:
                    with urllib.request.urlopen(f"{told['url']}/data/runs", timeout=60) as answer:
                        return json.load(answer)
                except OSError:
                    assert process.poll() is None
                    return None

            both = [
                "TrainEBM/.work-0123456789abcdef/output/tensorboard",
                "TrainEBM/ffffffffffffffff/tensorboard",
            ]
            until(lambda: sorted(runs() or []) == both, "both runs")
            working.output.rename(working.path)
            until(lambda: "TrainEBM/0123456789abcdef/tensorboard" in (runs() or []), "the published run")
        finally:
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in said
