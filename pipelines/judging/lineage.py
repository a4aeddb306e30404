"""What an artifact came from: the settings of all that went into it, read from the records of its ancestors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ebm_tf.errors import ConfigError, MissingInput
from ebm_tf.nested import flat
from pipelines.artifact import PARAMS, Artifact

SHARD = "shard"
"""Which part of the samples a task drew: no setting of anybody's."""


@dataclass(frozen=True)
class Lineage:
    """The settings behind a result.

    Attributes:
        settings: values by dotted name, of the artifact and all its ancestors; the version of each task's code
            is among them.
        gone: ancestors whose folder is not there any more, so that their settings are not known.
        rebuilt: ancestors whose present content is not what the artifact was made from.
    """

    settings: dict[str, Any]
    gone: tuple[str, ...]
    rebuilt: tuple[str, ...]


def artifact_at(path: Path, task: str) -> Artifact:
    """The whole artifact of a task that a folder, or a link to it, holds.

    Raises:
        ConfigError: the folder is of another task.
        MissingInput: there is no artifact, or it is unfinished or damaged; the text says what to do.
    """
    place = path.resolve()
    if place.parent.name != task and (place / PARAMS).is_file():
        raise ConfigError(f"{path} is an artifact of {place.parent.name}; give one of {task}")
    if place.name.startswith(".") or not (place / PARAMS).is_file():
        raise MissingInput(
            f"no finished artifact of {task} in {path}: {PARAMS} is missing; run it with --task {task}"
        )
    artifact = Artifact(place.parents[2], task, _fingerprint_in(place, task))
    if artifact.path.resolve() != place:
        raise MissingInput(
            f"{path} is not where the artifact is looked for, {artifact.path}; give artifacts/{task}/FINGERPRINT"
        )
    artifact.complete()  # or it says what is missing
    return artifact


def _fingerprint_in(place: Path, task: str) -> str:
    try:
        return str(json.loads((place / PARAMS).read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MissingInput(
            f"damaged artifact: {place / PARAMS} cannot be read ({type(error).__name__}); rebuild it with "
            f"--force {task}"
        ) from error


def lineage(artifact: Artifact) -> Lineage:
    """What is known of how a whole artifact came about.

    Where two ancestors of one lineage have other values of a setting (two data sets, say), the second stands under
    the name of the input that it belongs to: "PrepareDataset 1: dataset.name".

    Raises:
        MissingInput: the record of an ancestor that is there cannot be read.
    """
    settings: dict[str, Any] = {}
    gone: list[str] = []
    rebuilt: list[str] = []
    seen: set[Path] = set()
    pending = [(artifact.task, artifact)]
    while pending:
        name, member = pending.pop(0)
        if member.path in seen:
            continue
        seen.add(member.path)
        if not member.exists():
            gone.append(f"{member.task}/{member.short}")
            continue
        record = member.params()
        for key, value in [*flat(record["settings"]), (f"{member.task} (version)", record["version"])]:
            if key == SHARD:
                continue
            if settings.setdefault(key, value) != value:
                settings[f"{name}: {key}"] = value
        for below, made in record["inputs"].items():
            # Records of before tasks were named there have the task's name for the input's.
            upstream = Artifact(artifact.root, made.get("task", below), made["fingerprint"])
            if upstream.exists() and upstream.content() != made["content"]:
                rebuilt.append(f"{upstream.task}/{upstream.short}")
            pending.append((below, upstream))
    return Lineage(settings, tuple(gone), tuple(dict.fromkeys(rebuilt)))
