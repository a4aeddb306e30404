"""Runs whose samples were judged: found by name, folder or file, and read."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from ebm_tf.errors import ConfigError, MissingInput
from ebm_tf.evaluation.protocols import of_row
from pipelines.artifact import Artifact
from pipelines.asking.details import HEX, artifact_named
from pipelines.judging.lineage import artifact_at, lineage

TASK = "EvaluateFID"
PROTOCOL, TITLES, INTERVALS = "protocol", "titles", "intervals"
NO_METRICS = ("exit_code", "seconds", TITLES, INTERVALS, PROTOCOL)
"""What stands beside the metrics, be it a number or not."""
ROWS_OF_MODELS = ("fresh", "buffer")
"""The rows of a task that are samples of the model that was trained."""


@dataclass(frozen=True)
class JudgedRun:
    """The numbers of one row of one run.

    Attributes:
        label: what it is called; no two of a comparison share it.
        source: artifact folder or JSON file.
        protocol: how the row was measured.
        values: finite numbers by metric.
        intervals: low and high end by metric, where they are known.
        settings: values by dotted name, of the lineage; None of a file, which has none.
        whole: nothing is missing from the settings.
        trained: the numbers are those of a model that was trained here; what a file's are of, nobody knows.
        notes: what a reader has to know, a sentence each.
    """

    label: str
    source: Path
    protocol: dict[str, Any]
    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    settings: Optional[dict[str, Any]]
    whole: bool
    trained: bool
    notes: tuple[str, ...] = ()


def load_runs(names: Sequence[str], root: Path, row: str) -> list[JudgedRun]:
    """The runs that a user names.

    Args:
        names: of each a folder runs/EXPERIMENT, an experiment's name below `root`/runs, an artifact folder of
            EvaluateFID, or a JSON file that `evaluate --json` wrote.
        row: which samples of a run; such a file has but one row, which is taken.

    Raises:
        ConfigError: fewer than two runs, one twice (be it under two names), an artifact of another task, a file of
            another kind, no such row.
        MissingInput: no such run, or its artifact is not whole.
    """
    if len(names) < 2:
        raise ConfigError(f"compare takes two runs at least; received {', '.join(names) or 'none'}")
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{name} is named twice; name each run once")
    found = [_found(name, root) for name in names]
    first: dict[Path, str] = {}
    for name, place in zip(names, found):
        if (known := first.setdefault(place.resolve(), name)) != name:
            raise ConfigError(f"{known} and {name} are the same, {place.resolve()}; name each run once")
    return [
        _of_file(label, place, row) if place.is_file() else _of_artifact(label, place, row)
        for label, place in zip(labels(names), found)
    ]


def labels(names: Sequence[str]) -> list[str]:
    """Short names: as many of the last parts of each path as tell it from the others.

    Two names may have the same parts, as an experiment "digits" and a folder "./digits" have; the folder is then
    called by its full path.
    """
    parts = [Path(name).parts for name in names]
    chosen = []
    for number, own in enumerate(parts):
        others = [other for place, other in enumerate(parts) if place != number]
        alone = (n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others))
        chosen.append(str(Path(*own[-next(alone, len(own)) :])))
    return [
        str(Path(name).absolute()) if chosen.count(label) > 1 and name != label else label
        for name, label in zip(names, chosen)
    ]


def _found(name: str, root: Path) -> Path:
    """The JSON file or the artifact folder that a name stands for; an experiment's name goes before a path."""
    runs = root / "runs"
    known = sorted(path.name for path in runs.iterdir() if path.is_dir()) if runs.is_dir() else []
    path = runs / name if name in known else Path(name)
    if path.is_file():
        return path
    if not path.is_dir() and name != path.name and path.name in known:
        raise MissingInput(
            f"no file or folder {name!r}: a name with / is a path from here; the experiment in {runs} is named "
            f"without, {path.name}"
        )
    if not path.is_dir() and (artifact := _artifact(name, root)):
        return artifact.path
    if not path.is_dir():
        raise MissingInput(
            f"no run {name!r}: give a folder runs/EXPERIMENT, an artifact of {TASK}, a JSON file of evaluate, or "
            f"one of {', '.join(known) or f'the experiments in {runs}, which has none'}{_nearest(name, known)}"
        )
    if (path / "params.json").is_file() or path.resolve().parent.name == TASK:
        return path
    link = path / TASK
    if not link.is_symlink() and not (link / "params.json").is_file():
        if path.absolute().parent.name == runs.name:
            raise MissingInput(f"{path} has no {TASK} yet: run it with --task {TASK}")
        raise MissingInput(
            f"the folder {name!r} is no run; compare takes runs/EXPERIMENT or one artifact, "
            f"artifacts/{TASK}/FINGERPRINT"
        )
    if not link.exists():
        raise MissingInput(f"the artifact that {link} points to is gone: run it again with --task {TASK}")
    return link


