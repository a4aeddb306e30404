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
    grid: list[str] = options.GRID,
    root: Path = options.ROOT,
    workers: int = options.WORKERS,
    accelerators: int = options.ACCELERATORS,
    scheduler: str = options.SCHEDULER,
    force: list[str] = options.FORCE,
    downstream: bool = options.DOWNSTREAM,
    wait: bool = options.WAIT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Run a task with all that it needs; what is there already is reused.

    With --grid the task is run for every combination of values, and their numbers are set side by side:

    python cli.py run --task EvaluateFID --grid langevin.step_size=10,30,100 --grid seed=0,1
    """
    with errors_as_lines(task, as_json, debug):
        from pipelines.commands.display import show_end_of_sweep, show_error, show_outcome, show_sweep
        from pipelines.commands.watching import Watcher
        from pipelines.judging import sweep
        from pipelines.running import grid as grids
        from pipelines.running.runner import Request, execute_all

        points = grids.points(config, settings, grid)
        first, *others = (point.experiment for point in points)
        request = Request(
            task,
            first,
            root.absolute(),
            force,
            workers,
            scheduler,
            debug,
            downstream,
            accelerators,
            wait,
            others,
        )
        outcomes = execute_all(request, lambda journal: Watcher(journal, messages))
        if grid:
            swept = sweep.gather(points, outcomes, root, "fresh")
            code = swept.exit_code
            if as_json:
                print_json(sweep.as_json(swept))
                show_end_of_sweep(swept, root.absolute(), messages)
            else:
                show_sweep(swept, root.absolute(), data, messages)
        else:
            (outcome,) = outcomes
            code = outcome.exit_code
            if as_json:
                print_json({**asdict(outcome), "artifact": outcome.artifact, "log": outcome.log})
                if outcome.exit_code:
                    show_error(outcome, messages)
            else:
                show_outcome(outcome, data, messages)
    raise typer.Exit(code)


def join(
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    wait: bool = options.WAIT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Take part, as a worker, in training one model on several machines.

    The first machine of the cluster, the chief, runs the task as ever; the others join it, with the same --config and
    --set. All are started at about the same time. They know of each other by TF_CONFIG, or by the config, which may
    have compute.strategy: multi_worker and compute.workers: [10.0.0.7:2222, 10.0.0.8:2222]; then on the two machines:

    python cli.py run --task EvaluateFID --config two-machines.yaml --set compute.worker=0

    python cli.py join --config two-machines.yaml --set compute.worker=1

    A worker prepares the images below its own --root, then waits for the chief (compute.wait_seconds), gets the state
    of the training from it, and computes its share of each batch. The chief keeps checkpoints and results; what it
    trains is what it would train alone, up to rounding. When one of them ends, all do; start all again, and
    training goes on from the chief's last checkpoint. Addresses must be reachable from every worker, and by nobody
    who is not to be trusted: there are no passwords.
    """
    with errors_as_lines("TrainEBM", as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines.commands.display import show_error, show_joined
        from pipelines.commands.watching import Watcher
        from pipelines.running import joining

        experiment = load_experiment(config, settings)
        joined = joining.join(experiment, root.absolute(), wait, lambda journal: Watcher(journal, messages))
        if as_json:
            print_json(asdict(joined))
        if joined.exit_code:
            show_error(joined, messages)
        elif not as_json:
            show_joined(joined, data)
    raise typer.Exit(joined.exit_code)
