"""Export: a trained energy model as a SavedModel that needs nothing of this project.

Signatures (images are float32 [B, H, W, C] with pixels in [0, 1]; B is free):
    energy(images) -> energy [B]
    score(images) -> score, -dE/dx, of the shape of the images
    sample(count, steps, seed) -> images [count, H, W, C], chains from uniform noise
    refine(images, steps, seed) -> images, chains from the given ones
Those of a conditional model take labels, int32 [B], from 0 to its number of classes less 1, and refuse others (in
the model itself, -1 gives the part that all classes share; training fits it to no data, so it is not exported):
    energy(images, labels), score(images, labels), refine(images, steps, seed, labels)
    sample(labels, steps, seed) -> images [B, H, W, C], one for each label

Chains move as the config says: by Langevin steps, or by MALA, which also gives `acceptance` [B], the share of its
proposals that each chain accepted. Step size, noise scale or temperature, annealing and gradient clip are built in.
Image i of a seed is the same however many are drawn with it, and the same as image i of GenerateSamples' fresh chains
with that seed and as many steps (and no augmentation in between), up to rounding; but a chain of MALA goes another
way where rounding decides over a proposal.

What is loaded also has `sample_range(first, count or labels, steps, seed)`, which is no signature: the images of a
seed from number `first` on, for those who draw more than is good to hold at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ebm_tf.errors import EBMError
from ebm_tf.langevin import Energy, energy_and_gradient, energy_gradient
from ebm_tf.models.energy import EnergyModel
from ebm_tf.sampling import Kind, Method, advance, begin, images_of, uniform_noise
from ebm_tf.signature import Function, Tensor

SIGNATURES = ("energy", "score", "sample", "refine")

TOLERANCE = {"float32": 1e-5, "bfloat16": 5e-2}
"""Largest relative difference between an export and its model, by what convolutions multiply.

A saved graph is fused otherwise than single operations are, and so rounds to bfloat16, which has 8 bits, elsewhere.
"""
PLAIN_TOLERANCE = 1e-4
"""The same of a network of other layers, which adds up in another order."""

# Runs in a bare Python: it refuses to import this project, and says what the SavedModel gave.
CHECK_PROGRAM = """
import importlib.abc, json, sys

