"""One artifact: found by any of its names, and all that there is to say about it."""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ebm_tf.config import Experiment
from ebm_tf.errors import ConfigError, MissingInput
from pipelines.artifact import WORK, Artifact
from pipelines.asking.experiments import linked_by
from pipelines.asking.inspect import step_named
from pipelines.asking.records import Records, artifact_in, bytes_below, inputs, label, record_in, unusable
from pipelines.lock import holder
from pipelines.tasks import TASKS, nearest_task

MOST_CANDIDATES = 8
HEX = re.compile(r"[0-9a-f]{1,64}")


@dataclass(frozen=True)
class Input:
    """Something that the artifact was made from: `state` is there, rebuilt (with other content since), or gone."""

    name: str
    artifact: str
    state: str


@dataclass(frozen=True)
class Details:
    """What is known of an artifact.

    Attributes:
        artifact: "Task/fingerprint".
        path: its folder.
        state: whole, damaged, or stale, where a rebuild is wanted or an input was rebuilt.
        note: what is wrong, if anything is.
        owner: who rebuilds it just now, if anyone.
        record: its params.json without files, settings and inputs; as much of it as can be read.
        settings: what it was made with.
        inputs: what it was made from.
        files: bytes by name.
        bytes: of all files, its record among them.
        metrics: its metrics.json; empty where it has none.
        readers: "Task/fingerprint" of the artifacts that were made from it.
        runs: "experiment/link" of the links that lead to it.
    """

    artifact: str
    path: Path
    state: str
    note: str
    owner: Optional[str]
    record: dict[str, Any]
    settings: dict[str, Any]
    inputs: tuple[Input, ...]
    files: dict[str, int]
    bytes: int
    metrics: dict[str, Any]
    readers: tuple[str, ...]
    runs: tuple[str, ...]


def find(name: str, experiment: Experiment, root: Path) -> Artifact:
    """The artifact that a user names.

    Args:
        name: a folder or a link to one, from here or below `root`/runs; a task's name, which stands for that of the
            experiment; "Task/prefix", or the beginning of a fingerprint.
        experiment: whose tasks a task's name stands for.
        root: folder of artifacts/ and runs/.

    Raises:
        ConfigError: the name fits several artifacts, or can be none.
        MissingInput: there is no such artifact.
    """
    return _of_task(name, experiment, root) if is_task(name) else artifact_named(name, root)


def is_task(name: str) -> bool:
    """Whether it is a task's name, or a title as "GenerateSamples (sngan)"."""
    return name in TASKS or ("(" in name and name.split(" (")[0] in TASKS)


def artifact_named(name: str, root: Path, unfinished: bool = False) -> Artifact:
    """The artifact of a name that needs no experiment, as of `find`.

    Args:
        unfinished: one that is not finished will do.

    Raises:
        ConfigError: the name fits several artifacts, or can be none.
        MissingInput: there is no such artifact.
    """
    for place in (Path(name), root / name, root / "runs" / name):
        if place.is_symlink() or place.exists():
            return _at(place, unfinished)
    task, slash, prefix = name.rpartition("/")
    looked = f"looked below {root}, and --root gives another"
    if not HEX.fullmatch(prefix) or (slash and task not in TASKS):
        raise ConfigError(
            f"{name!r} names no artifact{'' if slash else nearest_task(name)}: give a folder, a link in runs/, a "
            f"task, Task/prefix, or the beginning of a fingerprint (0-9, a-f); {looked}; tasks are {', '.join(TASKS)}"
        )
    folder, known = root / "artifacts", []
    for pattern in ("[!.]*", f"{WORK}*")[: 1 + unfinished]:
        known += [path for path in folder.glob(f"{task or '*'}/{pattern}") if _fits(path, prefix)]
    known = sorted({path.with_name(path.name.removeprefix(WORK)) for path in known})
    if len(known) > 1:
        told = ", ".join(f"{path.parent.name}/{path.name}" for path in known[:MOST_CANDIDATES])
        more = f" and {len(known) - MOST_CANDIDATES} more" if len(known) > MOST_CANDIDATES else ""
        raise ConfigError(f"{name!r} fits {len(known)} artifacts: {told}{more}; give more of it")
    if not known:
        raise MissingInput(
            f"no artifact below {root / 'artifacts'} begins with {name!r}; `runs` and `status` say which there are; "
            f"{looked}"
        )
    return artifact_in(known[0])


