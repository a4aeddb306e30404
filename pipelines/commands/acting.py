"""Commands that make something."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from pipelines.commands import options
from pipelines.commands.console import data, errors_as_lines, messages, print_json


def run(
    task: str = options.TASK,
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    workers: int = options.WORKERS,
    scheduler: str = options.SCHEDULER,
    force: list[str] = options.FORCE,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Run a task with all that it needs; what is there already is reused."""
    with errors_as_lines(task, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines.display import show_outcome
        from pipelines.runner import Request, execute
        from pipelines.watching import Watcher

        experiment = load_experiment(config, settings)
        request = Request(task, experiment, root.absolute(), force, workers, scheduler, debug)
        outcome = execute(request, lambda journal: Watcher(journal, messages))
        if as_json:
            print_json({**asdict(outcome), "artifact": outcome.artifact, "log": outcome.log})
        else:
            show_outcome(outcome, data, messages)
    raise typer.Exit(outcome.exit_code)
