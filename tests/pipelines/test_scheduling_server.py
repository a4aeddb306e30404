"""The scheduler as a server: what it keeps, what it refuses, how it ends."""

from __future__ import annotations

import os
import pickle
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import luigi.scheduler
import pytest

from pipelines.serving.scheduler_state import StateFolder, as_json, restore
from tests.pipelines.served import REPOSITORY, Served, served
from tests.waiting import until


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that is expected to end of itself."""
    line = [sys.executable, str(REPOSITORY / "cli.py"), *arguments]
    return subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)


def add(central: Served, name: str, **about: Any) -> None:
    """Give the scheduler a task, as a worker would."""
    central.ask("add_task", worker="Worker(pid=1)", task_id=name, family=name, params={"x": "1"}, **about)


@pytest.mark.parametrize(
    "number, code",
    [
        pytest.param(signal.SIGINT, 130, id="SIGINT"),
        pytest.param(signal.SIGTERM, 143, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, -9, id="SIGKILL"),
    ],
)
def test_the_state_is_kept_however_it_ends(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with served(tmp_path) as central:
        add(central, "Done", status="DONE", expl="why")
        add(central, "Failed", status="FAILED")
        add(central, "Pending", deps=["Done", "Failed"], resources={"accelerator": 1})
        central.ask("get_work", worker="Worker(pid=2)")
        shown = central.ask("task_list")
        file = central.state / "state.json"
        if number == signal.SIGKILL:
            until(lambda: file.exists() and "Pending" in file.read_text(), "the saved state")
        assert central.end(number) == code
        said = central.said.read_text()
        assert "Traceback" not in said
        assert (f"its state in {central.state} goes on from it" in said.replace("\n", " ")) == (code > 0)
        central.start()
        assert central.ask("task_list") == shown
        assert {name: task["status"] for name, task in central.tasks().items()} == {
            "Done": "DONE", "Failed": "FAILED", "Pending": "PENDING",
        }  # fmt: skip
        assert len(central.tasks("FAILED")) == 1
        assert {worker["name"] for worker in central.ask("worker_list")} == {"Worker(pid=1)", "Worker(pid=2)"}


def test_the_state_is_for_its_user_alone(tmp_path: Path) -> None:
    with served(tmp_path) as central:
        assert stat.S_IMODE(central.state.stat().st_mode) == 0o700
        second = command("scheduler", "--port", "0", "--state", str(central.state))
        assert second.returncode == 5
        assert second.stderr == (
            f"error: --state {central.state} is in use by another scheduler; stop that, or name another folder\n"
        )
    central.state.chmod(0o755)
    opened = command("scheduler", "--port", "0", "--state", str(central.state))
    assert opened.returncode == 4
    assert opened.stderr == (
        f"error: --state {central.state} is open to other users; chmod 700 it, or name another folder\n"
    )


class Wicked:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self._path),)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1, 2]",
        b'{"format": 1, "tasks": [{"id": "a", "status": "ODD", "deps": []}], "workers": []}',
        b'{"format": 1, "tasks": [{"id": "a"}], "workers": []}',
        b'{"format": 2, "tasks": [], "workers": []}',
        b"\xff\xfe",
        None,
    ],
)
def test_a_state_that_will_not_do_is_put_aside_and_said(tmp_path: Path, content: bytes | None) -> None:
    trap = tmp_path / "trap"
    content = pickle.dumps(Wicked(trap)) if content is None else content
    folder = StateFolder(tmp_path / "state")
    folder.file.write_bytes(content)
    state = luigi.scheduler.SimpleTaskState("")
    said = folder.load(state)
    assert said is not None and said.startswith("the saved state cannot be read (")
    assert said.endswith(f"; it is now {folder.path / 'state.damaged'}, and nothing is remembered")
    assert (folder.path / "state.damaged").read_bytes() == content
    assert not folder.file.exists()
    assert not trap.exists()
    assert list(state.get_active_tasks()) == []


def test_a_damaged_state_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "state.json").write_text('{"format": 1, "tasks": [')
    with served(tmp_path) as central:
        assert "warning: the saved state cannot be read (JSONDecodeError: " in central.said.read_text()
        assert central.ask("task_list") == {}


def test_a_restored_state_is_the_saved_one() -> None:
    first = luigi.scheduler.Scheduler(metrics_collector=luigi.scheduler.MetricsCollectors.none)
    first.add_task(task_id="a", worker="w", resources={"accelerator": 1}, params={"p": "1"}, family="A")
    first.add_task(task_id="b", worker="w", deps=["a"], params={"p": "1"}, family="B")
    first.add_worker("w", [("host", "here")])
    assert first.get_work(worker="w")["task_id"] == "a"
    first.set_task_progress_percentage("a", 40)
    second = luigi.scheduler.Scheduler(metrics_collector=luigi.scheduler.MetricsCollectors.none)
    told = as_json(first._state)
    restore(told, second._state)
    again = as_json(second._state)
    for worker in [*told["workers"], *again["workers"]]:
        del worker["last_active"]  # a worker is taken for living until it had time to say so
    assert again == told
    second.add_task(task_id="a", worker="w", status="DONE")
    assert second.get_work(worker="w", current_tasks=[])["task_id"] == "b"


def test_a_port_in_use_is_a_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = command("scheduler", "--port", port, "--state", str(tmp_path / "state"))
    assert done.returncode == 4
    assert done.stderr == (
        f"error: port {port} of 127.0.0.1 is in use; give another with --port, or 0 for a free one\n"
    )
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    "host, said",
    [
        ("no host", "--host received 'no host', which is no host ("),
        ("", "--host received '', which is no host ("),
        ("192.0.2.1", "--host received '192.0.2.1', which this machine does not have ("),
    ],
)
def test_a_host_that_is_none_of_ours_is_a_line(tmp_path: Path, host: str, said: str) -> None:
    done = command("scheduler", "--host", host, "--port", "0", "--state", str(tmp_path / "state"))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_it_is_on_loopback_unless_told_otherwise_and_then_warns(tmp_path: Path) -> None:
    warning = "has no authentication"
    with served(tmp_path / "closed") as central:
        assert central.told["host"] == "127.0.0.1"
        assert warning not in central.said.read_text()
        # Another address of this machine, at which nothing may listen.
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", central.port), 5)
    with served(tmp_path / "open", "--host", "0.0.0.0") as central:
        assert f"warning: 0.0.0.0 can be reached from other machines, and the scheduler {warning}" in (
            central.said.read_text()
        )
        assert central.told["url"] == f"http://{socket.gethostname()}:{central.port}"
        socket.create_connection(("127.0.0.2", central.port), 5).close()
