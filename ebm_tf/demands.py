"""What settings and data must have in common for a task to make sense, checked alike before a run and in its stage.

No TensorFlow here: the pipeline asks before anything has run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ebm_tf.config import Langevin, Sampling, chain_of_samples
from ebm_tf.errors import ConfigError, MissingInput

Shape = Sequence[int]
"""Height, width, channels."""


def classes_to_tell_apart(dataset: str, classes: int) -> None:
    """Refuse to train a feature extractor, which is a classifier, on fewer than two classes.

    Raises:
        ConfigError: there are fewer.
    """
    if classes < 2:
        raise ConfigError(
            f"the feature extractor is a classifier and needs two classes or more; {dataset} has "
            f"{classes or 'no labels'}. Set extractor.name to another (inception, random-conv, pixels), or give "
            "images with classes"
        )


def images_to_compare(counts: Mapping[str, int]) -> None:
    """Refuse splits too small for a distance.

    Args:
        counts: images of each split.

    Raises:
        ConfigError: one of them has fewer than two.
    """
    for split, count in counts.items():
        if count < 2:
            raise ConfigError(
                f"the {split} split has {count} image, and distances take 2 or more; give more images, or a larger "
                "dataset.test_share"
            )


def folder_there(path: str | Path | None, holds: str = "your files") -> None:
    """Refuse a data set whose folder is not there.

    Args:
        path: None for data sets without one. holds: what the folder is to hold.

    Raises:
        MissingInput: dataset.path is no folder.
    """
    if path is not None and not Path(path).is_dir():
        raise MissingInput(f"dataset.path is {path}, which is no folder; give the one that holds {holds}")


def wanted_labels(labels: tuple[int, ...], classes: int) -> tuple[int, ...]:
    """The classes that samples are drawn of: those given, or all; of an unconditional model (classes 0) none.

    Raises:
        ConfigError: a label that the model does not know.
    """
    if not classes:
        if labels:
            raise ConfigError(
                f"sampling.labels is {list(labels)}, but the model knows no labels; leave it empty, or train with "
                "model.conditional=true"
            )
        return ()
    wrong = [label for label in labels if not 0 <= label < classes]
    if wrong:
        raise ConfigError(
            f"sampling.labels has {wrong[0]}, but the data set's classes are 0 to {classes - 1}; give some of these"
        )
    return tuple(labels or range(classes))


def chains_can_be_drawn(sampling: Sampling, langevin: Langevin, augmented: bool) -> None:
    """Refuse what the sampler cannot do.

    Args:
        augmented: whether the experiment has an augmentation.

    Raises:
        ConfigError: it was asked for.
    """
    every, mala = sampling.augment_every, sampling.sampler == "mala"
    if mala and every is not None:
        raise ConfigError(
            f"sampling.augment_every is {every}, but mala draws from exp(-E / temperature), and augmented chains do "
            "not; leave it out, or set sampling.sampler=langevin"
        )
    if every is not None and not augmented:
        raise ConfigError(
            f"sampling.augment_every is {every}, but no augmentation is on; set augmentation.crop_area, flip or "
            "colour_strength, or leave it out"
        )
    temperature_fits(sampling, langevin)


def temperature_fits(sampling: Sampling, langevin: Langevin) -> None:
    """Refuse MALA without a temperature, and a temperature without MALA.

    Raises:
        ConfigError: it is asked for.
    """
    mala = sampling.sampler == "mala"
    if mala and sampling.temperature is None and chain_of_samples(sampling, langevin)[1] == 0:
        raise ConfigError(
            "sampling.sampler is mala, but with a noise_scale of 0 its temperature is 0; give "
            "sampling.temperature or sampling.noise_scale above 0"
        )
    if not mala and sampling.temperature is not None:
        raise ConfigError(
            f"sampling.temperature is {sampling.temperature:g}, but the langevin sampler has none; set "
            "sampling.sampler=mala, or leave it out"
        )


def members_to_compose(count: int, operation: str) -> None:
    """Refuse a composition of fewer than two energies.

    Raises:
        ConfigError: there are fewer.
    """
    if count < 2:
        raise ConfigError(
            f"compose.members has {count} of the at least 2 energies that {operation} puts together; "
            "give members such as [{label: 0}, {label: 1}]"
        )


def member_fits(number: int, label: int | None, classes: int, shape: Shape, own: Shape) -> None:
    """Refuse a member of a composition whose label or images do not fit.

    Args:
        number: of the member, from 1. label: that it was given. classes: that its model knows, 0 if unconditional.
        shape: of its images. own: of the experiment's.

    Raises:
        ConfigError: they do not.
    """
    who = f"member {number} of compose.members"
    if label is not None and not classes:
        raise ConfigError(
            f"{who} has label {label}, but its model is not conditional; leave the label out, or train it with "
            "model.conditional=true"
        )
    if classes and (label is None or label >= classes):
        received = "no label" if label is None else f"label {label}"
        raise ConfigError(
            f"{who} has {received}, but its model is conditional; give a label from 0 to {classes - 1}"
        )
    if tuple(shape) != tuple(own):
        raise ConfigError(
            f"{who} is a model of images of {sized(shape)}, this experiment's are {sized(own)}; give members of one "
            "size and colour"
        )


def images_of_one_shape(dataset: str, shape: Shape, own: Shape) -> None:
    """Refuse another data set of `ood.datasets` whose images are not of the model's shape.

    Raises:
        ConfigError: they are not.
    """
    if tuple(shape) != tuple(own):
        raise ConfigError(
            f"ood.datasets has {dataset} with images of {sized(shape)}, but the model is of {sized(own)}; give that "
            f"entry size={own[0]} and colour={'grey' if own[2] == 1 else 'rgb'}"
        )


def sized(shape: Shape) -> str:
    """Such as 32x32x3."""
    return "x".join(map(str, shape))
