"""The command line; what the commands do is in pipelines/commands, which imports little until one runs."""

from __future__ import annotations

import signal

HEARD = signal.getsignal(signal.SIGINT)  # nothing, where a shell has started this in the background
if __name__ == "__main__" and HEARD is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no traceback while the imports below take their time

import io
import os
import sys
from difflib import get_close_matches

try:
    import typer
except ModuleNotFoundError as error:
    print(
        f"error: {sys.executable} has no {error.name}, so it is not of the environment that `make fid` sets up: give "
        "`source .venv/bin/activate` first, or run .venv/bin/python cli.py",
        file=sys.stderr,
    )
    sys.exit(2)

from ebm_tf import __version__
from pipelines.commands import acting, asking, describing, exported, judging, keeping, serving
from pipelines.commands.console import data, finish, report_error
from pipelines.commands.options import TASK_NAMES

app = typer.Typer(
    help="Energy-based models, from data to Fréchet distance.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
INTERRUPTED = (130, 143)
COMMANDS = {
    "Do": (acting.run, acting.join),
    "Ask": (
        asking.plan,
        asking.explain,
        asking.graph,
        asking.status,
        asking.logs,
        asking.show,
        asking.runs,
    ),
    "Judge": (judging.evaluate, judging.statistics, judging.compare),
    "Keep": (keeping.clean, keeping.invalidate, keeping.export),
    "Use an export": (exported.sample, exported.score),
    "Serve": (serving.scheduler, serving.tensorboard),
    "Describe": (describing.configs, describing.model, describing.doctor),
}
for panel, commands in COMMANDS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)


def print_version(wanted: bool) -> None:
    """Answer --version."""
    if wanted:
        data.print(__version__, highlight=False)
        raise typer.Exit()


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Energy-based models, from data to Fréchet distance."""


def meant(complaint: str, words: list[str]) -> str:
    """What is said of the task that may have been meant in place of a command, or without --task; else --help."""
    tasks = {name.lower(): name for name in TASK_NAMES.split(", ")}
    near: list[str] = []
    if complaint.startswith("No such command"):
        near = get_close_matches(words[0].lower(), tasks, n=2)
    elif words[:1] == ["run"] and "'--task'" in complaint:
        near = [word.lower() for word in words[1:] if word.lower() in tasks]
    return (
        f"; did you mean run --task {' or '.join(tasks[name] for name in near)}?" if near else "; see --help"
    )


def main() -> None:
    """Entry point of the console script."""
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        signal.signal(signal.SIGINT, HEARD)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # of a terminal that knows ASCII only
        code = app(prog_name="ebm", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):  # in a command that has nothing to clear up
        report_error(None, 130, "interrupted", "--json" in sys.argv)
        code = 130
    except Exception as error:
        complaint = getattr(error, "format_message", None)  # what Typer says of a command line it cannot take
        if complaint is None:
            raise
        said = complaint().rstrip(".")
        hint = "" if said.endswith("?") else meant(said, sys.argv[1:])  # Typer has named the nearest command
        report_error(None, 2, f"{said}{hint}", "--json" in sys.argv)
        code = 2
    written = finish()
    if code in INTERRUPTED:
        # Python would first end multiprocessing's threads; one that was interrupted in a lock is waited for for ever.
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code or written)


if __name__ == "__main__":
    main()
