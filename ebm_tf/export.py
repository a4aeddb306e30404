"""Export: a trained energy model as a SavedModel that needs nothing of this project.

Signatures (images are float32 [B, H, W, C] with pixels in [0, 1]; B is free):
    energy(images) -> energy [B]
    score(images) -> score, -dE/dx, of the shape of the images
    sample(count, steps, seed) -> images [count, H, W, C], chains from uniform noise
    refine(images, steps, seed) -> images, chains from the given ones
The same seed gives the same images. Step size and noise scale are those of the config's `sampling` section.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from ebm_tf.errors import EBMError
from ebm_tf.langevin import Chain, energy_gradient, langevin, seeded_noise
from ebm_tf.models.energy import EnergyModel

SIGNATURES = ("energy", "score", "sample", "refine")

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
images = np.load(question)["images"]
functions = tf.saved_model.load(folder).signatures
scalar = lambda value: tf.constant(value, tf.int32)
np.savez(
    answer,
    energy=functions["energy"](images=tf.constant(images))["energy"],
    one=functions["energy"](images=tf.constant(images[:1]))["energy"],
    score=functions["score"](images=tf.constant(images))["score"],
    sample=functions["sample"](count=scalar(3), steps=scalar(5), seed=scalar(7))["images"],
    again=functions["sample"](count=scalar(3), steps=scalar(5), seed=scalar(7))["images"],
    refine=functions["refine"](images=tf.constant(images), steps=scalar(5), seed=scalar(7))["images"],
)
"""


class ExportedModel(tf.Module):
    """The functions that are exported, around a model."""

    def __init__(self, model: EnergyModel, step_size: float, noise_scale: float) -> None:
        super().__init__()
        self.model = model
        self.step_size, self.noise_scale = step_size, noise_scale
        images = tf.TensorSpec([None, *model.image_shape], tf.float32, name="images")
        count, steps, seed = (tf.TensorSpec([], tf.int32, name=name) for name in ("count", "steps", "seed"))
        self.energy = tf.function(self._energy, input_signature=[images])
        self.score = tf.function(self._score, input_signature=[images])
        self.sample = tf.function(self._sample, input_signature=[count, steps, seed])
        self.refine = tf.function(self._refine, input_signature=[images, steps, seed])

    def _energy(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"energy": self.model(images)}

    def _score(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"score": -energy_gradient(self.model, images)}

    def _sample(self, count: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        shape = tf.concat([[count], self.model.image_shape], axis=0)
        return self._refine(tf.random.stateless_uniform(shape, tf.stack([seed, 0])), steps, seed)

    def _refine(self, images: tf.Tensor, steps: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        chain = Chain(steps, tf.constant(self.step_size), tf.constant(self.noise_scale))
        noise_seed = tf.random.experimental.stateless_fold_in(tf.stack([seed, 1]), 0)
        return {"images": langevin(self.model, images, seeded_noise(tf.shape(images), noise_seed), chain)}


def export(model: EnergyModel, step_size: float, noise_scale: float, folder: Path) -> None:
    """Write the SavedModel into `folder`."""
    module = ExportedModel(model, step_size, noise_scale)
    tf.saved_model.save(module, str(folder), signatures={name: getattr(module, name) for name in SIGNATURES})


def check_export(folder: Path, model: EnergyModel, images: np.ndarray) -> dict[str, float]:
    """Load the export in a process that cannot import this project, and compare it with the model.

    Args:
        images: float32 [n, H, W, C] in [0, 1] to compare on.

    Returns:
        The largest relative differences of energies and scores.

    Raises:
        EBMError: it cannot be loaded there, or its answers differ.
    """
    with tempfile.TemporaryDirectory() as scratch:
        question, answer = Path(scratch) / "question.npz", Path(scratch) / "answer.npz"
        np.savez(question, images=images)
        command = [sys.executable, "-I", "-c", CHECK_PROGRAM, *map(str, (folder.resolve(), question, answer))]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise EBMError(f"the export does not load without this project: {last}")
        with np.load(answer, allow_pickle=False) as file:
            answers = dict(file)
    energies, scores = model(images).numpy(), -energy_gradient(model, tf.constant(images)).numpy()
    differences = {
        "energy": _relative(answers["energy"], energies),
        "energy_of_one": _relative(answers["one"], energies[:1]),
        "score": _relative(answers["score"], scores),
        "repeated_sample": float(np.abs(answers["sample"] - answers["again"]).max()),
    }
    wrong = [name for name, difference in differences.items() if not difference <= 1e-5]
    if wrong or answers["sample"].shape != (3, *images.shape[1:]) or answers["refine"].shape != images.shape:
        raise EBMError(f"the export answers otherwise than the model: {json.dumps(differences)}")
    return differences


def _relative(received: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(received - expected).max() / max(np.abs(expected).max(), 1e-12))
