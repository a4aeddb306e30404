"""Stages as tests run them: in this process, or as the process that the pipeline starts."""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ebm_tf.config import Compute, Experiment, Section
from ebm_tf.stages.__main__ import STAGES
from ebm_tf.stages.context import Context
from pipelines.tasks import task_named

AS_A_MODULE = ("-m", "ebm_tf.stages")


def experiment_of(**changes: Any) -> dict[str, Any]:
    """The values of an experiment of the default settings but for these.

    Args:
        changes: sections or single values, taken as they are even where they do not go together.
    """
    plain = {
        name: value.model_dump(mode="json") if isinstance(value, Section) else value
        for name, value in changes.items()
    }
    return {**Experiment().model_dump(mode="json"), **plain}


def settings_of(task: str, **changes: Any) -> dict[str, Any]:
    """What a task's stage is told of an experiment; `changes` as of `experiment_of`."""
    return task_named(task).slice_of(experiment_of(**changes))


def specification_in(
    folder: Path,
    stage: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Path],
    compute: Mapping[str, Any],
) -> Path:
    """Write the specification of a stage, and make `out` and `work` beside it where they are not there."""
    for name in ("out", "work"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    values = {
        "stage": stage,
        "fingerprint": "0" * 64,
        "settings": settings,
        "compute": compute,
        "inputs": {name: str(path) for name, path in inputs.items()},
        "work": str(folder / "work"),
    }
    path = folder / "spec.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def stage_command(
    folder: Path,
    stage: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Path],
    compute: Mapping[str, Any] | None = None,
    program: Sequence[str] = AS_A_MODULE,
) -> list[str]:
    """The command line of a stage that writes to `folder / "out"`, with all made that it needs.

    Args:
        compute: values of that section; the default ones where none are given.
        program: what Python is to run.
    """
    chosen = Compute().model_dump(mode="json") if compute is None else compute
    spec = specification_in(folder, stage, settings, inputs, chosen)
    return [sys.executable, *program, stage, "--spec", str(spec), "--out", str(folder / "out")]


def context_of(task: str, folder: Path, inputs: Mapping[str, Path], **changes: Any) -> Context:
    """What a task's stage is given in this process; `changes` as of `experiment_of`."""
    experiment = experiment_of(**changes)
    settings = task_named(task).slice_of(experiment)
    spec = specification_in(folder, task, settings, inputs, experiment["compute"])
    return Context.read(spec, folder / "out", io.StringIO())


def run_in(context: Context) -> None:
    """Run the stage that a context is of, in this process."""
    importlib.import_module(f"ebm_tf.stages.{STAGES[context.stage]}").run(context)


def told_in(context: Context) -> list[dict[str, Any]]:
    """The events that a stage has told."""
    assert isinstance(context.channel, io.StringIO)
    return [json.loads(line) for line in context.channel.getvalue().splitlines()]


def run_stage(
    task: str, folder: Path, inputs: Mapping[str, Path], **changes: Any
) -> tuple[Path, list[dict[str, Any]]]:
    """Run a task's stage in this process; returns its output, `folder / "out"`, and the events that it told.

    Args:
        changes: of the experiment, as of `experiment_of`; the stage gets what the task declares of it.
    """
    context = context_of(task, folder, inputs, **changes)
    run_in(context)
    return context.out, told_in(context)
