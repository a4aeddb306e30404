"""A stage as a fresh child process: JSON lines in, a log file out, and no orphans."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any, Optional

from ebm_tf.errors import EBMError
from pipelines.interruption import GRACE_SECONDS
from pipelines.provenance import REPOSITORY

Progress = Callable[[dict[str, Any]], None]
"""Receives each progress event: `done`, `total`, `message`."""

KNOWN_EXIT_CODES = (2, 4, 5)


class StageError(EBMError):
    """The child ended with an error.

    Attributes:
        exit_code: what the program is to end with.
        log: the file that has the whole story.
    """

    def __init__(self, message: str, exit_code: int, log: Path) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.log = log


def stage_command(name: str, spec: Path, output: Path) -> list[str]:
    """The command line of a stage."""
    files = ["--spec", str(spec), "--out", str(output)]
    return [sys.executable, "-m", "ebm_tf.stages", name, *files, "--parent", str(os.getpid())]


def run_stage(
    name: str, title: str, spec: Path, output: Path, log: Path, lock: int, progress: Progress
) -> Optional[float]:
    """Run a stage to its end; returns the most memory that its process held, in MiB, None where it did not tell.

    Args:
        name: name of the task.
        title: what people call it.
        spec: JSON file that tells the stage what to do.
        output: empty folder that the stage fills.
        log: file that stderr, and what is not JSON on stdout, is appended to.
        lock: descriptor of the artifact's lock, which the child holds as long as it lives.
        progress: called with each progress event.

    Raises:
        StageError: the child said so, or ended otherwise than with 0.
    """
    with ExitStack() as opened:
        scratch = opened.enter_context(tempfile.TemporaryDirectory(prefix="ebm-stage-"))
        log_file = opened.enter_context(log.open("a", encoding="utf-8", buffering=1))
        child = opened.enter_context(
            subprocess.Popen(
                stage_command(name, spec, output),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log_file,
                text=True,
                errors="replace",
                env=_environment(scratch),
                pass_fds=(lock,),
                start_new_session=True,
            )
        )
        try:
            last = _listen(child, log_file, progress)
            code = child.wait()
        except BaseException:
            _end_group(child)
            raise
        finally:
            _signal_group(child, signal.SIGKILL)  # what it started, should it have been killed before that
    error = last if last.get("event") == "error" else None
    if code != 0 or error:
        raise StageError(*_failure(title, code, error), log=log)
    peak = last.get("peak_memory_mib")
    return float(peak) if isinstance(peak, (int, float)) else None


def _environment(scratch: str) -> dict[str, str]:
    """That of the child; libraries leave files in `scratch` when they are killed, and some when they are not."""
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([str(REPOSITORY), *([inherited] if inherited else [])])
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "TMPDIR": scratch}


def _listen(child: subprocess.Popen[str], log: IO[str], progress: Progress) -> dict[str, Any]:
    """Read events until the child closes its stdout; returns the one that says how it ended, empty if none does."""
    last: dict[str, Any] = {}
    assert child.stdout is not None
    for line in child.stdout:
        event = _event(line)
        if event is None:
            log.write(line)
        elif event["event"] in ("error", "ended"):
            last = event
        elif event["event"] == "progress":
            log.write(f"{event.get('done')}/{event.get('total')} {event.get('message', '')}\n")
            progress(event)
    return last


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


def _failure(title: str, code: int, error: dict[str, Any] | None) -> tuple[str, int]:
    """The one line and the exit code of a failure."""
    if error:
        received = error.get("exit_code", code)
        return f"{title}: {error.get('message', 'failed')}", received if received in KNOWN_EXIT_CODES else 3
    if code < 0:
        hint = " (out of memory?)" if -code == signal.SIGKILL else ""
        return f"{title}: its process was ended by {_name_of_signal(-code)}{hint}", 3
    return f"{title}: its process ended with exit code {code}", 3


def _name_of_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _end_group(child: subprocess.Popen[str]) -> None:
    """End the child and all that it started: politely, then not."""
    _signal_group(child, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(GRACE_SECONDS)
    _signal_group(child, signal.SIGKILL)
    child.wait()


def _signal_group(child: subprocess.Popen[str], number: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)
