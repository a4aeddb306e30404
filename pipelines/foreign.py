"""Judging images that came from elsewhere: folders, .npz files and data sets; no training, no config."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np

from ebm_tf.config import DATASET_NAMES, Experiment
from ebm_tf.config_files import load_experiment
from ebm_tf.datasets.image_sets import ArrayImages, ImageSet, open_images
from ebm_tf.demands import sized
from ebm_tf.errors import ConfigError, EBMError, MissingInput
from ebm_tf.evaluation.extractors.base import FeatureExtractor
from ebm_tf.evaluation.extractors.sources import demand_source, open_extractor
from ebm_tf.evaluation.feature_set import FeatureSet, extract
from ebm_tf.evaluation.judge import Judgement, judge, protocol_of
from ebm_tf.evaluation.statistics import Published
from pipelines.runner import Request, Watch, execute

SECTIONS = ("evaluation", "dataset", "compute")
"""Sections whose settings mean something here."""

Report = Callable[[int, int, str], None]
"""Is told how much is done, of how much, and what is being done."""


@dataclass(frozen=True)
class Wanted:
    """What is to be judged, against what, and how.

    Attributes:
        samples, reference: a folder of images, an .npz or .npy of uint8 images; of the reference also an .npz of mu
            and sigma, or the name of a data set.
        extractor: NAME or NAME:PATH.
        metrics: their names; None for all that can be measured.
        split: of a data set: train or test.
        settings: "section.key=value", of `SECTIONS`.
        root: where a data set is prepared.
    """

    samples: str
    reference: str
    extractor: str
    metrics: Optional[tuple[str, ...]]
    split: str
    settings: Sequence[str]
    root: Path


def evaluate(wanted: Wanted, watch: Watch, report: Report) -> dict[str, Any]:
    """Every metric of the samples against the reference, as JSON: metrics, intervals, warnings, protocol.

    Args:
        watch: of the run that prepares a data set.

    Raises:
        EBMError: of the kinds that a user can mend, in one line.
    """
    began = time.monotonic()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's chatter is not for the user's terminal
    name, path = parse_extractor(wanted.extractor)
    experiment = _experiment(wanted.settings)
    demand_source(name, path)
    samples = open_images(Path(wanted.samples))
    reference = _reference(wanted, experiment, watch)
    if not isinstance(reference, Published):
        _demand_one_shape(samples, reference)
    extractor = open_extractor(name, path, samples.shape[1:], experiment.extractor.seed)
    settings = experiment.evaluation
    with tempfile.TemporaryDirectory(prefix="ebm-features-") as folder:
        sets = _extract(
            extractor, samples, reference, Path(folder), experiment.compute.extraction_batch, report
        )
        found = judge(*sets, settings, wanted.metrics, report)
        protocol = protocol_of(*sets, settings, {"samples": wanted.samples, "reference": _name_of(wanted)})
    return {
        **_as_json(found),
        "warnings": [*found.warnings, *extractor.notes, *samples.notes, *getattr(reference, "notes", ())],
        "protocol": protocol,
        "seconds": round(time.monotonic() - began, 2),
    }


def write_statistics(wanted: Wanted, out: Path, watch: Watch, report: Report) -> Published:
    """Mean and covariance of the reference's features, written to `out` as an .npz of mu and sigma.

    Raises:
        EBMError: as of `evaluate`.
    """
    name, path = parse_extractor(wanted.extractor)
    experiment = _experiment(wanted.settings)
    demand_source(name, path)
    if out.exists():
        raise ConfigError(f"{out} is there already; give another name, or remove it")
    images = _reference(wanted, experiment, watch)
    if isinstance(images, Published):
        raise ConfigError(f"{wanted.reference} holds mu and sigma already; give images")
    if len(images) < 2:
        raise ConfigError(
            f"{wanted.reference} holds 1 image, and a covariance takes 2 or more; give more images"
        )
    extractor = open_extractor(name, path, images.shape[1:], experiment.extractor.seed)
    with tempfile.TemporaryDirectory(prefix="ebm-features-") as folder:

        def told(done: int, total: int) -> None:
            report(done, total, f"features of {images.name}")

        found = extract(extractor, images, Path(folder) / "set", experiment.compute.extraction_batch, told)
        published = Published.of(found.moments, found.identity)
    unfinished = out.with_name(f"{out.name}.unfinished")
    published.save(unfinished)
    unfinished.replace(out)
    return published


def parse_extractor(text: str) -> tuple[str, Optional[Path]]:
    """NAME or NAME:PATH."""
    name, _, path = text.partition(":")
    return name, Path(path).expanduser() if path else None


def _experiment(settings: Sequence[str]) -> Experiment:
    for setting in settings:
        if setting.split(".", 1)[0] not in SECTIONS and not setting.startswith("extractor.seed="):
            raise ConfigError(
                f"--set {setting}: nothing is trained or sampled here; settings of {', '.join(SECTIONS)} and "
                "extractor.seed have an effect"
            )
    return load_experiment("base", settings)


def _reference(wanted: Wanted, experiment: Experiment, watch: Watch) -> Union[ImageSet, Published]:
    place = Path(wanted.reference).expanduser()
    if place.suffix == ".npz" and place.is_file() and _holds_statistics(place):
        try:
            return Published.load(place)
        except (OSError, ValueError) as error:
            raise MissingInput(str(error)) from error
    if (place / "manifest.json").is_file():
        return _prepared(place, wanted.split)
    if place.exists() or wanted.reference not in DATASET_NAMES:
        if not place.exists():
            raise MissingInput(
                f"{wanted.reference} is no folder, no file and no data set; data sets: {', '.join(DATASET_NAMES)}"
            )
        return open_images(place)
    return _prepared(_prepare(wanted, experiment, watch), wanted.split)


def _holds_statistics(place: Path) -> bool:
    try:
        with np.load(place, allow_pickle=False) as arrays:
            return {"mu", "sigma"} <= set(arrays.files)
    except (OSError, ValueError, EOFError):
        return False


def _prepare(wanted: Wanted, experiment: Experiment, watch: Watch) -> Path:
    """The data set's store, prepared as PrepareDataset does it, once."""
    chosen = load_experiment("base", [*wanted.settings, f"dataset.name={wanted.reference}"])
    outcome = execute(Request("PrepareDataset", chosen, wanted.root.absolute()), watch)
    if outcome.artifact is None:
        kinds = {kind.exit_code: kind for kind in (ConfigError, MissingInput)}
        raise kinds.get(outcome.exit_code, EBMError)(outcome.error)
    return outcome.artifact


