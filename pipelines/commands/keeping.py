"""Commands for what was made: to give it away, to have it made anew, to be rid of what nobody needs."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from ebm_tf.errors import ConfigError, MissingInput
from pipelines.commands import options
from pipelines.commands.console import data, errors_as_lines, messages, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.keeping.cleaning import Item, Survey, Swept
    from pipelines.keeping.invalidation import Row

UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")
YES = typer.Option(False, "--yes", "-y", help="Do not ask.")
DRY_RUN = typer.Option(False, "--dry-run", help="Show what would go; ask nothing, and delete nothing.")
OUT_FOLDER = typer.Option(..., "--out", metavar="DIR", help="Folder to make; an empty one will do.")
INVALID = typer.Argument(
    ...,
    metavar="TASK",
    help=f"One of {options.TASK_NAMES}; or as status shows it: 'GenerateSamples (sngan)'.",
)
DOWNSTREAM = typer.Option(False, "--downstream", help="Also every task of the experiment that stands on it.")
UNFINISHED = typer.Option(
    False,
    "--unfinished",
    help="Also work that a run was cut short in and could go on from, and logs of failures.",
)
UNREFERENCED = typer.Option(
    False,
    "--unreferenced",
    help="Also artifacts that no link below runs/ leads to, and that nothing stands on to which one does. To keep "
    "all of an experiment, keep its folder of links. While a run is at work they stay, with a note, and the rest of "
    "what was chosen goes; where there is no rest, the exit code is 5.",
)
OLDER_THAN = typer.Option(
    None, "--older-than", metavar="DAYS", min=0, help="Only what was not written to for so many days."
)


def clean(
    unfinished: bool = UNFINISHED,
    unreferenced: bool = UNREFERENCED,
    older_than: Optional[float] = OLDER_THAN,
    root: Path = options.ROOT,
    yes: bool = YES,
    dry_run: bool = DRY_RUN,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Show what lies below the root that nobody needs, and how large it is; delete it when told so.

    Debris, what kills left behind, is always offered; the rest where an option asks for it. What is being built is
    left alone, and so are files that are not ours. With --json nothing is asked, and nothing deleted without --yes.
    """
    with errors_as_lines(None, as_json, debug):
        from pipelines.interruption import Interruption
        from pipelines.keeping.cleaning import CLASSES, Swept, survey, sweep, without_unreferenced

        if yes and dry_run:
            raise ConfigError("--yes deletes and --dry-run only looks; give one of them")
        place = root.absolute()
        found = survey(place, older_than)
        if unreferenced and found.untold is not None:
            raise MissingInput(found.untold)
        asked_for = dict(zip(CLASSES, (True, unfinished, unreferenced)))
        chosen = [item for item in found.items if asked_for[item.kind]]
        going, spared = without_unreferenced(chosen, found.building)
        swept, acts = Swept((), ()), bool(going) and (yes or not (as_json or dry_run))
        total = f"{_counted(going, 'item')}, {_size(sum(item.bytes for item in going))}"
        if not as_json:
            _show_survey(found, chosen, place)
            if spared:
                _say(f"{_counted(spared, 'unreferenced artifact')} kept: {spared[0][1]}")
        if acts and _agreed(f"delete {total}?", "clean", yes, "--yes to delete, or --dry-run to look"):
            with Interruption():
                swept = sweep(place, going, older_than)
        if as_json:
            print_json(_cleaned(found, going, Swept(swept.gone, (*spared, *swept.kept)), dry_run=not yes))
        elif acts:
            _show_swept(swept, place)
        elif going:
            _say(f"would delete {total}; nothing was deleted")


