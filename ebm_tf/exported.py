"""An exported folder in use: energies, scores and samples by its SavedModel; and its weights, to train on from.

Example:
    >>> model = Exported(Path("my-model"))
    >>> images = model.sample(16, seed=1)
    >>> energies = model.energies(images)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import numpy as np
import numpy.typing as npt
import tensorflow as tf
from google.protobuf.message import DecodeError

from ebm_tf.config import Model
from ebm_tf.eager import int32
from ebm_tf.errors import ConfigError, EBMError, MissingInput, as_one_line
from ebm_tf.exported_demands import Given, Labels, images_fit, labels_to_draw, labels_to_score, number_within
from ebm_tf.initial import WEIGHTS, demand_same_network, initial_model
from ebm_tf.models.energy import EnergyModel
from ebm_tf.sampling import Batch, broken_images
from ebm_tf.signature import SAVED_MODEL, Signature, read_signature

Pixels = npt.NDArray[np.float32]
Numbers = npt.NDArray[np.float32]
Report = Callable[[int, int, str], None]
"""Is told how much is done, of how much, and what is being done."""


def _untold(done: int, total: int, message: str) -> None:
    """Nobody is told."""


class Exported:
    """An exported model, loaded; nothing of the experiment that it came from is needed.

    Images are float32 [n, H, W, C] with pixels in [0, 1]. `labels` are those of a conditional model: one for all
    images, or one for each. Both are cut into batches of the size that the export names, or of `batch_size`.

    Attributes:
        signature: what it says of itself.

    Raises:
        MissingInput: the folder is no export, of a newer format, or damaged.
    """

    def __init__(self, folder: Path, batch_size: Optional[int] = None) -> None:
        self.folder, self.signature = folder, read_signature(folder)
        default = self.signature.chain.batch_size
        self.batch_size = number_within("batch_size", default if batch_size is None else batch_size, 1)
        self.signature.verify(folder, SAVED_MODEL)
        self._module = _loaded(folder / SAVED_MODEL, self.signature)

    def energies(self, images: Pixels, labels: Given = ()) -> Numbers:
        """Energies [n]: the lower, the likelier; known up to a constant that is the same for all images.

        Raises:
            ConfigError: images of another shape or range, or labels that will not do.
            EBMError: it cannot be computed.
        """
        return self._by_image("energy", images, labels)

    def scores(self, images: Pixels, labels: Given = ()) -> Pixels:
        """-dE/dx, of the shape of the images; errors as of `energies`."""
        return self._by_image("score", images, labels)

    def sample(
        self,
        count: int,
        seed: int = 0,
        steps: Optional[int] = None,
        labels: Given = (),
        report: Report = _untold,
    ) -> Pixels:
        """Ends of chains from noise, [count, H, W, C]; image i of a seed is the same in any number of them.

        Args:
            count: at least 1. seed: 0 to 2^31 - 1. steps: by default as many as the export names.
            labels: the classes that are drawn, in turn; by default all of them.
            report: called after each batch.

        Raises:
            ConfigError: a number out of its range, or labels that will not do.
            EBMError: a chain diverged, or it cannot be computed.
        """
        number_within("count", count, 1)
        number_within("seed", seed, 0)
        length = number_within("steps", self.signature.chain.steps if steps is None else steps, 1)
        chosen = labels_to_draw(self.signature, labels, count)
        return np.concatenate([batch.images for batch in self.stream(count, seed, length, chosen, report)])

    def stream(
        self, count: int, seed: int, steps: int, labels: Labels, report: Report = _untold
    ) -> Iterator[Batch]:
        """The same batch by batch, for arguments that have been checked, and a label for each image.

        Of MALA with the share of proposals that each chain accepted.
        """
        chains = f"chains of {steps} steps"
        report(0, count, chains)
        for first in range(0, count, self.batch_size):
            size = min(self.batch_size, count - first)
            what = int32(size) if labels is None else tf.constant(labels[first : first + size])
            with _in_one_line("draw samples"):
                drawn = self._module.sample_range(int32(first), what, int32(steps), int32(seed))
            images = drawn["images"].numpy()
            if broken := broken_images(images):
                raise EBMError(
                    f"{broken} of {size} samples have pixels that are not numbers: their chains diverged at the step "
                    f"size of this model, {self.signature.chain.step_size:g}; get an export with a smaller one"
                )
            report(first + size, count, chains)
            accepted = drawn.get("acceptance")
            yield Batch(first, images, None if accepted is None else accepted.numpy())

    def _by_image(self, name: str, images: Pixels, labels: Given) -> Any:
        images = np.asarray(images, np.float32)
        if images.ndim != 4 or not len(images):
            raise ConfigError(f"images has the shape {list(images.shape)}; give [n, height, width, channels]")
        images_fit(self.signature, images.shape[1:], "images", "bring them to that")
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise ConfigError(f"images has pixels from {low:g} to {high:g}; give 0 to 1 (uint8 images / 255)")
        chosen = labels_to_score(self.signature, labels, len(images))
        parts = []
        for first in range(0, len(images), self.batch_size):
            rows = slice(first, first + self.batch_size)
            given = {} if chosen is None else {"labels": tf.constant(chosen[rows])}
            with _in_one_line(f"compute the {name}"):
                found = self._module.signatures[name](images=tf.constant(images[rows]), **given)
            parts.append(found[name].numpy())
        return np.concatenate(parts)


def load_weights_into(
    model: EnergyModel, folder: Path, settings: Model, sha256: Optional[str] = None
) -> None:
    """Give a network the averaged weights of an exported folder, or of a finished artifact of TrainEBM.

    Args:
        settings: that the network was built with.
        sha256: what that of the weights' file has to be; by default what the folder's own record says.

    Raises:
        ConfigError: the weights are another network's.
        MissingInput: the folder is neither of the two, or damaged, or its weights are not those of `sha256`.
    """
    found = initial_model(folder)
    demand_same_network(found, settings, model.image_shape, model.classes)
    found.verify(sha256)
    try:
        model.load_weights(found.folder / WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        raise MissingInput(
            f"{found.folder / WEIGHTS} does not hold the weights of its own network ({str(error).splitlines()[0]}); "
            "get the folder anew, or make it again"
        ) from error


@contextmanager
def _in_one_line(doing: str) -> Iterator[None]:
    try:
        yield
    except tf.errors.OpError as error:
        raise EBMError(f"the exported model cannot {doing}: {as_one_line(error)}") from error


def _loaded(folder: Path, signature: Signature) -> Any:
    try:
        module = tf.saved_model.load(str(folder))
    except (OSError, ValueError, KeyError, AttributeError, tf.errors.OpError, DecodeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MissingInput(
            f"cannot load the SavedModel {folder}: {reason}; export the model again"
        ) from error
    missing = {*signature.signatures, "sample_range"} - {*module.signatures, *dir(module)}
    if missing:
        raise MissingInput(
            f"the SavedModel {folder} lacks {', '.join(sorted(missing))}; export the model again"
        )
    return module
