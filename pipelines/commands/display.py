"""Tables and lines for people."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ebm_tf.evaluation.verdicts import level
from ebm_tf.models.summary import Summary
from ebm_tf.nested import flat
from pipelines.judging.comparison import ABSENT, Cell, Comparison, number, what_differs
from pipelines.judging.sweep import Sweep
from pipelines.running.joining import Joined
from pipelines.running.runner import Outcome

LOG_LINES = 15
LONGEST_LIST = 12
MOST_COLUMNS = 9
COLOURS = {
    "ran": "green", "run": "yellow", "reused": "cyan", "reuse": "cyan", "failed": "red", "not_run": "dim",
    "done": "green", "missing_input": "red", "busy": "yellow", "interrupted": "yellow",
    "whole": "green", "missing": "dim", "damaged": "red", "stale": "yellow", "in work": "blue",
}  # fmt: skip


def table(
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    coloured: str = "state",
    no_wrap: Collection[str] = (),
) -> Table:
    """A plain table; words of known states have their colour in the column named `coloured`.

    Args:
        no_wrap: headings of columns that are folded under no circumstances; what does not fit ends in an ellipsis.
    """
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        whole = heading in no_wrap
        made.add_column(heading, overflow="ellipsis" if whole else "fold", no_wrap=whole)
    for row in rows:
        made.add_row(
            *(
                f"[{COLOURS.get(str(cell), 'default')}]{cell}[/]" if heading == coloured else _escaped(cell)
                for heading, cell in zip(headings, row)
            )
        )
    return made


def show_outcome(outcome: Outcome, data: Console, messages: Console) -> None:
    """The tasks, the numbers of the task that was asked for, and what to look at."""
    rows = [(task.task, task.fingerprint[:16], task.state, f"{task.seconds:.1f}") for task in outcome.tasks]
    messages.print(table(("task", "fingerprint", "state", "seconds"), rows))
    if outcome.artifact is not None:
        summary = _summary(outcome.artifact, outcome.metrics)
        data.print(summary, highlight=False, markup=False, soft_wrap=True, end="")
        line = f"{outcome.task}: done in {outcome.seconds:.1f} s, see {outcome.artifact}"
        messages.print(line, highlight=False, markup=False, soft_wrap=True)
        if outcome.replaced:
            line = (
                f"runs/{outcome.experiment} shows this now, and no longer {', '.join(outcome.replaced)}; to keep "
                "both at hand, give one a name: --set name=NAME"
            )
            messages.print(line, highlight=False, markup=False, soft_wrap=True)
        return
    show_error(outcome, messages)


def show_error(outcome: Outcome | Joined, messages: Console, whose: str = "") -> None:
    """The end of the log where it may help, and, as the last line, what happened and which log to read."""
    # What a user can mend has been said; of anything else the log knows more.
    for line in _last_lines(outcome.log) if outcome.log is not None and outcome.exit_code == 3 else ():
        messages.print(f"  {line}", style="dim", highlight=False, markup=False, soft_wrap=True)
    log = "" if outcome.log is None else f"; log: {outcome.log}"
    line = f"error: {whose}{outcome.error}{log}"
    messages.print(line, style="red", highlight=False, markup=False, soft_wrap=True)


def show_joined(joined: Joined, data: Console) -> None:
    """What a worker took part in, and who has the result."""
    line = (
        f"worker {joined.worker}: took part in {joined.steps} steps in {joined.seconds:.1f} s; the chief "
        f"({joined.workers[0]}) keeps the result"
    )
    data.print(line, highlight=False, markup=False, soft_wrap=True)


def show_sweep(sweep: Sweep, root: Path, data: Console, messages: Console) -> None:
    """A row for each combination (* marks the best by a metric), how they compare, and how it ended."""
    metrics = list(dict.fromkeys(metric for row in sweep.rows for metric in row.numbers))
    metrics, more = metrics[:MOST_COLUMNS], metrics[MOST_COLUMNS:]
    rows = [
        (
            row.experiment,
            *row.values.values(),
            row.outcome.status,
            *(_cell(row.numbers.get(metric), sweep.best(metric) == row.experiment) for metric in metrics),
        )
        for row in sweep.rows
    ]
    headings = ("experiment", *sweep.rows[0].values, "state", *metrics)
    data.print(table(headings, rows))
    if more:
        data.print(f"{len(more)} more numbers of each: --json", highlight=False, markup=False)
    for group in sweep.compared.groups if sweep.compared else ():
        unlike = [f"Otherwise measured: {what_differs(group)}"] if group.differs else []
        for line in [*unlike, *group.verdicts]:
            data.print(line, highlight=False, markup=False, soft_wrap=True)
    for note in sweep.compared.notes if sweep.compared else ():
        data.print(note, highlight=False, markup=False, soft_wrap=True)
    if sweep.not_compared:
        data.print(f"Not compared: {sweep.not_compared}", highlight=False, markup=False, soft_wrap=True)
    show_end_of_sweep(sweep, root, messages)


def show_end_of_sweep(sweep: Sweep, root: Path, messages: Console) -> None:
    """How many are done and where they are; then, last, what happened to each of the others."""
    done, first = [row for row in sweep.rows if row.outcome.exit_code == 0], sweep.rows[0].outcome
    line = (
        f"{first.task}: {len(done)} of {len(sweep.rows)} done in {first.seconds:.1f} s, see {root / 'runs'}"
    )
    messages.print(line, highlight=False, markup=False, soft_wrap=True)
    for row in sweep.rows:
        if row.outcome.exit_code:
            show_error(row.outcome, messages, f"{row.experiment}: ")
            if row.outcome.status == "interrupted":  # and so were all
                break


def show_network(summary: Summary, data: Console) -> None:
    """The layers of a network, one a row, their sums, and where the network comes from."""
    rows = [
        (row.scale, row.layer, _sizes(row.output), f"{row.parameters:,}", f"{row.multiply_adds:,}")
        for row in summary.layers
    ]
    total = ("", "in all", "", f"{summary.parameters:,}", f"{summary.multiply_adds:,}")
    data.print(table(("scale", "layer", "output", "parameters", "multiply-adds"), [*rows, total]))
    line = f"{summary.architecture} ({summary.source}) on images of {_sizes(summary.image_shape)}"
    data.print(line, highlight=False, markup=False, soft_wrap=True)


def show_evaluation(found: Mapping[str, Any], data: Console) -> None:
    """The metrics with their intervals and spreads, what was left out and why, and what they were measured with."""
    from ebm_tf.evaluation.measures import METRICS  # takes SciPy, which other commands need not wait for

    def say(line: str) -> None:
        data.print(line, highlight=False, markup=False, soft_wrap=True)

    protocol, intervals = found["protocol"], found["intervals"]
    confidence = f"{level(protocol['intervals']['confidence'])} interval"
    rows = []
    for metric in (name for name in METRICS if found.get(name) is not None):
        spread, interval = found.get(f"{metric}_spread"), intervals.get(metric)
        rows.append(
            (
                metric,
                number(found[metric]),
                "" if interval is None else f"{number(interval[0])} to {number(interval[1])}",
                number(spread) if spread else "",
            )
        )
    data.print(table(("metric", "value", confidence, "spread"), rows))
    extractor, reference, names = protocol["extractor"], protocol["reference"], protocol["names"]
    of_what = "images of unknown number" if reference["images"] is None else f"{reference['images']} images"
    say("")
    say(
        f"{protocol['images']} samples of {names['samples']} against {of_what} of {names['reference']}, in the "
        f"{extractor['features']} features of {extractor['name']} (sha256 {extractor['sha256'][:12]})."
    )
    for metric, reason in found["omitted"].items():
        say(f"no {metric}: {reason}")
    for warning in found["warnings"]:
        say(warning)


def show_comparison(comparison: Comparison, data: Console) -> None:
    """The settings that differ, then group by group the metrics (* marks the best) and the verdicts."""

    def say(line: str) -> None:
        data.print(line, highlight=False, markup=False, soft_wrap=True)

    if comparison.settings:
        known = next(iter(comparison.settings.values()))
        rows = [(name, *row) for name, row in _folded(comparison.settings)]
        data.print(table(("setting that differs", *known), rows))
    else:
        say("No setting that is known of two runs differs.")
    for position, group in enumerate(comparison.groups, start=1):
        say("")
        if len(comparison.groups) > 1:
            words = what_differs(group)
            say(f"Group {position}" + (f", measured otherwise than group 1: {words}" if words else ""))
        rows = [
            (metric, *(_cell(cells.get(label), group.best.get(metric) == label) for label in group.runs))
            for metric, cells in group.metrics.items()
        ]
        data.print(table(("metric", *group.runs), rows))
        for line in group.verdicts:
            say(line)
    if len(comparison.groups) > 1:
        say("Nothing is ranked across groups: their numbers were not measured alike.")
    for note in comparison.notes:
        say(note)


def _folded(settings: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """One row for each setting; a section that some runs lack and the others agree on is one row in all."""
    sections: dict[str, dict[str, Mapping[str, Any]]] = {}
    for name, row in settings.items():
        sections.setdefault(name.split(".")[0], {})[name] = row
    told = []
    for section, rows in sections.items():
        labels = list(next(iter(rows.values())))
        without = [label for label in labels if all(row[label] == ABSENT for row in rows.values())]
        others = [{str(row[label]) for label in labels if label not in without} for row in rows.values()]
        if without and len(rows) > 1 and all(len(values) == 1 for values in others):
            cells = [ABSENT if label in without else f"{len(rows)} settings" for label in labels]
            told.append((f"{section}.*", cells))
        else:
            told += [(name, [str(value) for value in row.values()]) for name, row in rows.items()]
    return told


def _cell(cell: Cell | None, best: bool) -> str:
    if cell is None:
        return ABSENT
    told = number(cell.value)
    if cell.interval is not None:
        told += f" [{number(cell.interval[0])}, {number(cell.interval[1])}]"
    elif cell.spread:  # 0 is that of a single subset, which says nothing of chance
        told += f" +- {number(cell.spread)}"
    return f"{told} *" if best else told


def _sizes(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _summary(artifact: Path, metrics: Mapping[str, Any]) -> str:
    """The stage's own words, else its metrics one a line."""
    written = artifact / "summary.txt"
    if written.is_file():
        return written.read_text(encoding="utf-8").rstrip("\n") + "\n"
    return "".join(f"{path}: {_short(value)}\n" for path, value in flat(metrics))


def _short(value: Any) -> str:
    if isinstance(value, list) and len(value) > LONGEST_LIST:
        return f"{len(value)} values"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _last_lines(log: Path) -> list[str]:
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
    except OSError:
        return []


def _escaped(cell: object) -> str:
    return str(cell).replace("[", r"\[")
