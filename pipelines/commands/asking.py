"""Commands that look and change nothing."""

from __future__ import annotations

from pathlib import Path

from pipelines.commands import options
from pipelines.commands.console import data, errors_as_lines, print_json


def plan(
    task: str = options.PLANNED_TASK,
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    force: list[str] = options.FORCE,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Say what a run would reuse and what it would run, and why; nothing is written."""
    with errors_as_lines(task, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines import inspect
        from pipelines.display import table
        from pipelines.tasks import check, task_named

        root_task = task_named(task).of(load_experiment(config, settings), root)
        forced = [task_named(name).name() for name in force]
        check(root_task, forced)
        rows = inspect.plan(root_task, forced)
        if as_json:
            print_json(
                {"status": "done", "exit_code": 0, "task": task, "tasks": [row._asdict() for row in rows]}
            )
        else:
            cells = [(row.task, row.fingerprint[:16], row.state, row.reason) for row in rows]
            data.print(table(("task", "fingerprint", "state", "reason"), cells))


def status(
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Show the artifacts of an experiment: whole, missing, damaged, stale or in work."""
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines import inspect
        from pipelines.display import table

        rows = inspect.status(load_experiment(config, settings), root)
        if as_json:
            print_json({"status": "done", "exit_code": 0, "tasks": [row._asdict() for row in rows]})
        else:
            cells = [
                (row.task, row.fingerprint[:16], row.state, f"{row.bytes / 1024:.0f}", row.finished, row.note)
                for row in rows
            ]
            data.print(table(("task", "fingerprint", "state", "KiB", "finished", "note"), cells))