def describe(artifact: Artifact) -> Details:
    """All that there is to say about a finished artifact; that it is damaged, or of a newer format, is among it."""
    raw, records = record_in(artifact.path), Records(artifact.root)
    damage = artifact.damage()
    record = records.get(artifact.task, artifact.fingerprint)
    made_from = {} if record is None else inputs(artifact.root, record)
    found = tuple(
        Input(name, label(made), _condition_of(made, (record or {})["inputs"][name].get("content")))
        for name, made in made_from.items()
    )
    rebuilt = [made.name for made in found if made.state == "rebuilt"]
    state, note = "whole", ""
    if damage:
        state, note = "damaged", damage
    elif record is None:
        state, note = "damaged", unusable(artifact)
    elif artifact.rebuild_wanted:
        state, note = "stale", "a rebuild is wanted"
    elif rebuilt:
        state, note = "stale", f"input {rebuilt[0]} was rebuilt"
    files = raw.get("files")
    listed = files if isinstance(files, dict) else {}
    return Details(
        artifact=label(artifact),
        path=artifact.path,
        state=state,
        note=note,
        owner=holder(artifact),
        record={key: raw[key] for key in raw if key not in ("files", "settings", "inputs")},
        settings=record["settings"] if record else {},
        inputs=found,
        files={
            name: entry["bytes"]
            for name, entry in listed.items()
            if isinstance(entry, dict) and isinstance(entry.get("bytes"), int)
        },
        bytes=bytes_below(artifact.path),
        metrics={} if damage else artifact.metrics(),
        readers=tuple(map(label, records.readers(artifact))),
        runs=tuple(linked_by(artifact)),
    )


def _of_task(name: str, experiment: Experiment, root: Path) -> Artifact:
    step = step_named(name, experiment, root)
    if not step.artifact.exists():
        if owner := holder(step.artifact):
            raise MissingInput(
                f"{step.title} of {experiment.name} is being built by process {owner}, and is no artifact yet; "
                f"`logs {shlex.quote(step.title)} -f` follows it"
            )
        kept = "; unfinished work of it is kept" if step.artifact.work.exists() else ""
        raise MissingInput(
            f"{step.title} of {experiment.name} is not built ({label(step.artifact)}) below {root}{kept}; run it "
            f"with --task {step.name()}, or give another --root; `explain {step.name()}` says against what it changed"
        )
    return step.artifact


def _at(place: Path, unfinished: bool) -> Artifact:
    """The artifact in a folder ROOT/artifacts/TASK/FINGERPRINT, or behind a link to one, whole or not."""
    folder = Path(os.path.realpath(place))
    if place.is_symlink() and not place.exists():
        raise MissingInput(f"the artifact that {place} leads to is gone: {folder}; run it again")
    if folder.name.startswith(WORK):
        if unfinished:
            return artifact_in(folder.with_name(folder.name.removeprefix(WORK)))
        raise MissingInput(
            f"{place} is unfinished work, no artifact yet; `logs {folder.parent.name}` shows its log"
        )
    if len(folder.parts) < 4 or folder.parents[1].name != "artifacts" or not HEX.fullmatch(folder.name):
        raise ConfigError(
            f"{place} is no artifact: give artifacts/TASK/FINGERPRINT, or a link in runs/EXPERIMENT"
        )
    return artifact_in(folder)


def _fits(folder: Path, prefix: str) -> bool:
    """Folders are named by the first 16 digits; the record has all 64."""
    if len(prefix) <= 16:
        return folder.name.removeprefix(WORK).startswith(prefix)
    return str(record_in(folder).get("fingerprint", "")).startswith(prefix)


def _condition_of(made: Artifact, content: Any) -> str:
    if not made.exists():
        return "gone"
    return "there" if record_in(made.path).get("content") == content else "rebuilt"
