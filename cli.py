"""The command line: data goes to stdout, everything else to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any, Optional

import typer
from rich.console import Console

from ebm_tf import __version__
from ebm_tf.errors import EBMError, MissingInput

# Luigi and whatever stands on it is imported inside the commands, so that --help answers at once.

PIPE_WIDTH = 250

app = typer.Typer(
    help="Energy-based models, from data to Fréchet distance.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Into a pipe or a file, tables are not folded to a terminal's width.
data = Console(width=None if sys.stdout.isatty() else PIPE_WIDTH)
messages = Console(stderr=True)


class Split(str, Enum):
    """Half of a data set."""

    train = "train"
    test = "test"


# As in pipelines/tasks.py, which takes too long to import for --help.
TASK_NAMES = (
    "PrepareDataset, ShowAugmentations, TrainFeatureExtractor, ImportFeatureExtractor, ReferenceStatistics, "
    "BaselineStatistics, TrainEBM, TrainSNGAN, GenerateSamples, RetrieveNeighbours, EvaluateFID, CompareModels, "
    "EvaluateOOD, ComposeModels, ExportModel, Report"
)
TASK = typer.Option(..., "--task", "-t", help=f"Task to run, with all that it needs: {TASK_NAMES}.")
PLANNED_TASK = typer.Option("Report", "--task", "-t", help=f"Task to plan: {TASK_NAMES}.")
CONFIG = typer.Option("digits", "--config", "-c", help="YAML file, or the name of a shipped config.")
SET = typer.Option(
    [], "--set", "-s", metavar="KEY=VALUE", help="Change a setting: langevin.steps=60. Repeatable."
)
ROOT = typer.Option(Path(), "--root", help="Folder that artifacts/ and runs/ are kept in.")
FORCE = typer.Option([], "--force", metavar="TASK", help="Rebuild this task even if it is there. Repeatable.")
JSON = typer.Option(False, "--json", help="Print one JSON object instead of tables.")
DEBUG = typer.Option(False, "--debug", help="Show tracebacks and Luigi's log.")
EXTRACTORS = "pixels, random-conv, inception, keras-inception, classifier, saved-model"
SAMPLES = typer.Option(
    ..., "--samples", metavar="FOLDER|NPZ", help="Images to judge: files of one size, or uint8."
)
REFERENCE = typer.Option(
    ...,
    "--reference",
    metavar="FOLDER|NPZ|DATASET",
    help="What they are compared with; an .npz may hold mu and sigma; a data set is prepared once below --root.",
)
IMAGES = typer.Option(..., "--images", metavar="FOLDER|NPZ|DATASET", help="Images to measure.")
OUT = typer.Option(..., "--out", metavar="NPZ", help="File to write.")
EXTRACTOR = typer.Option(
    "pixels",
    "--extractor",
    "-e",
    metavar="NAME[:PATH]",
    help=f"Features to compare in: {EXTRACTORS}. inception is the network of the FID: its graph is PATH, or what the "
    "variable EBM_INCEPTION names. classifier and saved-model need the PATH of their folder, keras-inception takes "
    "that of its weights. pixels and random-conv need nothing, and pixels say little.",
)
METRICS = typer.Option(
    "",
    "--metrics",
    "-m",
    metavar="NAME,NAME",
    help="Some of frechet_distance, frechet_distance_infinity, kid, inception_score, precision, recall, density, "
    "coverage, class_coverage; by default all that can be measured.",
)
SPLIT = typer.Option(
    None, "--split", help="Of a reference that is a data set: its train images (default) or its test images."
)
SET_EVALUATION = typer.Option(
    [],
    "--set",
    "-s",
    metavar="KEY=VALUE",
    help="Change a setting: evaluation.bootstrap=0, dataset.size=32. Repeatable.",
)
RUNS = typer.Argument(
    ...,
    metavar="RUN...",
    help="Two or more: an experiment's name or its folder below runs/, an artifact of EvaluateFID, or a JSON file "
    "that evaluate --json printed.",
)
ROW = typer.Option("fresh", "--row", metavar="ROW", help="Which samples of a run: fresh, buffer, real_test.")
WORKERS = typer.Option(1, "--workers", min=1, max=64, help="Tasks at the same time.")
SCHEDULER = typer.Option("local", "--scheduler", metavar="local|HOST:PORT", help="Luigi's scheduler.")


@app.command()
def run(
    task: str = TASK,
    config: str = CONFIG,
    settings: list[str] = SET,
    root: Path = ROOT,
    workers: int = WORKERS,
    scheduler: str = SCHEDULER,
    force: list[str] = FORCE,
    as_json: bool = JSON,
    debug: bool = DEBUG,
) -> None:
    """Run a task with all that it needs; what is there already is reused."""
    with errors_as_lines(task, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines.display import show_outcome
        from pipelines.runner import Request, execute
        from pipelines.watching import Watcher

        experiment = load_experiment(config, settings)
        request = Request(task, experiment, root.absolute(), force, workers, scheduler, debug)
        outcome = execute(request, lambda journal: Watcher(journal, messages))
        if as_json:
            print_json({**asdict(outcome), "artifact": outcome.artifact, "log": outcome.log})
        else:
            show_outcome(outcome, data, messages)
    raise typer.Exit(outcome.exit_code)


@app.command()
def plan(
    task: str = PLANNED_TASK,
    config: str = CONFIG,
    settings: list[str] = SET,
    root: Path = ROOT,
    force: list[str] = FORCE,
    as_json: bool = JSON,
    debug: bool = DEBUG,
) -> None:
    """Say what a run would reuse and what it would run, and why; nothing is written."""
    with errors_as_lines(task, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines import inspect
        from pipelines.display import table
        from pipelines.tasks import check, task_named

        root_task = task_named(task).of(load_experiment(config, settings), root)
        forced = [task_named(name).name() for name in force]
        check(root_task, forced)
        rows = inspect.plan(root_task, forced)
        if as_json:
            print_json(
                {"status": "done", "exit_code": 0, "task": task, "tasks": [row._asdict() for row in rows]}
            )
        else:
            cells = [(row.task, row.fingerprint[:16], row.state, row.reason) for row in rows]
            data.print(table(("task", "fingerprint", "state", "reason"), cells))


@app.command()
def status(
    config: str = CONFIG,
    settings: list[str] = SET,
    root: Path = ROOT,
    as_json: bool = JSON,
    debug: bool = DEBUG,
) -> None:
    """Show the artifacts of an experiment: whole, missing, damaged, stale or in work."""
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from pipelines import inspect
        from pipelines.display import table

        rows = inspect.status(load_experiment(config, settings), root)
        if as_json:
            print_json({"status": "done", "exit_code": 0, "tasks": [row._asdict() for row in rows]})
        else:
            cells = [
                (row.task, row.fingerprint[:16], row.state, f"{row.bytes / 1024:.0f}", row.finished, row.note)
                for row in rows
            ]
            data.print(table(("task", "fingerprint", "state", "KiB", "finished", "note"), cells))


@app.command()
def configs(
    name: str = typer.Argument("", help="Config to show whole."),
    as_json: bool = JSON,
    debug: bool = DEBUG,
) -> None:
    """List the shipped configs, or every setting of one."""
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.config import describe_settings
        from ebm_tf.config_files import available_configs, config_headline, load_experiment
        from pipelines.display import table

        if not name:
            found = {known: config_headline(path) for known, path in available_configs().items()}
            if as_json:
                print_json(found)
            else:
                data.print(table(("config", "what it is"), found.items()))
            return
        values = load_experiment(name).model_dump(mode="json")
        if as_json:
            print_json(values)
            return
        rows = [
            (setting.path, value_at(values, setting.path), setting.type, setting.description)
            for setting in describe_settings()
        ]
        data.print(table(("setting", "value", "allowed", "meaning"), rows))


@app.command()
def model(config: str = CONFIG, settings: list[str] = SET, as_json: bool = JSON, debug: bool = DEBUG) -> None:
    """Show the network of an experiment: layers, shapes, parameters and multiply-adds of one image's energy."""
    with errors_as_lines(None, as_json, debug):
        from ebm_tf.config_files import load_experiment
        from ebm_tf.datasets.registry import classes_of, image_shape_of
        from ebm_tf.models.summary import summarise
        from pipelines.display import show_network

        experiment = load_experiment(config, settings)
        classes = classes_of(experiment.dataset) if experiment.model.conditional else 0
        if classes is None:
            raise MissingInput(
                f"the classes of {experiment.dataset.name} are known from the files in dataset.path alone, and "
                f"{experiment.dataset.path} is not there; a conditional network grows with them"
            )
        summary = summarise(experiment.model, image_shape_of(experiment.dataset), classes)
        if as_json:
            print_json(asdict(summary))
        else:
            show_network(summary, data)


