"""Every real stage, as briefly as it will go, built without a disturbance."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from ebm_tf.config import Experiment
from ebm_tf.config_files import load_experiment
from pipelines.stage_task import StageTask
from pipelines.tasks import task_named
from pipelines.trees import tree

CLI = Path(__file__).resolve().parents[2] / "cli.py"
PATIENCE_SECONDS = 300.0
CONFIG = """\
# Every stage, as briefly as it will go.
extends: digits_or
name: brief
langevin: {steps: 3}
training: {steps: 8, log_every: 4, grid_every: 8, checkpoint_every: 4}
selection: {every: 0, count: 500, steps: 2}
studies: {seeds: [0, 1], training_steps: 8, evaluations: 1}
sampling: {steps: 3, buffer_steps: 1, count: 40, batch_size: 20}
extractor: {epochs: 6}
evaluation: {baseline_count: 60, kid_subsets: 3, bootstrap: 5}
compose: {count: 20, steps: 2}
sngan: {steps: 2, log_every: 1, checkpoint_every: 1}
compute: {minimum_free_disk_mb: 1}
"""
SETTINGS_OF = {
    "ImportFeatureExtractor": ["extractor.name=random-conv"],
    "DrawSamples": ["sampling.shard_size=20"],
    "MeasureShard": ["sampling.shard_size=20"],
}
RUN_FOR = {"DrawSamples": "GenerateSamples", "MeasureShard": "EvaluateFID"}
"""The task to be run, where a stage only works for another."""


def write_config(folder: Path) -> Path:
    """The config of the brief experiment, as a file in the folder."""
    path = folder / "brief.yaml"
    path.write_text(CONFIG)
    return path


def command(
    config: Path, name: str, root: Path, *arguments: str, settings: tuple[str, ...] = ()
) -> list[str]:
    """The command line of a command of the brief experiment."""
    sets = [part for setting in settings for part in ("--set", setting)]
    return [sys.executable, str(CLI), name, "--config", str(config), "--root", str(root), *arguments, *sets]


def ended(
    command_line: list[str], environment: Optional[Mapping[str, str]] = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command_line, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS
    )


class Undisturbed:
    """A root in which every task is built once, when it is first asked for.

    Attributes:
        config: file of the brief experiment.
        root: where its artifacts are.
    """

    def __init__(self, folder: Path) -> None:
        self.config, self.root = write_config(folder), folder / "root"

    def build(self, name: str) -> float:
        """Build what the stage makes, unless it is there; returns the seconds of a run with nothing left to build."""
        for _ in range(2):
            began = time.monotonic()
            done = ended(self.command("run", name, self.root))
            assert done.returncode == 0, done.stderr
        return time.monotonic() - began

    def steps(self, name: str, root: Optional[Path] = None) -> list[StageTask]:
        """What is built for the sake of the stage, and on what it stands; with results here or below another root."""
        task = task_named(RUN_FOR.get(name, name))
        return tree(task.of(self.experiment(name), root or self.root))

    def own(self, name: str, root: Optional[Path] = None) -> list[StageTask]:
        """Of these the stage itself and what only works for it."""
        names = (name, RUN_FOR.get(name))
        return [step for step in self.steps(name, root) if step.name() in names]

    def experiment(self, name: str) -> Experiment:
        """The experiment in which the stage has its place."""
        return load_experiment(str(self.config), SETTINGS_OF.get(name, []))

    def command(self, command_name: str, name: str, root: Path, *arguments: str) -> list[str]:
        """The command line of a command about the task that is run for the stage."""
        settings = tuple(SETTINGS_OF.get(name, []))
        task = RUN_FOR.get(name, name)
        return command(self.config, command_name, root, "--task", task, *arguments, settings=settings)

    def copy_inputs(self, name: str, root: Path) -> None:
        """Put what the stage stands on, and nothing else, below another root."""
        own = [step.key for step in self.own(name)]
        for step in self.steps(name):
            if step.key not in own:
                to = root / step.artifact.path.relative_to(self.root)
                shutil.copytree(step.artifact.path, to)