class Refuse(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("ebm_tf", "pipelines", "cli"):
            raise ImportError("this check runs without the project")

sys.meta_path.insert(0, Refuse())
import numpy as np
import tensorflow as tf

folder, question, answer = sys.argv[1:]
with np.load(question, allow_pickle=False) as file:
    of_each = {name: tf.constant(file[name]) for name in file.files}  # images, and labels of a conditional model
first = {name: values[:1] for name, values in of_each.items()}
chain = {"steps": tf.constant(5), "seed": tf.constant(7)}
drawn = {"labels": of_each["labels"][:3]} if "labels" in of_each else {"count": tf.constant(3)}
functions = tf.saved_model.load(folder).signatures
np.savez(
    answer,
    energy=functions["energy"](**of_each)["energy"],
    one=functions["energy"](**first)["energy"],
    score=functions["score"](**of_each)["score"],
    sample=functions["sample"](**drawn, **chain)["images"],
    again=functions["sample"](**drawn, **chain)["images"],
    refine=functions["refine"](**of_each, **chain)["images"],
)
"""


class ExportedModel(tf.Module):
    """The functions that are exported, around a model; arguments as of `export`.

    What they cannot take they refuse with words: no images, images or labels of another shape, labels that are not
    known or not one for each image, a number of steps below 0.
    """

    def __init__(self, model: EnergyModel, method: Method) -> None:
        super().__init__()
        self.model, self.method = model, method
        images = tf.TensorSpec([None, *model.image_shape], tf.float32, name="images")
        first, count, steps, seed = (
            tf.TensorSpec([], tf.int32, name=name) for name in ("first", "count", "steps", "seed")
        )
        labels = tf.TensorSpec([None], tf.int32, name="labels")
        given = [labels] if model.classes else []
        self.energy = _signed(self._energy, images, *given)
        self.score = _signed(self._score, images, *given)
        self.refine = _signed(self._refine, images, steps, seed, *given)
        if model.classes:
            self.sample_range = _signed(self._range_of_labels, first, labels, steps, seed)
            self.sample = _signed(self._sample_labels, labels, steps, seed)
        else:
            self.sample_range = _signed(self._range, first, count, steps, seed)
            self.sample = _signed(self._sample, count, steps, seed)

    def _energy(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return {"energy": self._energy_for(labels)(self._checked(images, labels))}

    def _score(self, images: tf.Tensor, labels: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return {"score": -energy_gradient(self._energy_for(labels), self._checked(images, labels))}

    def _sample(self, count: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.sample_range(0, count, steps, seed)

    def _sample_labels(self, labels: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        return self.sample_range(0, labels, steps, seed)

    def _range(
        self, first: tf.Tensor, count: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        start = uniform_noise(first, count, self.model.image_shape, seed)
        return self._chains(start, steps, seed, None, Kind.FRESH, first)

    def _range_of_labels(
        self, first: tf.Tensor, labels: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        start = uniform_noise(first, tf.shape(labels)[0], self.model.image_shape, seed)
        return self._chains(start, steps, seed, labels, Kind.FRESH, first)

    def _refine(
        self, images: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor, labels: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        return self._chains(images, steps, seed, labels, Kind.REFINED, 0)

    def _chains(
        self,
        start: tf.Tensor,
        steps: tf.Tensor,
        seed: tf.Tensor,
        labels: tf.Tensor | None,
        kind: Kind,
        first: Any,
    ) -> dict[str, tf.Tensor]:
        _demand(steps >= 0, "steps must be 0 or more; received:", steps)
        start, energy = self._checked(start, labels), self._energy_for(labels)
        rows = (first, tf.shape(start)[0])
        method = self.method._replace(chain=self.method.chain._replace(steps=steps))
        with self.model.kernels_computed_once():
            end = advance(energy, begin(energy, start, method), rows, method, seed, kind)
        told = {"images": images_of(end, method)}
        if method.temperature is not None:
            told["acceptance"] = tf.cast(end.accepted / tf.maximum(steps, 1), tf.float32)
        return told

    def _energy_for(self, labels: tf.Tensor | None) -> Energy:
        return self.model if labels is None else lambda images: self.model(images, labels)

    def _checked(self, images: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """The images, once it is known that there are some, and labels for them that the model knows."""
        count = tf.shape(images)[0]
        demands = [_demand(count > 0, "give one image or more; received:", count)]
        if labels is not None:
            known, given = (labels >= 0) & (labels < self.model.classes), tf.shape(labels)[0]
            allowed = f"labels must be 0 to {self.model.classes - 1}; received:"
            demands += [
                _demand(tf.reduce_all(known), allowed, labels),
                _demand(given == count, "give a label for each image; received:", given, count),
            ]
        with tf.control_dependencies(demands):
            return tf.identity(images)


def _signed(body: Callable[..., Any], *inputs: tf.TensorSpec) -> Any:
    """A function of these inputs. A graph alone looks at no shape, and gives energies of images of others, too."""

    @wraps(body)  # for the names of its arguments
    def signed(*given: tf.Tensor) -> Any:
        return body(*(tf.ensure_shape(value, spec.shape) for value, spec in zip(given, inputs)))

    return tf.function(signed, input_signature=inputs)


def _demand(true: tf.Tensor, otherwise: str, *received: tf.Tensor) -> Any:
    """What ends a graph with these words unless a scalar is true."""
    return tf.debugging.Assert(true, [otherwise, *received])


def export(model: EnergyModel, method: Method, folder: Path) -> dict[str, Function]:
    """Write the SavedModel into `folder`.

    Args:
        method: how its chains move, without rounds of augmentation; the signatures take the number of steps.

    Returns:
        What each signature takes and gives.
    """
    module = ExportedModel(model, method)
    functions = {name: getattr(module, name) for name in SIGNATURES}
    tf.saved_model.save(module, str(folder), signatures=functions)
    return {name: _described(function) for name, function in functions.items()}


def check_export(
    folder: Path,
    model: EnergyModel,
    images: np.ndarray,
    labels: np.ndarray | None = None,
    precision: str = "float32",
) -> dict[str, float]:
    """Load the export in a process that cannot import this project, and compare it with the model.

    Args:
        images: float32 [n, H, W, C] in [0, 1] to compare on, n >= 3.
        labels: int32 [n], for a conditional model.
        precision: that the model multiplies in, which says how large a difference may be.

    Returns:
        The largest relative differences of energies and scores.

    Raises:
        EBMError: it cannot be loaded there, or its answers differ.
    """
    with tempfile.TemporaryDirectory() as scratch:
        question, answer = Path(scratch) / "question.npz", Path(scratch) / "answer.npz"
        np.savez(question, images=images, **({} if labels is None else {"labels": labels}))
        command = [sys.executable, "-I", "-c", CHECK_PROGRAM, *map(str, (folder.resolve(), question, answer))]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EBMError(f"the export does not load without this project: {last}")
        with np.load(answer, allow_pickle=False) as file:
            answers = dict(file)
    energies, gradient = energy_and_gradient(lambda x: model(x, labels), tf.constant(images))
    differences = {
        "energy": _relative(answers["energy"], energies.numpy()),
        "energy_of_one": _relative(answers["one"], energies[:1].numpy()),
        "score": _relative(answers["score"], -gradient.numpy()),
        "repeated_sample": float(np.abs(answers["sample"] - answers["again"]).max()),
    }
    wrong = [name for name, difference in differences.items() if not difference <= TOLERANCE[precision]]
    if wrong or answers["sample"].shape != (3, *images.shape[1:]) or answers["refine"].shape != images.shape:
        raise EBMError(f"the export answers otherwise than the model: {json.dumps(differences)}")
    return differences


def check_plain(
    plain: keras.Model, model: EnergyModel, images: np.ndarray, labels: np.ndarray | None = None
) -> float:
    """Compare the energies of the network of standard layers with those of the model; arguments as above.

    Returns:
        The largest relative difference.

    Raises:
        EBMError: they differ.
    """
    received = plain(images if labels is None else [images, labels]).numpy()
    difference = _relative(received, model(tf.constant(images), labels).numpy())
    if not difference <= PLAIN_TOLERANCE:
        raise EBMError(
            f"the network of Keras's layers has other energies than the model, by {difference:.1e}"
        )
    return difference


def _described(function: Any) -> Function:
    outputs = function.get_concrete_function().structured_outputs
    return Function(
        inputs={spec.name: _tensor(spec) for spec in function.input_signature},
        outputs={name: _tensor(output) for name, output in outputs.items()},
    )


def _tensor(spec: Any) -> Tensor:
    return Tensor(dtype=spec.dtype.name, shape=tuple(spec.shape))


def _relative(received: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(received - expected).max() / max(np.abs(expected).max(), 1e-12))