def _artifact(name: str, root: Path) -> Optional[Artifact]:
    """The artifact that a name stands for as `show` takes it; None where it is of another form, or a plain word."""
    try:
        return artifact_named(name, root.absolute())
    except MissingInput:
        if "/" in name:
            raise
    except ConfigError:
        if HEX.fullmatch(name.rpartition("/")[2]) and name.rpartition("/")[0] in ("", TASK):
            raise
    return None


def _nearest(name: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(Path(name).name, known, n=3, cutoff=0.5)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def _of_artifact(label: str, place: Path, row: str) -> JudgedRun:
    artifact = artifact_at(place, TASK)
    record, known = _read(artifact.path / "metrics.json"), lineage(artifact)
    notes = [
        *(f"{label}: {gone} is not there any more, so its settings are not known." for gone in known.gone),
        *(
            f"{label}: {rebuilt} was rebuilt since and came out otherwise; the numbers are of the one before."
            for rebuilt in known.rebuilt
        ),
    ]
    protocol, values, intervals = _row_of(record, label, row)
    return JudgedRun(
        label,
        artifact.path,
        protocol,
        values,
        intervals,
        known.settings,
        not known.gone,
        row in ROWS_OF_MODELS,
        tuple(notes),
    )


def _of_file(label: str, place: Path, row: str) -> JudgedRun:
    record = _read(place)
    note = f"{label}: a file of numbers, whose settings are not known."
    if isinstance(record.get(TITLES), Mapping):
        return JudgedRun(label, place, *_row_of(record, label, row), None, False, False, (note,))
    values = {
        key: float(value) for key, value in record.items() if _is_number(value) and key not in NO_METRICS
    }
    if not values:
        raise ConfigError(f"{place} has no numbers; give what evaluate --json printed")
    intervals = _intervals(record.get(INTERVALS), place)
    return JudgedRun(label, place, record[PROTOCOL], values, intervals, None, False, False, (note,))


def _read(path: Path) -> dict[str, Any]:
    """A record of numbers with their protocol."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingInput(f"cannot read {path}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not JSON ({error}); give what evaluate --json printed") from error
    if not isinstance(record, dict) or not isinstance(record.get(PROTOCOL), dict):
        raise ConfigError(
            f"{path} has no protocol, so nobody knows how its numbers were measured; give what evaluate --json "
            "printed"
        )
    return record


def _row_of(
    record: Mapping[str, Any], label: str, row: str
) -> tuple[dict[str, Any], dict[str, float], dict[str, tuple[float, float]]]:
    """Protocol, values and intervals of one row of a record that has several."""
    titles = record.get(TITLES)
    if not isinstance(titles, Mapping) or not titles:
        raise ConfigError(
            f"{label} does not name its rows: titles is {titles!r}; it has to be a title for each row"
        )
    rows = list(titles)
    if row not in rows:
        raise ConfigError(f"{label} has no row {row!r}; --row takes one of {', '.join(rows)}")
    values = {
        key: float(value[row])
        for key, value in record.items()
        if key not in NO_METRICS and _is_by_row(value, rows) and _is_number(value.get(row))
    }
    if not values:
        raise ConfigError(
            f"{label} has no numbers of the row {row!r}; with titles each metric has to be told by row, "
            f"{{{row!r}: 1.5}}; without titles it is a number"
        )
    intervals = record.get(INTERVALS)
    if intervals is not None and not (intervals == {} or _is_by_row(intervals, rows)):
        raise ConfigError(
            f"{label}: intervals is {intervals!r}; it has to be told by row, as the titles are: {', '.join(rows)}"
        )
    return of_row(record[PROTOCOL], rows, row), values, _intervals((intervals or {}).get(row), label)


def _is_by_row(value: Any, rows: Sequence[str]) -> bool:
    return isinstance(value, Mapping) and bool(value) and set(rows).issuperset(value)


def _intervals(given: Any, whose: object) -> dict[str, tuple[float, float]]:
    """Those that are there, with ends that are finite and in order."""
    if given is not None and not isinstance(given, Mapping):
        raise ConfigError(f"{whose}: intervals is {given!r}; it has to be [low, high] by metric, or left out")
    found = {}
    for metric, ends in (given or {}).items():
        if ends is None:
            continue
        if (
            not isinstance(ends, list)
            or len(ends) != 2
            or not all(map(_is_number, ends))
            or ends[0] > ends[1]
        ):
            raise ConfigError(
                f"{whose}: the interval of {metric} is {ends}; it has to be [low, high], or left out where not known"
            )
        found[metric] = (float(ends[0]), float(ends[1]))
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
