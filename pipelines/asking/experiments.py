"""The experiments below ROOT/runs: what each links to, when it was built, how it was judged, what it takes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from ebm_tf.errors import MissingInput
from pipelines.artifact import Artifact
from pipelines.asking.records import artifact_in, bytes_below, is_name, label, record_in
from pipelines.asking.times import now, recency, started

KEY_METRICS = {
    "frechet_distance": "EvaluateFID frechet_distance fresh",
    "frechet_distance_buffer": "EvaluateFID frechet_distance buffer",
    "kid": "EvaluateFID kid fresh",
    "precision": "EvaluateFID precision fresh",
    "recall": "EvaluateFID recall fresh",
    "best_step": "TrainEBM selection best_step",
}
"""What tells most of an experiment: the task that has it, and where in its metrics.json it stands."""


@dataclass(frozen=True)
class Run:
    """One experiment.

    Attributes:
        name: its folder below runs/.
        started: when the newest build among its artifacts was begun; None where no record tells.
        tasks: by link, the "Task/fingerprint" that it leads to.
        dangling: links to artifacts that are gone.
        metrics: some of KEY_METRICS, those that were measured.
        bytes: of its artifacts; of those that it shares with other experiments, too.
        notes: what is wrong, a sentence each.
    """

    name: str
    started: Optional[datetime]
    tasks: dict[str, str]
    dangling: tuple[str, ...]
    metrics: dict[str, float]
    bytes: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Runs:
    """All experiments, the newest first, and what their artifacts take together, each counted once."""

    runs: tuple[Run, ...]
    bytes: int


def runs_below(root: Path) -> Runs:
    """The experiments below a root; those whose date is not known, or of the future, come last."""
    sizes: dict[Path, int] = {}
    found = [_run(folder, sizes) for folder in _folders(root)]
    at = now()
    found.sort(key=lambda run: run.name)
    found.sort(key=lambda run: recency(run.started, at), reverse=True)
    return Runs(tuple(found), sum(sizes.values()))


def linked_by(artifact: Artifact) -> list[str]:
    """The links below runs/ that lead to an artifact, as "experiment/link"."""
    return [
        f"{folder.name}/{link.name}"
        for folder in _folders(artifact.root)
        for link in _links(folder)
        if link.exists() and link.resolve() == artifact.path.resolve()
    ]


def _folders(root: Path) -> list[Path]:
    runs = root / "runs"
    return sorted(path for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []


def _links(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_symlink() and not path.name.startswith("."))


def _run(folder: Path, sizes: dict[Path, int]) -> Run:
    artifacts, dangling, notes = {}, [], []
    here = Path(os.path.realpath(folder.parents[1] / "artifacts"))
    for link in _links(folder):
        target = Path(os.path.realpath(link))
        if not link.exists():
            dangling.append(link.name)
        elif here not in (target, *target.parents):
            notes.append(f"{link.name} leads out of {here}, to {target}")
        elif target.parent.parent != here or not is_name(target.parent.name, target.name):
            notes.append(f"{link.name} leads to {target}, which is no artifact")
        else:
            artifacts[link.name] = artifact_in(target)
    for artifact in artifacts.values():
        sizes.setdefault(artifact.path, bytes_below(artifact.path))
    dates = [date for artifact in artifacts.values() if (date := started(record_in(artifact.path)))]
    at = now()
    metrics, wrong = _metrics(artifacts)
    return Run(
        folder.name,
        max(dates, key=lambda date: (recency(date, at), date), default=None),
        {name: label(artifact) for name, artifact in artifacts.items()},
        tuple(dangling),
        metrics,
        sum(sizes[path] for path in {artifact.path for artifact in artifacts.values()}),
        (*notes, *wrong),
    )


def _metrics(artifacts: Mapping[str, Artifact]) -> tuple[dict[str, float], list[str]]:
    """The key metrics that are there, and what is wrong with artifacts."""
    numbers, wrong = {}, []
    for task, artifact in artifacts.items():
        try:
            artifact.complete()
            numbers[task] = artifact.metrics()
        except (MissingInput, ValueError) as error:
            wrong.append(str(error))
    found = {key: _number_at(numbers, path.split()) for key, path in KEY_METRICS.items()}
    return {key: value for key, value in found.items() if value is not None}, wrong


def _number_at(values: Any, path: list[str]) -> Optional[float]:
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    is_number = isinstance(values, (int, float)) and not isinstance(values, bool) and math.isfinite(values)
    return values if is_number else None
