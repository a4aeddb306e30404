"""Commands that look and change nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import typer

from ebm_tf.errors import ConfigError, MissingInput
from pipelines.commands import options
from pipelines.commands.console import data, errors_as_lines, messages, print_json, report_error

PLANNED_TASK = typer.Argument(
    None, metavar="[TASK]", help=f"Task to plan, by default Report: {options.TASK_NAMES}."
)
EXPLAINED_TASK = typer.Argument(
    None, metavar="[TASK]", help=f"Task to explain, by default EvaluateFID: {options.TASK_NAMES}."
)
DRAWN_TASK = typer.Argument(
    None,
    metavar="[TASK]",
    help="Task to draw with all that it needs; by default all tasks of the experiment.",
)
LOGGED_TASK = typer.Argument(
    None,
    metavar="TASK",
    help="Task whose log is wanted, as `status` calls it; or an artifact, as `show` takes it: digits/TrainEBM.",
)
SAME_TASK = typer.Option(
    None, "--task", "-t", metavar="TASK", help="Another way to give TASK, as `run` takes it."
)
ARTIFACT = typer.Argument(
    ...,
    metavar="ARTIFACT",
    help="Its folder; a link in runs/, as digits/TrainEBM; a task of --config; Task/FINGERPRINT, or a fingerprint, "
    "of which the beginning is enough.",
)
DOT = typer.Option(False, "--dot", help="Print the graph for Graphviz: ... --dot | dot -Tsvg > graph.svg")
VERIFY = typer.Option(
    False,
    "--verify",
    help="Read every byte of every artifact, and compare its sha256 with the one that was published; ends with 4 if "
    "one is damaged.",
)
FOLLOW = typer.Option(
    False, "--follow", "-f", help="Go on with what is added until the build is over; Ctrl-C ends it."
)
LINES = typer.Option(50, "--lines", "-n", min=1, metavar="LINES", help="How many of the last lines.")


def plan(
    given: Optional[str] = PLANNED_TASK,
    same: Optional[str] = SAME_TASK,
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    grid: list[str] = options.GRID,
    root: Path = options.ROOT,
    force: list[str] = options.FORCE,
    downstream: bool = options.DOWNSTREAM,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Say what a run would reuse and what it would run, why, and how long that may take; nothing is written.

    Times are those of earlier runs below the same --root, in proportion where the work is (training steps, chains).
    """
    with asked_for(given, same, "Report", as_json, debug) as task:
        from pipelines.asking import inspect
        from pipelines.commands.answers import show_plan
        from pipelines.running import grid as grids
        from pipelines.running.forcing import forced_keys
        from pipelines.tasks import task_named
        from pipelines.trees import check

        look_below(root)
        experiments = [point.experiment for point in grids.points(config, settings, grid)]
        roots = {each.name: task_named(task).of(each, root) for each in experiments}
        forced: set[str] = set()
        for root_task in roots.values():
            forced |= (keys := forced_keys(root_task, force, downstream))
            check(root_task, keys)
        rows = inspect.plan_all(roots, forced)
        if as_json:
            seconds, unknown = inspect.total_seconds(rows)
            sums = {"seconds": seconds, "seconds_unknown_of": unknown}
            print_answer({"task": task, **sums, "tasks": [row._asdict() for row in rows]})
        else:
            show_plan(rows, data)


