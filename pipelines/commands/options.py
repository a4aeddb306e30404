"""Options that commands share."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

import typer


class Split(str, Enum):
    """Half of a data set."""

    train = "train"
    test = "test"


# As in pipelines/tasks, which takes too long to import for --help.
TASK_NAMES = (
    "PrepareDataset, ShowAugmentations, TrainFeatureExtractor, ImportFeatureExtractor, ReferenceStatistics, "
    "BaselineStatistics, TrainEBM, TrainSNGAN, DrawSamples, GenerateSamples, RetrieveNeighbours, "
    "MeasureShard, EvaluateFID, CompareModels, EvaluateOOD, ComposeModels, JudgeTraining, "
    "StudyNoiseInit, StudyTruncation, StudyCollapse, ExportModel, Report, ReproducePaper"
)
TASK = typer.Option(..., "--task", "-t", help=f"Task to run, with all that it needs: {TASK_NAMES}.")
CONFIG = typer.Option("digits", "--config", "-c", help="YAML file, or the name of a shipped config.")
SET = typer.Option(
    [], "--set", "-s", metavar="KEY=VALUE", help="Change a setting: langevin.steps=60. Repeatable."
)
ROOT = typer.Option(Path(), "--root", help="Folder that artifacts/ and runs/ are kept in.")
FORCE = typer.Option([], "--force", metavar="TASK", help="Rebuild this task even if it is there. Repeatable.")
DOWNSTREAM = typer.Option(False, "--downstream", help="With --force: rebuild also all that stands on it.")
GRID = typer.Option(
    [],
    "--grid",
    metavar="KEY=VALUE,VALUE",
    help="Run for each of these values: langevin.step_size=10,30,100. Repeatable: every combination is run.",
)
WAIT = typer.Option(
    True, "--wait/--no-wait", help="Wait for what another run builds, or say busy (exit code 5) instead."
)
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
    help="Two or more: an experiment's name or its folder below runs/, an artifact of EvaluateFID (its folder, a "
    "link, EvaluateFID/FINGERPRINT, of which the beginning is enough), or a JSON file that evaluate --json printed.",
)
ROW = typer.Option("fresh", "--row", metavar="ROW", help="Which samples of a run: fresh, buffer, real_test.")
WORKERS = typer.Option(1, "--workers", min=1, max=64, help="Tasks at the same time.")
ACCELERATORS = typer.Option(
    1,
    "--accelerators",
    min=1,
    max=64,
    help="Tasks that train or sample at the same time, of those workers; a scheduler of its own has its own number.",
)
SCHEDULER = typer.Option("local", "--scheduler", metavar="local|HOST:PORT", help="Luigi's scheduler.")
