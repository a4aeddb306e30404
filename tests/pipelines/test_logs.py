"""The log of a task, also while it is being written, and when the artifact is published meanwhile."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import cli
from ebm_tf.errors import MissingInput
from pipelines.asking.logs import follow, last_lines, log_of
from pipelines.lock import locked
from tests.pipelines.artifact_trees import link
from tests.pipelines.built import build_all, step
from tests.waiting import until

TALKING = Path(__file__).with_name("talking_command.py")


def test_the_log_of_an_artifact_is_shown_by_its_last_lines(tmp_path: Path) -> None:
    images = build_all(step(tmp_path, "PrepareDataset"))
    assert log_of(images) == (images.artifact.path / "log.txt", "finished", None)
    assert last_lines(images, 5) == b"what happened\n"
    (images.artifact.path / "log.txt").write_bytes(b"one\ntwo \xff\nthree")
    assert last_lines(images, 2) == b"two \xff\nthree"


def test_the_log_of_a_later_build_that_did_not_end_well_goes_before_it(tmp_path: Path) -> None:
    images = build_all(step(tmp_path, "PrepareDataset"))
    images.artifact.want_rebuild()
    images.artifact.log.write_text("the reason\n")
    assert log_of(images) == (images.artifact.log, "unfinished", None)
    assert last_lines(images, 5) == b"the reason\n"


def test_without_a_log_it_is_said_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        MissingInput, match=r"no log of TrainEBM .*: it was never begun; run it with --task TrainEBM"
    ):
        log_of(step(tmp_path, "TrainEBM"))


def test_following_goes_on_into_the_log_of_a_build_that_starts_anew(tmp_path: Path) -> None:
    images = step(tmp_path, "PrepareDataset")
    artifact = images.artifact
    with locked(artifact):
        artifact.work.mkdir()
        artifact.log.write_text("0\n1\n2\n")
        chunks = follow(images, 2)
        heard = next(chunks)
        with artifact.log.open("a") as log:
            log.write("3\n")
        heard += next(chunks)
        artifact.log.unlink()
        artifact.log.write_text("new\n")
        heard += next(chunks) + next(chunks)
    assert heard + b"".join(chunks) == b"1\n2\n3\nnew\n"


def test_following_what_nobody_builds_ends_with_its_last_lines(tmp_path: Path) -> None:
    images = build_all(step(tmp_path, "PrepareDataset"))
    assert b"".join(follow(images, 5)) == b"what happened\n"


def test_following_waits_for_a_log_that_is_not_there_yet_and_misses_no_quick_build(tmp_path: Path) -> None:
    """Begun, written and published between two looks."""
    images = step(tmp_path, "PrepareDataset")
    heard: list[bytes] = []
    follower = threading.Thread(target=lambda: heard.extend(follow(images, 5)))
    with locked(images.artifact):
        follower.start()
        time.sleep(0.1)  # so that it mostly looks for the log before there is one
        build_all(images)
    follower.join()
    assert b"".join(heard) == b"what happened\n"


def test_a_build_is_followed_beyond_its_publication(lab: Any) -> None:
    lab.program = TALKING
    run = lab.start("run", "--task", "PrepareDataset")
    try:
        until_said(lab, run)
        following = lab.start("logs", "PrepareDataset", "--follow")
        assert following.stdout is not None
        assert following.stdout.readline() == "first\n"
        (lab.folder / "go").touch()
        rest, talk = following.communicate(timeout=60)
        assert (rest, following.returncode) == ("second\n", 0)
        started, ended = talk.splitlines()
        assert f"in work by process {run.pid} on" in started
        assert "finished; log: " in ended
        assert run.wait(60) == 0
        (folder,) = lab.artifacts("PrepareDataset")
        assert ended.endswith(str(folder / "log.txt"))
        found = lab.answer("logs", "PrepareDataset", "-n", "1")
        assert (found["state"], found["lines"], found["log"]) == (
            "finished",
            ["second"],
            str(folder / "log.txt"),
        )
    finally:
        run.kill()
        run.communicate()


def test_ctrl_c_ends_following_and_nothing_else(lab: Any) -> None:
    lab.behave(PrepareDataset="sleep")
    run = lab.start("run", "--task", "PrepareDataset")
    try:
        lab.sleeping_stage()
        followers = {
            number: lab.start("logs", "PrepareDataset", "-f") for number in (signal.SIGINT, signal.SIGTERM)
        }
        for number, following in followers.items():
            assert following.stdout.readline() == "1/2 half\n"
            following.send_signal(number)
            _, talk = following.communicate(timeout=60)
            assert following.returncode == 128 + number
            assert talk.splitlines()[-1] == "error: interrupted"
            assert "Traceback" not in talk
        assert run.poll() is None
    finally:
        run.terminate()
        run.communicate()


def test_the_log_of_what_failed_tells_the_reason(lab: Any) -> None:
    lab.behave(PrepareDataset="fail")
    lab.run("run", "--task", "PrepareDataset")
    done = lab.run("logs", "PrepareDataset")
    assert done.returncode == 0
    assert "the reason, in the log\n" in done.stdout
    assert "unfinished; the next run goes on from there; log: " in done.stderr


def test_a_reader_that_has_gone_is_no_error(lab: Any) -> None:
    lab.run("run", "--task", "PrepareDataset")
    reading = lab.start("logs", "PrepareDataset")
    reading.stdout.close()
    talk = reading.stderr.read()
    reading.stderr.close()
    assert reading.wait(60) == 0
    assert talk.count("\n") == 1, talk


def test_the_task_may_be_an_option_and_has_to_be_given(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    build_all(step(tmp_path, "PrepareDataset"))
    for arguments, code, heard in (
        (["PrepareDataset"], 0, b"what happened\n"),
        (["--task", "PrepareDataset"], 0, b"what happened\n"),
        ([], 2, b""),
    ):
        ending = cli.app(["logs", *arguments, "--root", str(tmp_path)], standalone_mode=False)
        out, talk = capfdbinary.readouterr()
        assert (ending or 0, out) == (code, heard), arguments
    assert talk.startswith(b"error: of which task is the log wanted? Give one of PrepareDataset, ")


def test_an_artifact_is_named_as_for_show_finished_or_not(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    images, model = build_all(step(tmp_path, "PrepareDataset")).artifact, step(tmp_path, "TrainEBM").artifact
    link(tmp_path, "one", images)
    model.log.parent.mkdir(parents=True)
    model.log.write_text("half\n")

    def heard(name: str) -> tuple[int, bytes, bytes]:
        ending = cli.app(["logs", name, "--root", str(tmp_path)], standalone_mode=False)
        return ending or 0, *capfdbinary.readouterr()

    for name in ("one/PrepareDataset", f"PrepareDataset/{images.short[:6]}", images.fingerprint):
        assert heard(name)[:2] == (0, b"what happened\n"), name
    for name in (f"TrainEBM/{model.short[:6]}", str(model.work)):
        assert heard(name)[:2] == (0, b"half\n"), name
    code, _, talk = heard("TrainEbn")
    assert code == 2
    assert talk.startswith(b"error: 'TrainEbn' names no artifact; did you mean TrainEBM?")


def test_no_log_is_missing_input(lab: Any) -> None:
    done = lab.run("logs", "Report", "--json")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (4, "missing_input")


def until_said(lab: Any, run: subprocess.Popen[str]) -> None:
    """Wait until the stage has said its first word."""

    def said() -> bool:
        assert run.poll() is None
        return any(log.read_text() == "first\n" for log in lab.root.glob("artifacts/*/.work-*/log.txt"))

    until(said, "the stage's first word")
