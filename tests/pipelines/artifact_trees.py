"""Artifacts with their ancestors as a pipeline publishes them, without running one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.artifact import Artifact, fingerprint
from pipelines.publishing import prepare_work, publish


def published(
    root: Path,
    task: str,
    settings: Mapping[str, Any],
    inputs: Mapping[str, Artifact] | None = None,
    version: int = 1,
    metrics: Mapping[str, Any] | None = None,
    text: str = "content",
) -> Artifact:
    """One artifact, made from others; `text` is all the content that it has beside its metrics."""
    inputs = inputs or {}
    identity = fingerprint(task, version, settings, {name: made.fingerprint for name, made in inputs.items()})
    artifact = Artifact(root, task, identity)
    prepare_work(artifact, {})
    (artifact.output / "data.txt").write_text(text)
    if metrics is not None:
        (artifact.output / "metrics.json").write_text(json.dumps(metrics))
    artifact.log.write_text("what happened")
    made_from = {
        name: {"task": made.task, "fingerprint": made.fingerprint, "content": made.content()}
        for name, made in inputs.items()
    }
    record = {
        "task": task, "version": version, "fingerprint": identity, "settings": settings, "inputs": made_from,
    }  # fmt: skip
    publish(artifact, record)
    return artifact


def link(root: Path, experiment: str, artifact: Artifact) -> Path:
    """The folder runs/EXPERIMENT, with a link to the artifact."""
    folder = root / "runs" / experiment
    folder.mkdir(parents=True, exist_ok=True)
    (folder / artifact.task).symlink_to(artifact.path)
    return folder
