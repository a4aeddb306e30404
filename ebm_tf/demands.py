"""What settings and data must have in common for a task to make sense, checked alike before a run and in its stage.

No TensorFlow here: the pipeline asks before anything has run.
"""

from __future__ import annotations

from collections.abc import Sequence

from ebm_tf.errors import ConfigError

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
            f"{classes or 'no labels'}. Run a task without it (TrainEBM, GenerateSamples, RetrieveNeighbours, "
            "ExportModel), or give images with classes"
        )


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
