"""What the asking commands tell people: tables, trees, and lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Optional

from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from ebm_tf.config import Experiment, leaves
from ebm_tf.nested import flat
from pipelines.asking.details import Details
from pipelines.asking.experiments import KEY_METRICS, Runs
from pipelines.asking.explain import Cause, Explanation
from pipelines.asking.graph import Graph, Node
from pipelines.asking.inspect import PlanRow, StatusRow, total_seconds
from pipelines.asking.logs import Log, Logged
from pipelines.asking.times import age, date_in_words, duration, now, started
from pipelines.commands.display import COLOURS, table
from pipelines.judging.comparison import ABSENT, number
from pipelines.judging.judged import NO_METRICS

MOST_METRICS = 30
WIDEST = 10_000
"""Columns of text; no table takes more."""
UP_TO_DATE = "up to date"


def show_plan(rows: Sequence[PlanRow], data: Console) -> None:
    """A row for each task, and how long all that would run may take."""
    cells = [(row.task, row.fingerprint[:16], row.state, _time(row), row.reason) for row in rows]
    data.print(table(("task", "fingerprint", "state", "time", "reason"), cells))
    running = [row for row in rows if row.state == "run"]
    seconds, unknown = total_seconds(rows)
    if not running:
        _say("Nothing would run.", data)
    elif seconds is None:
        _say(
            f"{len(running)} would run; how long that takes is not known, as none like it ran here before.",
            data,
        )
    else:
        least = f"at least {duration(seconds)} (by earlier runs here; none was like {_counted(unknown)})"
        about = least if unknown else f"about {duration(seconds)} (by earlier runs here)"
        _say(f"{len(running)} would run, one after the other in {about}.", data)


def show_status(rows: Sequence[StatusRow], data: Console) -> None:
    """A row for each task."""
    cells = [
        (row.task, row.fingerprint[:16], row.state, _kibibytes(row.bytes), _minute(row.finished), row.note)
        for row in rows
    ]
    data.print(table(("task", "fingerprint", "state", "KiB", "finished (UTC)", "note"), cells))


def show_explanation(found: Explanation, data: Console) -> None:
    """Why a task would run, as a tree of causes; or why it was built, from what, and what would run it again."""
    if not found.causes:
        _show_up_to_date(found, data)
        return
    tree = Tree(_headline(found))
    _grow_branches(tree, found.causes, {found.artifact})
    data.print(tree)
    _say_remarks(found.remarks, "that artifact was built", data)


def show_graph(graph: Graph, data: Console) -> None:
    """Each task that no other one reads, with all that it stands on below it; what was shown is referred to."""
    seen: set[str] = set()
    for end in graph.ends:
        tree = Tree(_node(end))
        seen.add(end.key)
        _grow_graph(tree, graph, end, seen)
        data.print(tree)


def show_details(found: Details, data: Console) -> None:
    """All that is known of an artifact, section by section."""
    record, at = found.record, now()
    _say(f"{found.artifact}: {found.state}{f' ({found.note})' if found.note else ''}", data)
    if found.owner:
        _say(f"It is being rebuilt by process {found.owner}.", data)
    seconds, attempts = record.get("seconds"), record.get("attempts", 1)
    took = "" if seconds is None else f", {duration(seconds)} in all"
    versions = record.get("versions", {})
    facts = {
        "folder": found.path,
        "begun": date_in_words(started(record), at)
        + took
        + (f", in {attempts} attempts" if attempts != 1 else ""),
        "code": f"version {record.get('version', ABSENT)}, revision {record.get('git_revision') or ABSENT}",
        "machine": record.get("host", ABSENT),
        "with": ", ".join(f"{name} {version}" for name, version in versions.items()) or ABSENT,
        "linked by": ", ".join(found.runs) or "no run",
        "read by": ", ".join(found.readers) or "no other artifact",
    }
    data.print(table(("what", "found"), facts.items()))
    sections = (
        (("setting", "value"), list(flat(found.settings))),
        (("input", "artifact", "state"), [tuple(vars(made).values()) for made in found.inputs]),
        (("metric", "value"), _short_metrics(found.metrics)),
        (("file", "bytes"), [(name, f"{size:,}") for name, size in found.files.items()]),
    )
    for headings, rows in sections:
        if rows:
            data.print()
            data.print(table(headings, rows))
    _say(f"{_kibibytes(found.bytes)} KiB in all", data)


def show_runs(found: Runs, data: Console, root: Path) -> None:
    """A row for each experiment, the newest first; what is missing or wrong comes below.

    Of the metrics those are there that the console has room for.
    """
    if not found.runs:
        _say(f"There are no experiments below {root / 'runs'} yet.", data)
        return
    keys: list[str] = []
    for key in KEY_METRICS:
        if _wished_width(_runs_table(found, [*keys, key]), data) <= data.width:
            keys.append(key)
    data.print(_runs_table(found, keys))
    if left := [_spaced(key) for key in KEY_METRICS if key not in keys]:
        _say(f"No room for {', '.join(left)}: use a wider window, or --json.", data)
    _say(f"{_kibibytes(found.bytes)} KiB in all, what experiments share counted once.", data)
    for run in found.runs:
        if run.dangling:
            _say(f"{run.name}: the artifacts of {', '.join(run.dangling)} are gone.", data)
        for note in run.notes:
            _say(f"{run.name}: {note}", data)


def _runs_table(found: Runs, keys: Sequence[str]) -> Table:
    at = now()
    rows = [
        (
            run.name,
            age(run.started, at) if run.started else ABSENT,
            len(run.tasks),
            *(number(run.metrics[key]) if key in run.metrics else ABSENT for key in keys),
            _kibibytes(run.bytes),
        )
        for run in found.runs
    ]
    headings = ("experiment", "last built", "tasks", *map(_spaced, keys), "KiB")
    return table(headings, rows, no_wrap=("experiment",))


def _wished_width(made: Table, data: Console) -> int:
    """Columns of text that a table takes with nothing folded."""
    return data.measure(made, options=data.options.update(max_width=WIDEST)).maximum


def log_in_words(task: Logged, log: Log) -> str:
    """Whose log it is, and where it lies."""
    state = f"in work by process {log.owner}" if log.owner else log.state
    goes_on = "; the next run goes on from there" if log.state == "unfinished" else ""
    return f"{task.title} {task.artifact.short}, {state}{goes_on}; log: {log.path}"


def settings_in_short(names: Sequence[str]) -> list[str]:
    """Dotted names, where all of a section are there "section.*" in their place."""
    whole: dict[str, set[str]] = {}
    for path, _ in leaves(Experiment):
        whole.setdefault(path.split(".")[0], set()).add(path)
    told = [
        f"{name.split('.')[0]}.*"
        if "." in name and whole.get(name.split(".")[0], {""}) <= set(names)
        else name
        for name in names
    ]
    return list(dict.fromkeys(told))


def _time(row: PlanRow) -> str:
    if row.state != "run":
        return ""
    return "not known" if row.seconds is None else f"~ {duration(row.seconds)}"


def _counted(titles: Sequence[str]) -> str:
    """Names of tasks, with how many there are of one name, be it in several variants."""
    names = Counter(title.split(" (")[0] for title in titles)
    return ", ".join(f"{count} {name}" if count > 1 else name for name, count in names.items())


def _headline(found: Explanation) -> Text:
    state = UP_TO_DATE if found.state == "reuse" and not found.causes else found.state
    line = Text(
        found.artifact if found.task == found.artifact.split("/")[0] else f"{found.task}, {found.artifact}"
    )
    line.append(": ")
    line.append(_IN_WORDS.get(state, state), _COLOURS.get(found.state, "default"))
    if found.owner:
        line.append(f"; being built by process {found.owner}")
    if found.compared == found.artifact:
        line.append(f"; begun {_date(found.compared_started)}")
    elif found.compared:
        line.append(f"; compared with {found.compared} of {_date(found.compared_started)}")
    return line


_IN_WORDS = {
    "run": "would run",
    "reuse": "there",
    "damaged": "damaged, so that a run would refuse",
    "refuse": "a run would refuse, as what it stands on is damaged",
}
_COLOURS = {**COLOURS, "refuse": COLOURS["damaged"]}


def _grow_branches(tree: Tree, causes: Sequence[Cause], seen: set[str]) -> None:
    for cause in causes:
        branch = tree.add(Text(_cause(cause)))
        below = cause.below
        if below is None:
            continue
        if below.artifact in seen:
            branch.add(Text(f"{below.artifact}: as above"))
        else:
            seen.add(below.artifact)
            _grow_branches(branch.add(_headline(below)), below.causes, seen)


def _cause(cause: Cause) -> str:
    return f"setting {cause.words}" if cause.kind == "setting" else cause.words


def _show_up_to_date(found: Explanation, data: Console) -> None:
    record = found.record
    tree = Tree(Text(found.artifact).append(f": {UP_TO_DATE}", "green"))
    seconds, attempts = record.get("seconds"), record.get("attempts", 1)
    tries = f" and {attempts} attempts" if attempts != 1 else ""
    took = "" if seconds is None else f", in {duration(seconds)}{tries}"
    tree.add(Text(f"begun {_date(record.get('started'))}{took}"))
    if found.was_built:
        was = f"built although {found.compared} of {_date(found.compared_started)} was there, because of"
        _grow_branches(tree.add(Text(was)), found.was_built, {found.artifact})
    if found.made_from:
        made = tree.add("made from")
        for name, artifact in found.made_from.items():
            made.add(Text(artifact if artifact.split("/")[0] == name else f"{name}: {artifact}"))
    again = tree.add(
        "runs again when one of these settings changes, or the code version of one of these tasks"
    )
    for task, names in found.depends_on.items():
        again.add(Text(f"{task}: {', '.join(settings_in_short(names)) or 'no setting of its own'}"))
    data.print(tree)
    _say_remarks(found.remarks, "it was built", data)


def _say_remarks(remarks: Sequence[str], since: str, data: Console) -> None:
    if remarks:
        _say(f"Otherwise since {since}, which makes nothing run: {'; '.join(remarks)}.", data)


def _grow_graph(tree: Tree, graph: Graph, node: Node, seen: set[str]) -> None:
    for source in graph.inputs_of(node):
        if source.key in seen:
            tree.add(Text(f"{source.task} (above)", "dim") if graph.inputs_of(source) else _node(source))
        else:
            seen.add(source.key)
            _grow_graph(tree.add(_node(source)), graph, source, seen)


def _node(node: Node) -> Text:
    line = Text(f"{node.task} {node.fingerprint[:16]} ")
    line.append(node.state, COLOURS.get(node.state, "default"))
    return line.append(f" ({node.note})" if node.note else "")


def _short_metrics(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The numbers that fit on a screen; metrics.json has them all."""
    numbers = list(_numbers(metrics))
    rows = [(name, number(value)) for name, value in numbers[:MOST_METRICS]]
    left = len(numbers) - MOST_METRICS
    return [*rows, (f"and {left} more", "in metrics.json")] if left > 0 else rows


def _numbers(metrics: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in flat({key: value for key, value in metrics.items() if key not in NO_METRICS}):
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, value


def _date(text: Optional[str]) -> str:
    date: Optional[datetime] = started({"started": text})
    return date_in_words(date, now())


def _minute(date: str) -> str:
    """Of a date in ISO 8601, as `2024-05-01 12:30`."""
    return f"{datetime.fromisoformat(date):%Y-%m-%d %H:%M}" if date else ""


def _spaced(name: str) -> str:
    return name.replace("_", " ")


def _kibibytes(size: int) -> str:
    return f"{size / 1024:.0f}"


def _say(line: str, data: Console) -> None:
    data.print(line, highlight=False, markup=False, soft_wrap=True)
