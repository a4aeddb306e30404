"""Judging images that came from elsewhere: folders, .npz files and data sets; no training, no config."""

from __future__ import annotations

import errno
import os
import re
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional, Union

from ebm_tf.config import DATASET_NAMES, Experiment
from ebm_tf.config_files import load_experiment
from ebm_tf.datasets.image_sets import KEYS, ArrayImages, ImageSet, open_images
from ebm_tf.demands import sized
from ebm_tf.errors import Busy, ConfigError, EBMError, MissingInput
from ebm_tf.evaluation.extractors.base import FeatureExtractor
from ebm_tf.evaluation.extractors.sources import demand_source, open_extractor
from ebm_tf.evaluation.feature_set import FeatureSet, extract
from ebm_tf.evaluation.judge import (
    Judgement,
    demand_possible,
    demand_same_features,
    judge,
    known_metric,
    protocol_of,
)
from ebm_tf.evaluation.published import Published
from ebm_tf.files import UNREADABLE
from pipelines.running.runner import Request, Watch, execute

WITHOUT_EFFECT = {"evaluation.baseline_count"}

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
        split: of a data set, train or test; None is train.
        settings: "section.key=value", of those that have an effect.
        root: where a data set is prepared.
    """

    samples: str
    reference: str
    extractor: str
    metrics: Optional[tuple[str, ...]]
    split: Optional[str]
    settings: Sequence[str]
    root: Path


def evaluate(wanted: Wanted, watch: Watch, report: Report) -> dict[str, Any]:
    """Every metric of the samples against the reference, as JSON: metrics, intervals, warnings, protocol.

    What can be refused is refused before any image is read, and any feature measured.

    Args:
        watch: of the run that prepares a data set.

    Raises:
        EBMError: of the kinds that a user can mend, in one line.
    """
    began = time.monotonic()
    for metric in wanted.metrics or ():
        known_metric(metric)
    experiment = _experiment(wanted)
    samples = open_images(Path(wanted.samples).expanduser())
    reference = _reference(wanted, watch)
    if not isinstance(reference, Published):
        _demand_one_shape(samples, reference)
    extractor = _open(wanted, experiment, samples)
    demand_possible(wanted.metrics or (), extractor.identity, reference)
    demand_same_features(extractor.identity, reference)
    settings = experiment.evaluation
    with _scratch() as folder:
        sets = _extract(extractor, samples, reference, folder, experiment.compute.extraction_batch, report)
        found = judge(*sets, settings, wanted.metrics, report)
        names = {"samples": wanted.samples, "reference": _name_of(wanted)}
        protocol = protocol_of(*sets, settings, names, found.measured)
    if not found.measured:
        raise ConfigError(f"nothing can be measured: {next(iter(found.omitted.values()))}")
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
    if out.exists():
        raise ConfigError(f"{out} is there already; give another name, or remove it")
    if not out.absolute().parent.is_dir():
        raise MissingInput(
            f"there is no folder {out.absolute().parent} for {out.name}; make it, or give another"
        )
    experiment = _experiment(wanted)
    images = _reference(wanted, watch)
    if isinstance(images, Published):
        raise ConfigError(f"{wanted.reference} holds mu and sigma already; give images")
    if len(images) < 2:
        raise ConfigError(
            f"{wanted.reference} holds 1 image, and a covariance takes 2 or more; give more images"
        )
    extractor = _open(wanted, experiment, images)
    with _scratch() as folder:

        def told(done: int, total: int) -> None:
            report(done, total, f"features of {images.name}")

        found = extract(extractor, images, folder / "set", experiment.compute.extraction_batch, told)
        published = Published.of(found.moments, found.identity, found.images_sha256)
    _write(published, out)
    return published


@contextmanager
def _scratch() -> Iterator[Path]:
    """A folder for features, gone afterwards; a full disk is told of with the place.

    Raises:
        MissingInput: there is no room.
    """
    with tempfile.TemporaryDirectory(prefix="ebm-features-") as folder:
        try:
            yield Path(folder)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise MissingInput(
                f"no room for features in {tempfile.gettempdir()}; make room, or set TMPDIR to another folder"
            ) from error


def _write(published: Published, out: Path) -> None:
    """The file, whole or not at all."""
    unfinished = out.with_name(f"{out.name}.unfinished")
    try:
        published.save(unfinished)
        unfinished.replace(out)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise MissingInput(f"cannot write {out}: {error.strerror}") from error


def parse_extractor(text: str) -> tuple[str, Optional[Path]]:
    """NAME or NAME:PATH."""
    name, _, path = text.partition(":")
    return name, Path(path).expanduser() if path else None


def _open(wanted: Wanted, experiment: Experiment, images: ImageSet) -> FeatureExtractor:
    name, path = parse_extractor(wanted.extractor)
    settings = experiment.extractor
    return open_extractor(name, path, images.shape[1:], settings.seed, settings.sha256)


def _experiment(wanted: Wanted) -> Experiment:
    """Defaults with the settings that have an effect here; the extractor's files are there."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's chatter is not for the user's terminal
    name, path = parse_extractor(wanted.extractor)
    demand_source(name, path)
    of_data_set = _names_data_set(wanted)
    if wanted.split is not None and not of_data_set and not _is_store(wanted.reference):
        raise ConfigError(
            f"--split {wanted.split}: {wanted.reference} is no data set, and has no splits; leave it out"
        )
    for setting in wanted.settings:
        key = setting.split("=", 1)[0]
        if not _has_effect(key, name, of_data_set):
            raise ConfigError(f"--set {setting}: {key} has no effect here; leave it out")
    return load_experiment("base", wanted.settings)