@app.command()
def evaluate(
    samples: str = SAMPLES,
    reference: str = REFERENCE,
    extractor: str = EXTRACTOR,
    metrics: str = METRICS,
    split: Optional[Split] = SPLIT,
    settings: list[str] = SET_EVALUATION,
    root: Path = ROOT,
    as_json: bool = JSON,
    debug: bool = DEBUG,
) -> None:
    """Measure images from anywhere against others: Fréchet distance, KID, precision, recall and more.

    Nothing is trained and no config is needed:

    python cli.py evaluate --samples FOLDER --reference cifar10 --split test --extractor inception:GRAPH.tgz
    """
    with errors_as_lines(None, as_json, debug):
        from pipelines import foreign
        from pipelines.display import show_evaluation
        from pipelines.interruption import Interruption
        from pipelines.watching import Watcher, shown

        names = tuple(name.strip() for name in metrics.split(",") if name.strip()) or None
        wanted = foreign.Wanted(samples, reference, extractor, names, split and split.value, settings, root)
        with Interruption(), shown("evaluate", messages) as tell:
            found = foreign.evaluate(wanted, lambda journal: Watcher(journal, messages), tell)
        if as_json:
            print_json({"status": "done", "exit_code": 0, **found})
        else:
            show_evaluation(found, data)


