"""Where commands speak: data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import typer
from rich.console import Console

from ebm_tf.errors import EBMError

PIPE_WIDTH = 250

# Into a pipe or a file, tables are not folded to a terminal's width.
data = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
messages = Console(stderr=True)


@contextmanager
def errors_as_lines(task: str | None, as_json: bool, debug: bool) -> Iterator[None]:
    """Turn an error that a user can mend into one line (and one JSON object) and its exit code."""
    try:
        yield
    except EBMError as error:
        if debug:
            raise
        report_error(task, error.exit_code, str(error), as_json)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:
        raise typer.Exit(nobody_reads()) from None
    except OSError as error:
        if debug:
            raise
        report_error(task, 4, str(error), as_json)
        raise typer.Exit(4) from error
    except KeyboardInterrupt as interrupt:
        code = 128 + getattr(interrupt, "signal_number", 2)
        report_error(task, code, "interrupted", as_json)
        raise typer.Exit(code) from interrupt


def report_error(task: str | None, exit_code: int, error: str, as_json: bool) -> None:
    """One line on stderr, and with --json the object of a run that did not take place."""
    messages.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        with suppress(OSError):  # what cannot be written has been said on stderr
            _print_error(task, exit_code, error)


def nobody_reads() -> int:
    """Stdout leads to a pipe that was closed: write no more there; returns the exit code that pipes expect."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return 128 + signal.SIGPIPE


def finish() -> int:
    """Write what waits to be written; returns 0, or the exit code where that cannot be done."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return nobody_reads()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        report_error(None, 4, f"the answer could not be written ({error.strerror})", as_json=False)
        return 4
    return 0


def _print_error(task: str | None, exit_code: int, error: str) -> None:
    status = {2: "bad_config", 3: "failed", 4: "missing_input", 5: "busy"}.get(exit_code, "interrupted")
    print_json({
        "status": status, "exit_code": exit_code, "task": task, "artifact": None, "metrics": {},
        "seconds": 0.0, "tasks": [], "error": error,
    })  # fmt: skip


def print_json(value: Any) -> None:
    """One object on stdout; paths become text."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")
