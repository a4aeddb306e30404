"""Commands that serve pages until they are stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional

import typer

from pipelines.commands import options
from pipelines.commands.console import errors_as_lines, messages, print_json

HOST = typer.Option(
    "127.0.0.1", "--host", help="Name or address to listen at; 0.0.0.0 for every address of this machine."
)
SCHEDULER_PORT = typer.Option(8082, "--port", min=0, max=65535, help="Port to listen at; 0 for a free one.")
TENSORBOARD_PORT = typer.Option(6006, "--port", min=0, max=65535, help="Port to listen at; 0 for a free one.")
STATE = typer.Option(
    None,
    "--state",
    metavar="FOLDER",
    help="Folder in which the scheduler keeps what it knows, closed to other users; by default "
    "~/.local/state/ebm-tf/scheduler-PORT.",
)
ACCELERATORS = typer.Option(
    1, "--accelerators", min=1, max=1024, help="Tasks that may train or sample at the same time."
)
SERVE_JSON = typer.Option(
    False, "--json", help="Print one JSON object with the address, once it answers there."
)


def scheduler(
    host: str = HOST,
    port: int = SCHEDULER_PORT,
    state: Optional[Path] = STATE,
    accelerators: int = ACCELERATORS,
    as_json: bool = SERVE_JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Start Luigi's central scheduler, and its page that shows every task of every run as it goes.

    Runs are made there with --scheduler HOST:PORT, several at once if you like: what they share is built once. The
    state is kept, so it may be stopped and started at any time. Numbers for Prometheus are at /metrics.
    """
    with errors_as_lines(None, as_json, debug):
        from pipelines.running.scheduling import configure
        from pipelines.serving.address import is_loopback, listen, url_of
        from pipelines.serving.scheduler import KeepingScheduler, serve
        from pipelines.serving.scheduler_state import StateFolder

        configure(accelerators, debug)
        sockets = listen(host, port)
        url = url_of(host, port := sockets[0].getsockname()[1])
        folder = StateFolder(state or _state_home() / f"scheduler-{port}")
        kept = KeepingScheduler(folder, accelerators, lambda line: _say(f"warning: {line}"))

        def ready() -> None:
            _say(f"the scheduler and its page are at {url}; its state is kept in {folder.path}")
            _say(f"run there with --scheduler {url.split('//')[1]}; end it with Ctrl-C")
            if not is_loopback(host):
                _warn_of_openness(host, "the scheduler", "see and change every task")
            if as_json:
                print_json({
                    "status": "serving", "exit_code": 0, "url": url, "host": host, "port": port,
                    "state": folder.path, "pid": os.getpid(),
                })  # fmt: skip

        number = serve(sockets, kept, ready, debug)
        _say(
            f"the scheduler has ended; the next one that is started with its state in {folder.path} goes on from it"
        )
    raise typer.Exit(128 + number)


def tensorboard(
    host: str = HOST,
    port: int = TENSORBOARD_PORT,
    root: Path = options.ROOT,
    as_json: bool = SERVE_JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Start TensorBoard over the artifacts of a root, finished or in work.

    The scheduler's page links there from each task that has something to show.
    """
    with errors_as_lines(None, as_json, debug):
        from pipelines.serving.address import is_loopback
        from pipelines.serving.tensorboard import become, prepare

        url, command = prepare(root, host, port)
        _say(f"TensorBoard will be at {url}; end it with Ctrl-C")
        if not is_loopback(host):
            _warn_of_openness(host, "TensorBoard", "see what is in the artifacts")
        if as_json:
            print_json(
                {"status": "serving", "exit_code": 0, "url": url, "root": root.absolute(), "pid": os.getpid()}
            )
        become(command)


def _state_home() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "ebm-tf"


def _warn_of_openness(host: str, what: str, may: str) -> None:
    _say(
        f"warning: {host} can be reached from other machines, and {what} has no authentication: whoever gets there "
        f"can {may}"
    )


def _say(line: str) -> None:
    messages.print(line, highlight=False, markup=False, soft_wrap=True)