@app.command()
def statistics(
    images: str = IMAGES,
    out: Path = OUT,
    extractor: str = EXTRACTOR,
    split: Optional[Split] = SPLIT,
    settings: list[str] = SET_EVALUATION,
    root: Path = ROOT,
    as_json: bool = JSON,
    debug: bool = DEBUG,
) -> None:
    """Write mean and covariance of images' features as the .npz of mu and sigma that FID programs exchange.

    Such a file is a --reference of evaluate, which then need not measure the same images each time.
    """
    with errors_as_lines(None, as_json, debug):
        from pipelines import foreign
        from pipelines.interruption import Interruption
        from pipelines.watching import Watcher, shown

        wanted = foreign.Wanted(images, images, extractor, None, split and split.value, settings, root)
        with Interruption(), shown("statistics", messages) as tell:
            made = foreign.write_statistics(wanted, out, lambda journal: Watcher(journal, messages), tell)
        told = {"file": out, "images": made.count, "extractor": made.identity and made.identity.as_json()}
        if as_json:
            print_json({"status": "done", "exit_code": 0, **told})
        else:
            data.print(f"{out}: mu and sigma of {made.count} images", highlight=False, soft_wrap=True)


@app.command()
def compare(
    runs: list[str] = RUNS,
    row: str = ROW,
    root: Path = ROOT,
    as_json: bool = JSON,
    debug: bool = DEBUG,
) -> None:
    """Set judged runs side by side: the settings that differ, and the metrics of those that were measured alike."""
    with errors_as_lines(None, as_json, debug):
        from pipelines import comparison
        from pipelines.display import show_comparison
        from pipelines.judged import load_runs

        compared = comparison.compare(load_runs(runs, root, row))
        if as_json:
            print_json({"status": "done", "exit_code": 0, "row": row, **comparison.as_json(compared)})
        else:
            show_comparison(compared, data)


@app.command()
def doctor(root: Path = ROOT, as_json: bool = JSON, debug: bool = DEBUG) -> None:
    """Look at this machine: versions, devices, disk, data sets."""
    with errors_as_lines(None, as_json, debug):
        from pipelines.display import table
        from pipelines.doctor import examine

        found = examine(root)
        if as_json:
            print_json(found)
        else:
            versions = [(f"{name} version", version) for name, version in found.pop("versions").items()]
            data.print(table(("what", "found"), [*versions, *found.items()]))


def print_version(wanted: bool) -> None:
    """Answer --version."""
    if wanted:
        data.print(__version__, highlight=False)
        raise typer.Exit()


@app.callback()
def options(
    version: bool = typer.Option(
        False, "--version", callback=print_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """Energy-based models, from data to Fréchet distance."""


@contextmanager
def errors_as_lines(task: str | None, as_json: bool, debug: bool) -> Iterator[None]:
    """Turn an error that a user can mend into one line (and one JSON object) and its exit code."""
    try:
        yield
    except EBMError as error:
        if debug:
            raise
        report_error(task, error.exit_code, str(error), as_json)
        raise typer.Exit(error.exit_code) from error
    except OSError as error:
        if debug:
            raise
        report_error(task, 4, str(error), as_json)
        raise typer.Exit(4) from error
    except KeyboardInterrupt as interrupt:
        code = 128 + getattr(interrupt, "signal_number", 2)
        report_error(task, code, "interrupted", as_json)
        raise typer.Exit(code) from interrupt


def report_error(task: str | None, exit_code: int, error: str, as_json: bool) -> None:
    """One line on stderr, and with --json the object of a run that did not take place."""
    messages.print(f"error: {error}", style="red", highlight=False, markup=False, soft_wrap=True)
    if as_json:
        status = {2: "bad_config", 3: "failed", 4: "missing_input", 5: "busy"}.get(exit_code, "interrupted")
        print_json({
            "status": status, "exit_code": exit_code, "task": task, "artifact": None, "metrics": {},
            "seconds": 0.0, "tasks": [], "error": error,
        })  # fmt: skip


def print_json(value: Any) -> None:
    """One object on stdout; paths become text."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def value_at(values: Any, path: str) -> Any:
    """The value at "section.key"."""
    for key in path.split("."):
        values = values[key]
    return values


def main() -> None:
    """Entry point of the console script."""
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    try:
        code = app(prog_name="ebm", standalone_mode=False)
    except Exception as error:
        complaint = getattr(error, "format_message", None)  # what Typer says of a command line it cannot take
        if complaint is None:
            raise
        report_error(None, 2, f"{complaint().rstrip('.')}; see --help", "--json" in sys.argv)
        code = 2
    sys.exit(code)


if __name__ == "__main__":
    main()