def explain(
    given: Optional[str] = EXPLAINED_TASK,
    same: Optional[str] = SAME_TASK,
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Say why a run would build a task, as a tree of causes, or what would make it run again.

    It is compared with the nearest artifact of that task that was built before: which settings, inputs or versions of
    the code differ, with both values, and of inputs in turn why they change.

    python cli.py explain TrainEBM --set langevin.steps=40
    """
    with asked_for(given, same, "EvaluateFID", as_json, debug) as task:
        from ebm_tf.config_files import load_experiment
        from pipelines.asking import explain as explaining
        from pipelines.asking.inspect import step_named
        from pipelines.commands.answers import show_explanation
        from pipelines.trees import check

        look_below(root)
        step = step_named(task, load_experiment(config, settings), root)
        check(step)
        found = explaining.explain(step)
        if as_json:
            print_answer(asdict(found))
        else:
            show_explanation(found, data)


def graph(
    given: Optional[str] = DRAWN_TASK,
    same: Optional[str] = SAME_TASK,
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    dot: bool = DOT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Draw which task reads which, and how the artifact of each is: whole, missing, damaged, stale or in work."""
    with asked_for(given, same, "", as_json, debug) as task:
        from ebm_tf.config_files import load_experiment
        from pipelines.asking.graph import as_dot, graph_of
        from pipelines.asking.inspect import step_named
        from pipelines.commands.answers import show_graph
        from pipelines.trees import all_tasks, tree

        if dot and as_json:
            raise ConfigError("--dot and --json are two forms of one answer; give one of them")
        look_below(root)
        experiment = load_experiment(config, settings)
        drawn = graph_of(tree(step_named(task, experiment, root)) if task else all_tasks(experiment, root))
        if dot:
            sys.stdout.write(as_dot(drawn, experiment.name))
        elif as_json:
            nodes, edges = ([row._asdict() for row in rows] for rows in drawn)
            print_answer({"experiment": experiment.name, "nodes": nodes, "edges": edges})
        else:
            show_graph(drawn, data)


def status(
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    verify: bool = VERIFY,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Show the artifacts of an experiment: whole, missing, damaged, stale, or in work and by whom."""
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines.asking import inspect
        from pipelines.commands.answers import show_status
        from pipelines.commands.watching import shown
        from pipelines.interruption import Interruption

        look_below(root)
        experiment = load_experiment(config, settings)
        if verify:
            with Interruption(), shown("verify", messages) as tell:
                rows = inspect.verified(experiment, root, tell)
        else:
            rows = inspect.status(experiment, root)
        damage, code = inspect.damage_in_words(rows) if verify else None, MissingInput.exit_code
        if as_json:
            ending = {"status": "missing_input", "exit_code": code, "error": damage} if damage else {}
            print_answer({**ending, "verified": verify, "tasks": [row._asdict() for row in rows]})
        else:
            show_status(rows, data)
        if damage:
            report_error(None, code, damage, as_json=False)
            raise typer.Exit(code)


def logs(
    given: Optional[str] = LOGGED_TASK,
    same: Optional[str] = SAME_TASK,
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    follow: bool = FOLLOW,
    lines: int = LINES,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Show the log of a task: of the build in work, of the last one that did not end well, or of the artifact.

    With --json and --follow the answer comes when the build is over.
    """
    with asked_for(given, same, "", as_json, debug) as task:
        from ebm_tf.config_files import load_experiment
        from pipelines.asking import logs as logging
        from pipelines.asking.details import artifact_named, is_task
        from pipelines.asking.inspect import step_named
        from pipelines.commands.answers import log_in_words
        from pipelines.interruption import Interruption

        if not task:
            raise ConfigError(f"of which task is the log wanted? Give one of {options.TASK_NAMES}")
        look_below(root)
        step: logging.Logged
        if is_task(task):
            step = step_named(task, load_experiment(config, settings), root)
        else:
            artifact = artifact_named(task, root.absolute(), unfinished=True)
            step = logging.Titled(artifact.task, artifact)
        with Interruption():
            if not as_json:
                messages.print(
                    log_in_words(step, logging.log_of(step)), highlight=False, markup=False, soft_wrap=True
                )
            for chunk in logging.follow(step, lines) if follow else [logging.last_lines(step, lines)]:
                if not as_json:
                    write_bytes(chunk)
            log = logging.log_of(step)
            if as_json:
                told = logging.last_lines(step, lines).decode(errors="replace").splitlines()
                about = {
                    "task": task,
                    "fingerprint": step.artifact.fingerprint,
                    "state": log.state,
                    "owner": log.owner,
                }
                print_answer({**about, "log": log.path, "lines": told})
            elif follow:
                messages.print(log_in_words(step, log), highlight=False, markup=False, soft_wrap=True)


def show(
    artifact: str = ARTIFACT,
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Show one artifact: what it was made with and from, its files and numbers, who reads it, what links to it."""
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines.asking import details
        from pipelines.commands.answers import show_details

        look_below(root)
        found = details.describe(details.find(artifact, load_experiment(config, settings), root.absolute()))
        if as_json:
            print_answer(asdict(found))
        else:
            show_details(found, data)


def runs(root: Path = options.ROOT, as_json: bool = options.JSON, debug: bool = options.DEBUG) -> None:
    """List the experiments below runs/, the newest first: last built when, judged how, how large.

    Distances and KID: less is better; precision, recall: more. `compare` says which of them compare, and how surely.
    """
    with errors_as_lines(None, as_json, debug):
        from pipelines.asking.experiments import runs_below
        from pipelines.commands.answers import show_runs

        look_below(root)
        found = runs_below(root.absolute())
        if as_json:
            dated = [
                {**asdict(run), "started": run.started.isoformat() if run.started else None}
                for run in found.runs
            ]
            print_answer({"bytes": found.bytes, "runs": dated})
        else:
            show_runs(found, data, root.absolute())


@contextmanager
def asked_for(
    given: Optional[str], same: Optional[str], default: str, as_json: bool, debug: bool
) -> Iterator[str]:
    """As `errors_as_lines`, with the task that is meant by an argument, by --task, or by neither."""
    task = next((each for each in (given, same) if each is not None), default)
    with errors_as_lines(task or None, as_json, debug):
        if same not in (None, task):
            raise ConfigError(f"TASK is {given!r} and --task is {same!r}; give one of them")
        yield task


def look_below(root: Path) -> None:
    """Refuse a root that can be no folder; of one that is none yet, or holds nothing of ours, say so.

    Raises:
        MissingInput: it is a file, or would be in one.
    """
    there = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    if not there.is_dir():
        raise MissingInput(f"root {root} cannot be used: {there} is a file; give a folder with --root")
    if not any((root / name).exists() for name in ("artifacts", "runs")):
        missing = f"there is no folder {root.absolute()}: nothing was built there yet"
        line = f"nothing was built below {root.absolute()} yet" if root.is_dir() else missing
        line += "; --root gives another folder"
        messages.print(line, highlight=False, markup=False, soft_wrap=True)


def print_answer(answer: dict[str, Any]) -> None:
    """One object on stdout, as of a command that has done what it was asked for, unless the answer says otherwise."""
    print_json({"status": "done", "exit_code": 0, **answer})


def write_bytes(chunk: bytes) -> None:
    """To stdout, at once; when its reader has gone (`logs ... | head`), that is the end, and no error."""
    try:
        sys.stdout.buffer.write(chunk)
        sys.stdout.flush()
    except BrokenPipeError:
        raise typer.Exit(0) from None