def invalidate(
    task: str = INVALID,
    downstream: bool = DOWNSTREAM,
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    root: Path = options.ROOT,
    yes: bool = YES,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Mark what an experiment has of a task for a rebuild, by the next run that needs it.

    The artifact stays until the new one is ready; unfinished work on it is thrown away. With --json nothing is asked,
    and nothing marked without --yes.
    """
    with errors_as_lines(task, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines.keeping import invalidation

        rows = invalidation.candidates(load_experiment(config, settings), root, task, downstream)
        waiting = [row for row in rows if row.state in (invalidation.BUILT, invalidation.IN_WORK)]
        marked: Sequence[Row] = []
        if not as_json:
            _show_candidates(rows)
        if waiting and (yes or not as_json):
            lost = sum(row.lost_bytes for row in waiting)
            cost = f", and throw {_size(lost)} of unfinished work away" if lost else ""
            question = f"mark {_counted(waiting, 'artifact')} for a rebuild{cost}?"
            if _agreed(question, "invalidate", yes, "--yes"):
                marked = invalidation.mark(rows)
        if as_json:
            print_json(_invalidated(task, rows, marked, dry_run=not yes))
        else:
            done = f"{_counted(marked, 'artifact')} marked; plan says what the next run does"
            _say(done if marked else "nothing was marked")


def export(
    config: str = options.CONFIG,
    settings: list[str] = options.SET,
    out: Path = OUT_FOLDER,
    root: Path = options.ROOT,
    workers: int = options.WORKERS,
    scheduler: str = options.SCHEDULER,
    wait: bool = options.WAIT,
    as_json: bool = options.JSON,
    debug: bool = options.DEBUG,
) -> None:
    """Write the trained model with its records into a folder that stands by itself, and can be given away.

    What it takes is run first (ExportModel). The folder holds saved_model/, which needs none of this code, keras/
    (the same in Keras's own layers), average.weights.h5 with model.json (for training.initial_model), signature.json,
    MODEL_CARD.md, metrics.json, log.txt, params.json (the sha256 of every file, and what the export itself was made
    with) and experiment.json (the settings of all that the model came from, training included). Where EvaluateFID
    was run for the same experiment, its numbers are entered into MODEL_CARD.md, which then is the one file whose
    sha256 is not that of params.json. The folder is there whole or not at all.

    sample and score use such a folder.
    """
    with errors_as_lines("ExportModel", as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines.commands.display import show_outcome
        from pipelines.commands.watching import Watcher
        from pipelines.interruption import Interruption
        from pipelines.judging.lineage import artifact_at
        from pipelines.keeping.exporting import SETTINGS, copy_out, demand_free, evaluation_of
        from pipelines.running.runner import Request, execute

        experiment, place = load_experiment(config, settings), out.absolute()
        demand_free(out, root)
        request = Request(
            "ExportModel",
            experiment,
            root.absolute(),
            workers=workers,
            scheduler=scheduler,
            debug=debug,
            wait=wait,
        )
        outcome = execute(request, lambda journal: Watcher(journal, messages))
        if outcome.artifact is not None:
            with Interruption():
                found = evaluation_of(experiment, root.absolute())
                copied = copy_out(artifact_at(outcome.artifact, "ExportModel"), place, found)
            if as_json:
                print_json({**asdict(outcome), "out": place, **asdict(copied)})
            else:
                if copied.gone:
                    _say(f"{SETTINGS} has no settings of {', '.join(copied.gone)}, which is gone")
                line = f"{out}: {_counted(range(copied.files), 'file')}, {_size(copied.bytes)}"
                data.print(line, highlight=False, markup=False, soft_wrap=True)
        elif as_json:
            print_json({**asdict(outcome), "out": None})
        else:
            show_outcome(outcome, data, messages)
    raise typer.Exit(outcome.exit_code)


def _agreed(question: str, command: str, yes: bool, choices: str) -> bool:
    """Whether to go on, as the user says.

    Args:
        choices: what can be given where there is nobody to ask.

    Raises:
        ConfigError: there is nobody to ask.
    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError(
            f"{command} asks before it acts, and there is no terminal to ask at; give {choices}"
        )
    try:
        print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
        return sys.stdin.readline().strip().lower() in ("y", "yes")
    except KeyboardInterrupt:
        print(file=sys.stderr)  # what is said of it stands on a line of its own
        raise


def _show_survey(found: Survey, chosen: Sequence[Item], root: Path) -> None:
    from pipelines.commands.display import table
    from pipelines.keeping.cleaning import CLASSES

    rows = [
        (item.kind, item.path.relative_to(root), _size(item.bytes), _date(item.changed), item.note)
        for item in found.items
    ]
    if rows:
        data.print(table(("class", "what", "size", "written", "why"), rows))
    for kind in CLASSES:
        if some := [item for item in found.items if item.kind == kind]:
            fate = "offered" if set(some) <= set(chosen) else f"kept; --{kind} offers them"
            _say(f"{kind}: {_counted(some, 'item')}, {_size(sum(item.bytes for item in some))} ({fate})")
    for line in found.building:
        _say(f"{line}; left alone")
    if found.untold is not None:
        _say(f"nothing counts as unreferenced: {found.untold}")
    if not chosen:
        _say("nothing to delete")


def _show_swept(swept: Swept, root: Path) -> None:
    for item, reason in swept.kept:
        _say(f"{item.path.relative_to(root)} was kept: {reason}")
    freed = sum(item.bytes for item in swept.gone)
    _say(
        f"{_counted(swept.gone, 'item')} deleted, {_size(freed)} freed"
        if swept.gone
        else "nothing was deleted"
    )


def _cleaned(found: Survey, chosen: Sequence[Item], swept: Swept, dry_run: bool) -> dict[str, Any]:
    items = [
        {
            "class": item.kind,
            "path": item.path,
            "bytes": item.bytes,
            "written": _date(item.changed),
            "why": item.note,
            "chosen": item in chosen,
            "deleted": item in swept.gone,
        }
        for item in found.items
    ]
    return {
        "status": "done",
        "exit_code": 0,
        "dry_run": dry_run,
        "items": items,
        "chosen_bytes": sum(item.bytes for item in chosen),
        "freed_bytes": sum(item.bytes for item in swept.gone),
        "kept": [{"path": item.path, "reason": reason} for item, reason in swept.kept],
        "building": found.building,
        "unreferenced_unknown": found.untold,
    }


def _show_candidates(rows: Sequence[Row]) -> None:
    from pipelines.commands.display import table

    cells = [(row.task, row.artifact.short, row.state, _size(row.lost_bytes), row.note) for row in rows]
    data.print(table(("task", "fingerprint", "state", "lost", "note"), cells))


def _invalidated(task: str, rows: Sequence[Row], marked: Sequence[Row], dry_run: bool) -> dict[str, Any]:
    tasks = [
        {
            "task": row.task,
            "fingerprint": row.artifact.fingerprint,
            "state": row.state,
            "lost_bytes": row.lost_bytes,
            "note": row.note,
            "marked": row in marked,
        }
        for row in rows
    ]
    return {"status": "done", "exit_code": 0, "task": task, "dry_run": dry_run, "tasks": tasks}


def _size(count: int) -> str:
    """Bytes for people."""
    value, power = float(count), 0
    while value >= 1024 and power < len(UNITS) - 1:
        value, power = value / 1024, power + 1
    return f"{value:.1f} {UNITS[power]}" if power else f"{count} {'byte' if count == 1 else 'bytes'}"


def _date(seconds: float) -> str:
    """Of a time since 1970, in UTC."""
    from datetime import datetime, timezone

    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="seconds")


def _counted(things: Sequence[Any], one: str) -> str:
    return f"{len(things)} {one}" if len(things) == 1 else f"{len(things)} {one}s"


def _say(line: str) -> None:
    messages.print(line, highlight=False, markup=False, soft_wrap=True)