def _has_effect(key: str, extractor: str, of_data_set: bool) -> bool:
    if key.startswith("dataset."):
        return of_data_set and key != "dataset.name"
    if key == "extractor.seed":
        return extractor == "random-conv"
    known = key.startswith("evaluation.") and key not in WITHOUT_EFFECT
    return known or key in ("extractor.sha256", "compute.extraction_batch", "compute.data_dir")


def _names_data_set(wanted: Wanted) -> bool:
    return wanted.reference in DATASET_NAMES and not Path(wanted.reference).exists()


def _is_store(place: str) -> bool:
    return (Path(place).expanduser() / "manifest.json").is_file()


def _reference(wanted: Wanted, watch: Watch) -> Union[ImageSet, Published]:
    if _names_data_set(wanted):
        return _prepared(_prepare(wanted, watch), wanted.split)
    place = Path(wanted.reference).expanduser()
    if _is_store(wanted.reference):
        return _prepared(place, wanted.split)
    if not place.exists():
        raise MissingInput(
            f"{wanted.reference} is no folder, no file and no data set; data sets: {', '.join(DATASET_NAMES)}"
        )
    if place.suffix == ".npz" and _holds_statistics(place):
        try:
            return Published.load(place)
        except (OSError, ValueError) as error:
            raise MissingInput(str(error)) from error
    return open_images(place)


def _holds_statistics(place: Path) -> bool:
    """Whether it has mu and sigma, and no images."""
    try:
        with zipfile.ZipFile(place) as archive:
            held = set(archive.namelist())
    except UNREADABLE:
        return False  # what reads its images will say so
    return {"mu.npy", "sigma.npy"} <= held and not {f"{key}.npy" for key in KEYS} & held


def _prepare(wanted: Wanted, watch: Watch) -> Path:
    """The data set's store, prepared as PrepareDataset does it, once."""
    chosen = load_experiment("base", [*wanted.settings, f"dataset.name={wanted.reference}"])
    named = chosen.model_copy(update={"name": re.sub(r"[^A-Za-z0-9._-]", "-", f"data-{wanted.reference}")})
    outcome = execute(Request("PrepareDataset", named, wanted.root.absolute()), watch)
    if outcome.artifact is None:
        kinds = {kind.exit_code: kind for kind in (ConfigError, MissingInput, Busy)}
        raise kinds.get(outcome.exit_code, EBMError)(outcome.error)
    return outcome.artifact


def _prepared(folder: Path, split: Optional[str]) -> ImageSet:
    from ebm_tf.datasets.store import Store

    store = Store(folder)
    images = store.images("test" if split == "test" else "train")
    return ArrayImages(images, f"{store.manifest.dataset}, {split or 'train'} split")


def _name_of(wanted: Wanted) -> str:
    """Of the reference; of a data set with its split."""
    return (
        f"{wanted.reference}, {wanted.split or 'train'} split"
        if _names_data_set(wanted)
        else wanted.reference
    )


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