def _prepared(folder: Path, split: str) -> ImageSet:
    from ebm_tf.datasets.store import Store

    store = Store(folder)
    return ArrayImages(
        store.images("test" if split == "test" else "train"), f"{store.manifest.dataset}, {split}"
    )


def _name_of(wanted: Wanted) -> str:
    """Of the reference; of a data set with its split."""
    of_data_set = wanted.reference in DATASET_NAMES and not Path(wanted.reference).exists()
    return f"{wanted.reference}, {wanted.split} split" if of_data_set else wanted.reference


def _demand_one_shape(samples: ImageSet, reference: ImageSet) -> None:
    if samples.shape[1:] != reference.shape[1:]:
        raise ConfigError(
            f"the samples are {sized(samples.shape[1:])}, the reference images {sized(reference.shape[1:])}; bring "
            "both to one size and colour"
        )


def _extract(
    extractor: FeatureExtractor,
    samples: ImageSet,
    reference: Union[ImageSet, Published],
    folder: Path,
    batch_size: int,
    report: Report,
) -> tuple[FeatureSet, Union[FeatureSet, Published]]:
    def told(title: str) -> Callable[[int, int], None]:
        return lambda done, total: report(done, total, title)

    of_samples = extract(extractor, samples, folder / "samples", batch_size, told("features of the samples"))
    if isinstance(reference, Published):
        return of_samples, reference
    title = told("features of the reference")
    return of_samples, extract(extractor, reference, folder / "reference", batch_size, title)


def _as_json(found: Judgement) -> dict[str, Any]:
    spreads = {f"{name}_spread": spread for name, spread in found.spreads.items()}
    return {**found.values, **spreads, "intervals": found.intervals, "omitted": found.omitted}
